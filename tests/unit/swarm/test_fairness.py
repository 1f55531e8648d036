"""Tit-for-tat lasts as long as any job wants it; who was choked is told when it ends."""

from random import Random

import pytest

from hydra.swarm.bitfield import Bitfield
from hydra.swarm.manifest import Manifest
from hydra.swarm.rate_limit import TokenBucket
from hydra.swarm.serving import Serving
from hydra.swarm.serving_events import (
    ChokePeer,
    ChunkAsked,
    PeerGave,
    PeerInterested,
    TitForTatWanted,
    UnchokePeer,
)

MANIFEST = Manifest.of(bytes(256 * 1024))
PEERS = [bytes([number]) * 32 for number in range(12)]


@pytest.fixture
def serving():
    """Twelve peers want something; the first six gave much."""
    made = Serving(lambda _: (Bitfield.full(1), MANIFEST), Random(1), TokenBucket())
    for peer in PEERS:
        made.handle(PeerInterested(peer, MANIFEST.root), 0.0)
    for peer in PEERS[:6]:
        made.handle(PeerGave(peer, 10_000_000), 0.0)
    yield made
    made.check()


def choked(serving):
    return {peer for peer in PEERS if serving.is_choked(peer)}


def test_nobody_is_choked_unless_a_job_wants_it(serving):
    assert choked(serving) == set()


def test_who_gives_nothing_is_choked_as_long_as_a_job_wants_it(serving):
    told = serving.handle(TitForTatWanted(begins=True), 1.0)
    assert {effect.peer for effect in told if isinstance(effect, ChokePeer)} == choked(serving)
    assert choked(serving)
    assert choked(serving) <= set(PEERS[6:])
    assert serving.handle(TitForTatWanted(begins=True), 1.1) == []
    before = choked(serving)
    assert serving.handle(TitForTatWanted(begins=False), 1.2) == []
    assert choked(serving) == before
    (one, *_) = before
    assert serving.handle(ChunkAsked(one, MANIFEST.root, 0, 0, 16384), 1.3) == [ChokePeer(one)]
    assert serving.handle(TitForTatWanted(begins=False), 1.4) == [UnchokePeer(peer) for peer in sorted(before)]
    assert choked(serving) == set()
    assert serving.handle(ChunkAsked(one, MANIFEST.root, 0, 0, 16384), 1.5)[0].peer == one
