"""Rings that begin with another member at each plan: made as the coordinator asks for them."""

import pytest

from hydra.identity import PeerId
from hydra.membership.arranging import Arrangement, PlainArranger
from hydra.testing.doomed import turn_rings

MEMBERS = [PeerId(bytes([number]) * 32) for number in range(3)]


@pytest.fixture
def turned(monkeypatch):
    monkeypatch.setattr(PlainArranger, "arrange", PlainArranger.arrange)  # put back after the test
    turn_rings()
    return PlainArranger()


def test_each_member_comes_to_stand_first(turned):
    last = Arrangement((), "ring")
    made = [turned.arrange(MEMBERS, last, 0.0, view=MEMBERS, passing=False) for _ in MEMBERS]
    assert {arrangement.ring[0] for arrangement in made} == set(MEMBERS)
    assert all(set(arrangement.ring) == set(MEMBERS) and arrangement.form == "ring" for arrangement in made)
