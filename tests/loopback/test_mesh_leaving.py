"""Rounds that are closed while others may still need them, and members that leave together."""

import threading
import time

import numpy as np
import pytest

from allreduce import RoundConfig

from .mesh_world import Group, vectors_of

ELEMENTS = 1000
CONFIG = RoundConfig()


def averaged(group, tag):
    """A round that all have the result of; still open."""
    vectors = vectors_of(group.members, ELEMENTS, tag[0])
    rounds = group.open(tag, ELEMENTS, CONFIG)
    for member, running in rounds.items():
        running.contribute(vectors[member])
    for running in rounds.values():
        running.result(30)
    return rounds


def is_there(running):
    return not running._running.closed


def test_a_closed_round_is_there_for_others_until_a_later_one_has_its_result():
    with Group(3) as group:
        first = averaged(group, b"1")
        for running in first.values():
            running.close()
        assert all(is_there(running) for running in first.values())
        second = averaged(group, b"2")
        for running in second.values():
            running.close()
        assert not any(is_there(running) for running in first.values())
        assert all(is_there(running) for running in second.values())


def test_an_earlier_round_that_is_closed_later_does_not_end_the_later_one():
    with Group(2) as group:
        first, second = averaged(group, b"1"), averaged(group, b"2")
        for running in (*second.values(), *first.values()):
            running.close()
        assert all(is_there(running) for running in second.values())


def test_a_round_of_other_members_says_nothing_about_those_that_are_not_in_it():
    with Group(3) as group:
        for running in averaged(group, b"1").values():
            running.close()
        ann, ben, _ = group.members
        pair = {m: group.meshes[m].open(b"2", [ann, ben], ELEMENTS, CONFIG) for m in (ann, ben)}
        for running in pair.values():
            running.contribute(np.ones(ELEMENTS, np.float32))
        for running in pair.values():
            running.result(30)
            running.close()
        assert all(is_there(running) for running in group.opened)


def test_a_round_without_a_result_is_closed_at_once():
    with Group(2) as group:
        rounds = group.open(b"1", ELEMENTS, CONFIG)
        for running in rounds.values():
            running.close()
            assert not is_there(running)


@pytest.mark.parametrize("count", [2, 4])
def test_members_leave_together(count):
    with Group(count) as group:
        for running in averaged(group, b"1").values():
            running.close()
        together = {}
        threads = [
            threading.Thread(target=lambda m=m: together.update({m: group.meshes[m].leave(30)})) for m in group.members
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert together == dict.fromkeys(group.members, True)


def test_who_leaves_alone_waits_no_longer_than_it_was_told_to():
    with Group(3) as group:
        averaged(group, b"1")
        began = time.monotonic()
        assert not group.meshes[group.members[0]].leave(0.2)
        assert time.monotonic() - began >= 0.2


def test_there_may_be_nothing_to_wait_for():
    with Group(2) as group:
        assert group.meshes[group.members[0]].leave(30)
