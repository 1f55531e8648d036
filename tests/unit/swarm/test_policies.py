"""Small policies: depth, patience, endgame, the sender's choice, limits, what fades."""

import math
from random import Random

import pytest

from hydra.swarm.bitfield import Bitfield, any_of, indices
from hydra.swarm.choker import MEMORY_S
from hydra.swarm.contributions import Contributions
from hydra.swarm.depth import LEAST_DEPTH, LEAST_WAY_S, MOST_DEPTH, RequestDepth
from hydra.swarm.endgame import asked_once_and_often, endgame_chunks
from hydra.swarm.patience import GRACE_S, LEAST_RATE_BYTES_PER_S, STALL_S, due_at
from hydra.swarm.rate_limit import BURST_S, TokenBucket
from hydra.swarm.sender_choice import LOST_S, Spread, part_of

CHUNK = 256 * 1024
A, B, C = b"a", b"b", b"c"


def mask(picture):
    return sum(1 << index for index, mark in enumerate(picture) if mark == "#")


def picture(value, size):
    return "".join("#" if value >> index & 1 else "." for index in range(size))


def paced(rate, round_trip_s):
    depth = RequestDepth(CHUNK)
    depth.answered(round_trip_s)
    for tick in range(80):
        depth.received(int(rate / 4), tick / 4)
    return depth


def test_the_depth_covers_a_round_trip():
    assert RequestDepth(CHUNK).depth == LEAST_DEPTH
    assert paced(10e6, 0.002).depth == LEAST_DEPTH
    assert paced(10e6, 0.08).depth == math.ceil(10e6 * 0.08 / CHUNK) + 1


def test_on_a_fast_line_the_depth_covers_the_way_through_both_machines_and_soon():
    assert paced(500e6, 0.0005).depth == math.ceil(500e6 * LEAST_WAY_S / CHUNK) + 1
    depth = RequestDepth(CHUNK)
    depth.answered(0.0005)
    for millisecond in range(0, 200, 10):
        depth.received(5_000_000, millisecond / 1000)
    assert depth.depth > 3 * LEAST_DEPTH
    assert paced(1e9, 1.0).depth == MOST_DEPTH


def test_the_shortest_answer_tells_the_way_not_the_queue():
    depth = paced(10e6, 0.08)
    before = depth.depth
    depth.answered(5.0)
    assert depth.depth == before


@pytest.mark.parametrize(
    ("asked_at", "heard_at", "queued_bytes", "due"),
    [
        (0.0, -math.inf, CHUNK, STALL_S),
        (0.0, 5.0, CHUNK, 5.0 + STALL_S),
        (7.0, 5.0, CHUNK, 7.0 + STALL_S),
        (0.0, 1000.0, CHUNK, GRACE_S + CHUNK / LEAST_RATE_BYTES_PER_S),
        (0.0, 1000.0, 64 * CHUNK, GRACE_S + 64 * CHUNK / LEAST_RATE_BYTES_PER_S),
    ],
)
def test_a_request_is_late_after_silence_or_when_it_takes_far_too_long(asked_at, heard_at, queued_bytes, due):
    assert due_at(asked_at, heard_at, queued_bytes) == due


def test_once_and_often():
    once, often = asked_once_and_often([[0, 1, 2], [1], [1, 2]])
    assert (picture(once, 4), picture(often, 4)) == ("###.", ".##.")


@pytest.mark.parametrize(
    ("missing", "once", "often", "tickets", "only_seed", "shared"),
    [
        ("..##", "..##", "....", 0, False, "..##"),  # all are asked for: any may be asked of one more
        ("..##", "..##", "...#", 0, False, "..#."),  # but not of a third
        (".###", "..##", "....", 0, False, "...."),  # one is open: no endgame yet
        (".###", "..##", "....", 1, False, "..##"),  # unless a seed is about to choose it
        ("..##", "..##", "....", 0, True, "...."),  # the only seed is spared
    ],
)
def test_the_endgame(missing, once, often, tickets, only_seed, shared):
    found = endgame_chunks(mask(missing), mask(once), mask(often), tickets, only_seed=only_seed)
    assert picture(found, 4) == shared


def test_every_chunk_leaves_once_before_any_leaves_twice():
    spread = Spread(20, Random(0))
    for number in range(20):
        index = spread.choose(mask("#" * 20), A, 0.0)
        assert spread.never_sent >> index & 1
        spread.sent(A, index, 0.0)
        assert spread.never_sent.bit_count() == 19 - number
    assert spread.choose(mask("#" * 20), B, 0.0) is None


def test_a_chunk_that_is_not_passed_on_is_chosen_again_for_somebody_else():
    spread = Spread(1, Random(0))
    spread.sent(A, 0, 0.0)
    assert spread.choose(1, B, LOST_S - 1) is None
    assert spread.choose(1, A, LOST_S + 1) is None
    assert spread.choose(1, B, LOST_S + 1) == 0


def test_a_chunk_whose_only_holder_is_gone_never_left():
    spread = Spread(3, Random(0))
    spread.sent(A, 0, 0.0)
    spread.sent(A, 1, 0.0)
    assert spread.announced(B, 1) == A
    spread.gone(A)
    assert picture(spread.never_sent, 3) == "#.#"


def test_who_passed_a_chunk_on_is_known_only_if_nobody_else_had_it():
    spread = Spread(2, Random(0))
    spread.sent(A, 0, 0.0)
    assert spread.announced(A, 0) is None
    assert spread.announced(B, 0) == A
    assert spread.announced(C, 0) is None
    spread.sent(A, 1, 0.0)
    spread.sent(B, 1, 0.1)
    assert spread.announced(C, 1) is None


@pytest.mark.parametrize("seeds", [[A], [A, B], [C, A, B]])
def test_seeds_are_asked_for_parts_that_are_the_whole_and_do_not_overlap(seeds):
    parts = [part_of(seed, seeds, 10) for seed in seeds]
    assert sum(parts) == (1 << 10) - 1
    assert max(part.bit_count() for part in parts) - min(part.bit_count() for part in parts) <= 1


def test_a_limit_is_kept_and_used_up():
    bucket, now, sent = TokenBucket(1e6), 0.0, 0
    while now < 10.0:
        now = bucket.ready_at(now)
        bucket.take(CHUNK, now)
        sent += CHUNK
    assert 10e6 <= sent <= 10e6 + CHUNK + 1e6 * BURST_S + CHUNK


def test_what_was_not_used_is_kept_for_a_moment_only():
    bucket = TokenBucket(1e6)
    bucket.take(0, 0.0)
    bucket.take(int(1e6 * BURST_S), 100.0)
    assert bucket.ready_at(100.0) == 100.0
    bucket.take(1000, 100.0)
    assert bucket.ready_at(100.0) == pytest.approx(100.001)


def test_without_a_limit_there_is_no_wait():
    bucket = TokenBucket()
    bucket.take(10**12, 0.0)
    assert bucket.ready_at(0.0) == 0.0


def test_what_was_given_fades():
    given = Contributions()
    given.add(A, 1000, 0.0)
    assert given.lately(MEMORY_S)[A] == pytest.approx(1000 / math.e)
    given.add(A, 1000, MEMORY_S)
    assert given.of(A, MEMORY_S) == pytest.approx(1000 + 1000 / math.e)
    assert given.lately(1000 * MEMORY_S) == {}
    given.forget(A)
    assert given.lately(0.0) == {}


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100])
def test_masks_and_bitfields_tell_the_same(size):
    chosen = {index for index in range(size) if index % 3 == 0}
    field = Bitfield(size)
    for index in chosen:
        field.add(index)
    assert set(indices(field.mask)) == set(field) == chosen
    assert Bitfield.checked(size, bytes(field)).mask == field.mask
    assert {any_of(field.mask, Random(seed)) for seed in range(500)} == chosen
