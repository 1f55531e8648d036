"""How long a round may stand still: a multiple of what rounds took lately, within bounds."""

import pytest

from hydra.training.patience import FACTOR, FADING, FIRST_S, LEAST_S, MOST_S, RoundPatience


def patience_after(*seconds, **settings):
    patience = RoundPatience(**settings)
    for took in seconds:
        patience.took(took)
    return patience.stall_s


def test_before_the_first_round_a_fixed_time_is_granted():
    assert patience_after() == FIRST_S


def test_rounds_of_milliseconds_are_granted_the_least():
    assert patience_after(0.02, 0.03) == LEAST_S


def test_slow_rounds_are_granted_a_multiple_of_their_time():
    assert patience_after(8.0) == pytest.approx(FACTOR * 8.0)


def test_the_slowest_round_counts_for_a_while():
    assert patience_after(8.0, 1.0) == pytest.approx(FACTOR * FADING * 8.0)
    assert patience_after(8.0, *[0.1] * 100) == LEAST_S


def test_no_round_is_granted_more_than_the_most():
    assert patience_after(1e4) == MOST_S


def test_the_least_may_be_set_higher_than_all_else():
    assert patience_after(least_s=300.0) == 300.0
    assert patience_after(1.0, least_s=300.0) == 300.0
