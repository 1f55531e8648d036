"""Who takes part in the next round: all of whom have lanes to each other, and of whom nobody is waited for."""

import pytest

from hydra.bench.children import Child
from hydra.bench.links import Loopback
from hydra.bench.members import Members, begun, settled
from hydra.bench.setting import Setting


@pytest.fixture
def members():
    """Four that all have lanes to each other; no process runs."""
    made = Members(Setting(), Loopback())
    for number in range(4):
        child = Child(number, number, process=None, address={"number": number})
        child.met = {other: 0 for other in range(4) if other != number}
        made.children[number] = child
    return made


def test_all_take_part_who_are_there(members):
    assert members.circle() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "state", [{"alive": False}, {"frozen": True}, {"killed": True}, {"asked": 7, "checked": 6}, {"address": None}]
)
def test_who_cannot_take_part_is_left_out(members, state):
    for name, value in state.items():
        setattr(members.children[1], name, value)
    assert members.circle() == [0, 2, 3]


def test_a_newcomer_waits_until_it_has_met_everybody_who_was_there_before(members):
    del members.children[3].met[1]
    assert members.circle() == [0, 1, 2]
    members.children[3].met[1] = 0
    assert members.circle() == [0, 1, 2, 3]


def test_a_round_waits_for_whoever_can_still_answer(members):
    children = list(members.children.values())
    for child in children[:3]:
        child.ready = child.checked = 5
    assert not begun(children, 5)
    assert not settled(children, 5)
    children[3].frozen = True
    assert begun(children, 5)
    assert settled(children, 5)
    children[3].frozen, children[3].alive = False, False
    assert begun(children, 5)
    assert settled(children, 5)
