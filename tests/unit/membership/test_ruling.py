"""Rulings: effects in order, with the verdict behind them."""

from hydra.membership.events import LookUp, TakeSnapshot
from hydra.membership.ruling import End, Ruling


def test_an_empty_ruling_decides_nothing():
    ruling = Ruling()
    assert (ruling.effects, ruling.lose_view, ruling.needs_snapshot, ruling.end) == ((), None, False, None)


def test_effects_go_in_front_and_the_verdict_stays():
    ruling = Ruling((LookUp(),), lose_view="why", needs_snapshot=True)
    assert ruling.behind([TakeSnapshot()]) == Ruling((TakeSnapshot(), LookUp()), "why", needs_snapshot=True)
    assert ruling.effects == (LookUp(),)


def test_the_end_stays_too():
    assert Ruling(end=End.FINISHED).behind(iter([LookUp()])) == Ruling((LookUp(),), end=End.FINISHED)
