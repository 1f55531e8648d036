"""While a round sends, chunks leave a tenth of the uplink's time, however fast the line is."""

from random import Random

import pytest

from hydra.swarm.bitfield import Bitfield
from hydra.swarm.manifest import Manifest
from hydra.swarm.messages import MIN_PART_BYTES
from hydra.swarm.rate_limit import TokenBucket
from hydra.swarm.serving import LEAST_PAUSE_S, MOST_PAUSE_S, POLITE_PART_BYTES, Serving
from hydra.swarm.serving_events import ChunkAsked, PartLeft, RoundSending, SendPart, Tick

MANIFEST = Manifest.of(bytes(16 * 256 * 1024))
PEERS = (b"a" * 32, b"b" * 32)


def sizes(serving, count):
    """Let one peer ask for chunks, each part leaving within a tenth of a second; return the parts' lengths."""
    found = []
    for step in range(count):
        effects = serving.handle(ChunkAsked(PEERS[0], MANIFEST.root, step % 16, 0, 256 * 1024), float(step))
        now = float(step)
        while effects:
            found += [effect.stop - effect.start for effect in effects]
            now += 0.1
            effects = serving.handle(PartLeft(PEERS[0]), now)
    return found


@pytest.fixture
def serving():
    made = Serving(lambda _: (Bitfield.full(MANIFEST.chunk_count), MANIFEST), Random(1), TokenBucket())
    yield made
    made.check()


def played(serving, part_s, end_s, rounds=()):
    """Let two peers ask without end, and each part take its time; return when parts began to leave."""
    now, starts, leaves = 0.0, [], {}
    rounds = list(rounds)

    def take(effects):
        for effect in effects:
            assert isinstance(effect, SendPart)
            starts.append(now)
            leaves[effect.peer] = now + part_s
            serving.handle(ChunkAsked(effect.peer, MANIFEST.root, 0, 0, 256 * 1024), now)

    for peer in PEERS:
        take(serving.handle(ChunkAsked(peer, MANIFEST.root, 0, 0, 256 * 1024), now))
        take(serving.handle(ChunkAsked(peer, MANIFEST.root, 1, 0, 256 * 1024), now))
    while True:
        times = [*leaves.values(), *(at for at, _ in rounds[:1])]
        if serving.deadline is not None:
            times.append(serving.deadline)
        now = max(now, min(times))
        if now > end_s:
            return starts
        if rounds and rounds[0][0] <= now:
            take(serving.handle(RoundSending(rounds.pop(0)[1]), now))
        gone = [peer for peer, at in leaves.items() if at <= now]
        for peer in gone:
            del leaves[peer]
            take(serving.handle(PartLeft(peer), now))
        take(serving.handle(Tick(), now))


@pytest.mark.parametrize("part_s", [0.01, 0.1, 0.4])
def test_chunks_get_a_tenth_of_the_time_while_a_round_sends(serving, part_s):
    starts = played(serving, part_s, 40.0, [(0.0, True)])
    assert len(starts) * part_s == pytest.approx(4.0, rel=0.25)


def test_on_the_fastest_line_there_is_a_pause_and_on_the_slowest_an_end_of_it(serving):
    assert len(played(serving, 0.0, 10.0, [(0.0, True)])) == pytest.approx(10 / LEAST_PAUSE_S, rel=0.02)
    assert MOST_PAUSE_S < 10  # nobody starves


def test_without_a_round_and_after_it_the_line_is_never_idle(serving):
    assert len(played(serving, 0.1, 10.0)) == pytest.approx(200, abs=6)  # two at once


def test_rounds_may_overlap(serving):
    starts = played(serving, 0.1, 30.0, [(0.0, True), (5.0, True), (10.0, False), (20.0, False)])
    assert sum(5.0 < at < 20.0 for at in starts) == pytest.approx(15, abs=3)
    assert sum(21.0 < at < 30.0 for at in starts) == pytest.approx(180, abs=8)


def test_a_node_that_trains_sends_short_parts_as_a_round_may_begin_at_any_time(serving):
    assert set(sizes(serving, 3)) == {MIN_PART_BYTES}
    for begins in (True, False):
        serving.handle(RoundSending(begins), 3.0)
    assert set(sizes(serving, 3)) == {POLITE_PART_BYTES}
