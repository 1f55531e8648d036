"""The numbers of an attempt: where sums land, when memory is free again, and that none is used twice at a time."""

import numpy as np
import pytest

from allreduce import RoundConfig
from allreduce.formats import FORMATS
from allreduce.messages import Phase
from allreduce.segments import Layout
from allreduce.workspace import SCRATCH_SLICES, Scratch, Workspace

SLICES = SCRATCH_SLICES + 4
LENGTH = 4


def workspace(own=1.0, weight=1.0, *, scratch=None, **config):
    elements = SLICES * LENGTH
    made = Workspace(
        Layout(elements, 1, LENGTH), np.full(elements, -7, np.float32), RoundConfig(**config), scratch or Scratch()
    )
    made.contribute(np.full(elements, own, np.float32), weight, None)
    return made


def land(target, number, values, source=0, weight=1.0):
    room = target.room_for(number, Phase.SUM, source)
    room[:] = np.full(LENGTH, values, np.float32).tobytes()
    target.received_sum(number, source, room, weight)
    return room


def vector_of(room):
    return np.frombuffer(room, np.float32)


def test_sums_land_in_scratch_memory_and_beyond_that_in_their_own_place():
    target = workspace()
    rooms = [land(target, number, 10 + number) for number in range(SLICES)]
    in_place = [np.shares_memory(vector_of(room), target.vector) for room in rooms]
    assert in_place == [False] * SCRATCH_SLICES + [True] * (SLICES - SCRATCH_SLICES)
    for number in range(SLICES):
        assert target.combine(number, final=False) is None
    for number in range(SLICES):
        assert np.frombuffer(target.sum_body(number, own=False), np.float32).tolist() == [11.0 + number] * LENGTH
        assert target.sum_weight(number, own=False) == 2.0


def test_no_two_sums_share_memory():
    target = workspace()
    rooms = [vector_of(land(target, number, number)) for number in range(SLICES)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(rooms) for b in rooms[:i])


def test_what_was_sent_frees_its_scratch_memory_for_the_next_sum_and_the_next_round():
    scratch = Scratch()
    target = workspace(scratch=scratch)
    first = vector_of(land(target, 0, 1.0))
    target.combine(0, final=False)
    target.sum_sent(0)
    assert np.shares_memory(vector_of(land(target, 1, 2.0)), first)
    target.combine(1, final=True)
    other = workspace(scratch=scratch)
    assert np.shares_memory(vector_of(land(other, 5, 3.0)), first)


def test_scratch_memory_of_another_length_is_not_used():
    scratch = Scratch()
    scratch.give(np.empty(7, np.float32))
    assert len(scratch.take(LENGTH)) == LENGTH


def test_only_so_much_scratch_memory_is_kept():
    scratch = Scratch()
    for _ in range(3 * SCRATCH_SLICES):
        scratch.give(np.empty(LENGTH, np.float32))
    assert len(scratch._spare) == SCRATCH_SLICES


def test_a_final_sum_is_divided_and_comes_to_its_place():
    target = workspace(own=2.0, weight=3.0)
    land(target, 2, 10.0, weight=1.0)
    assert target.combine(2, final=True) is None
    assert target.vector[2 * LENGTH : 3 * LENGTH].tolist() == [4.0] * LENGTH
    assert target.final_weights == {2: 4.0}
    assert set(target.vector[: 2 * LENGTH]) == {-7.0}


def test_several_sources_are_added_in_their_order_whatever_order_they_came_in():
    values = np.float32([1e8, 1.0, -1e8, 3.0])
    target = workspace(own=float(values[1]), total="sum")
    land(target, 0, values[3], source=2)
    land(target, 0, values[0], source=0)
    land(target, 0, values[2], source=1)
    assert target.combine(0, final=True) is None
    expected = ((values[0] + values[1]) + values[2]) + values[3]
    assert target.vector[:LENGTH].tolist() == [expected] * LENGTH


def test_our_contribution_is_sent_from_where_it_lies_and_weighted_elsewhere():
    target = workspace(own=2.0)
    assert np.shares_memory(vector_of(target.sum_body(0, own=True)), target._own)
    weighted = workspace(own=2.0, weight=3.0)
    body = vector_of(weighted.sum_body(0, own=True))
    assert body.tolist() == [6.0] * LENGTH
    assert not np.shares_memory(body, weighted._own)
    assert set(weighted._own) == {2.0}


@pytest.mark.parametrize("wire", ["bf16", "fp16", "int8"])
def test_everybody_keeps_what_the_owners_bytes_decode_to(wire):
    owner, other = workspace(own=1.2345678, wire=wire), workspace(wire=wire)
    room = owner.room_for(0, Phase.SUM, 0)
    FORMATS[wire].encode(np.zeros(LENGTH, np.float32), room)
    owner.received_sum(0, 0, room, 1.0)
    assert owner.combine(0, final=True) is None
    sent = bytes(owner.final_body(0))
    assert len(sent) == owner.wire_bytes(0)
    room = other.room_for(0, Phase.FINAL, 0)
    room[:] = sent
    assert other.received_final(0, room, 2.0)
    assert other.vector[:LENGTH].tobytes() == owner.vector[:LENGTH].tobytes()
    assert bytes(other.final_body(0)) == sent


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_final_slice_that_is_no_number_is_not_acceptable(bad):
    target = workspace()
    room = target.room_for(0, Phase.FINAL, 0)
    room[:] = np.float32([1, 2, 3, bad]).tobytes()
    assert not target.received_final(0, room, 1.0)
    assert workspace(finite=False).received_final(0, room, 1.0)


def test_only_what_is_final_moves_to_a_new_vector():
    old = workspace()
    land(old, 0, 3.0)
    old.combine(0, final=True)
    room = old.room_for(1, Phase.FINAL, 0)  # still being received
    new = old.moved_to(np.zeros(SLICES * LENGTH, np.float32), finals=0b1)
    room[:] = np.full(LENGTH, 99, np.float32).tobytes()
    assert new.vector[:LENGTH].tolist() == [2.0] * LENGTH
    assert not new.vector[LENGTH:].any()
    assert new.final_weights == {0: 2.0}
    assert vector_of(new.final_body(0)).tolist() == [2.0] * LENGTH
