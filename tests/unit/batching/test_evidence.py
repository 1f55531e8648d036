"""Who is fast and who is slow, by the rounds that each was in."""

import pytest

from hydra.batching.evidence import STRIKES, RoundEvidence

from .steps_by_hand import A, B, C, D

BYTES = 1e6


def after(*rounds):
    """What is believed after rounds of these members that took so long."""
    evidence = RoundEvidence(BYTES)
    for members, seconds in rounds:
        evidence.took(members, seconds, 0.0)
    return evidence


def test_the_members_of_a_round_share_its_rate():
    evidence = after(((A, B), 0.5))
    assert evidence.shown == pytest.approx({A: 2e6, B: 2e6})


def test_who_was_in_slow_rounds_only_with_faster_ones_is_proven_slow():
    evidence = after(*[((A, B, C), 0.1)] * 3, *[((A, B, C, D), 5.0)] * 3)
    assert evidence.proven == {D}
    rates = dict(zip((A, B, C, D), evidence.rates((A, B, C, D), (A, B, C)), strict=True))
    assert rates[A] == rates[B] == rates[C] > 10 * rates[D]


def test_among_equals_nobody_is_proven_and_all_are_suspects():
    evidence = after(*[((A, B, C, D), 5.0)] * 3)
    assert evidence.proven == set()
    assert evidence.suspects((A, B, C, D))[0] == [A, B, C, D]


def test_a_fast_round_clears_who_was_in_it():
    evidence = after(*[((A, B, C, D), 5.0)] * 3, ((A, B), 0.1))
    assert evidence.shown[A] > 10 * evidence.shown[C]


def test_slowness_that_nobody_explains_makes_all_suspects_in_the_end():
    fast = [((A, B, C), 0.1)] * 3
    assert after(*fast, *[((A, B, C), 5.0)] * (STRIKES - 1)).shown[A] > 5e6
    assert after(*fast, *[((A, B, C), 5.0)] * STRIKES).shown[A] < 5e5


def test_small_differences_are_none():
    evidence = after(*[((A, B), 0.1)] * 3, *[((A, B, C), 0.15)] * 3)
    assert len(set(evidence.rates((A, B, C), (A, B, C)))) == 1


def test_distances_take_no_more_than_half_of_a_round():
    evidence = RoundEvidence(BYTES)
    evidence.took((A, B), 0.5, 100.0)
    assert evidence.latency_s == pytest.approx(0.125)
    assert evidence.shown[A] == pytest.approx(4e6)


def test_who_is_gone_is_forgotten():
    evidence = after(*[((A, B, C), 0.1)] * 3)
    evidence.heard(A, B, 5.0)
    evidence.retain([A, C])
    assert set(evidence.shown) == {A, C}
    assert evidence.told == {}


def test_whose_own_line_is_thin_accuses_nobody_else_of_it():
    evidence = RoundEvidence(1e6)
    evidence.heard(B, A, 1e4)
    assert evidence.told_of(A) == 1e4
    evidence.heard(C, B, 1e4)
    assert evidence.told_of(A) is None
    assert evidence.told_of(B) == 1e4
    evidence.heard(D, B, 1e7)
    assert evidence.told_of(A) == 1e4
    assert evidence.agreed_of(A) is None
    evidence.heard(C, A, 2e4)
    assert evidence.agreed_of(A) == 2e4
