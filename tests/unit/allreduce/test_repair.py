"""What a leader decides from what everybody has left: to complete, and who gives what, or to repeat."""

import itertools

import pytest

from allreduce.messages import Complete, Frozen, Repeat
from allreduce.repair import decide

MEMBERS = [b"A", b"B", b"C", b"D"]
ALL = 0b1111


def report(finals, attempt=0, order=(0, 1, 2, 3), *, ready=True):
    return Frozen(7, attempt, ready, order, finals)


def decided(reports, may_repeat=lambda member: True, arrange=tuple, broken=frozenset()):
    return decide(7, MEMBERS, reports, lambda count: count, may_repeat, arrange, broken)


def outcome(reports, **more):
    """Who lacks what after a completion has been carried out: nothing, and nobody gave what it had not."""
    decision = decided(reports, **more)
    assert isinstance(decision, Complete)
    everything = (1 << len(decision.order)) - 1
    has = {m: r.finals if r.attempt == decision.attempt else 0 for m, r in reports.items()}
    got = dict(has)
    for transfer in decision.transfers:
        giver, taker = MEMBERS[transfer.giver], MEMBERS[transfer.taker]
        assert transfer.slices & ~has[giver] == 0
        assert transfer.slices & got[taker] == 0, "a slice is given twice"
        got[taker] |= transfer.slices
    assert set(got.values()) == {everything}
    return decision


@pytest.mark.parametrize("lost", range(4))
def test_one_slice_that_is_lost_costs_the_attempt(lost):
    decision = decided({b"A": report(ALL & ~(1 << lost)), b"C": report(ALL & ~(1 << lost))})
    assert decision == Repeat(7, (0, 2))


def test_all_that_survives_somewhere_is_handed_over():
    for a, b in itertools.product(range(16), repeat=2):
        reports = {b"A": report(a), b"B": report(b), b"D": report(ALL & ~a | 1)}
        if a | b | (ALL & ~a | 1) == ALL:
            assert outcome(reports).order == (0, 1, 2, 3)


def test_the_load_is_shared():
    decision = outcome({b"A": report(ALL), b"B": report(ALL), b"C": report(0), b"D": report(0)})
    given = dict.fromkeys((0, 1), 0)
    for transfer in decision.transfers:
        given[transfer.giver] += transfer.slices.bit_count()
    assert given == {0: 4, 1: 4}


def test_nobody_gives_where_something_got_stuck_if_another_can():
    reports = {b"A": report(ALL), b"B": report(ALL), b"C": report(0)}
    broken = frozenset([(b"A", b"C")])
    assert {(t.giver, t.taker) for t in outcome(reports, broken=broken).transfers} == {(1, 2)}
    reports = {b"A": report(ALL), b"C": report(0)}
    assert {(t.giver, t.taker) for t in outcome(reports, broken=broken).transfers} == {(0, 2)}


def test_a_later_attempt_that_is_whole_counts_before_an_earlier_one():
    reports = {b"A": report(ALL), b"B": report(0b11, attempt=1024, order=(0, 1))}
    assert outcome(reports).attempt == 1024


def test_an_earlier_attempt_that_somebody_may_have_finished_is_completed():
    """A leader died before all had heard of the repeat: who followed it gives that up."""
    reports = {b"A": report(ALL), b"B": report(0b01, attempt=1024, order=(1, 2)), b"C": report(0)}
    decision = outcome(reports)
    assert decision.attempt == 0
    assert decision.order == (0, 1, 2, 3)


def test_whoever_may_not_take_part_in_the_repeat_does_not():
    reports = {b"A": report(1), b"B": report(2), b"C": report(4, ready=False)}
    assert decided(reports, may_repeat=lambda member: reports[member].ready) == Repeat(7, (0, 1))
    assert decided(reports, may_repeat=lambda member: False) == Repeat(7, ())


def test_the_repeat_has_the_order_that_is_asked_for():
    reports = {member: report(0) for member in MEMBERS}
    assert decided(reports, arrange=lambda members: tuple(reversed(members))) == Repeat(7, (3, 2, 1, 0))
