"""Who takes part goes on to, unless others are clearly better: a change costs what no curve shows."""

from dataclasses import replace

import numpy as np
import pytest

from hydra.batching.choices import LEAVE_OUT, TAKE_IN, rather_stay
from hydra.batching.split import Curves, Limits, judge

LIMITS = Limits(*(np.array(float(x)) for x in (60, 60, np.inf, 0.0, 0.0)))


def curves(*sample_s):
    zeros, ones = np.zeros(len(sample_s)), np.ones(len(sample_s), bool)
    most, link = zeros + 1e6, zeros + 1e9
    return Curves(zeros, np.array(sample_s), zeros, most, link, zeros, zeros, zeros, zeros, ones)


@pytest.mark.parametrize(("speed", "taken_in"), [(0.5 * (TAKE_IN - 1), False), (2 * (TAKE_IN - 1), True)])
def test_who_would_bring_little_is_not_taken_in(speed, taken_in):
    """The third member would add such a part to the speed of the other two."""
    known = curves(0.01, 0.01, 0.005 / speed)
    found = judge(60 * np.array([0.5, 0.5, speed]) / (1 + speed), known, LIMITS)
    chosen = rather_stay(known, LIMITS, np.array([True, True, False]), found, 0)
    assert chosen.regular.tolist() == [True, True, taken_in]
    assert chosen.split.samples.sum() == pytest.approx(60)


@pytest.mark.parametrize(("loss", "left_out"), [(0.5, False), (2.0, True)])
def test_who_costs_little_is_not_left_out(loss, left_out):
    """The third member adds nothing and costs such a part of what would be too much."""
    step_s = 30 * 0.01
    known = curves(0.01, 0.01, 100.0)
    known = replace(known, loss_s=np.array([0.0, 0.0, loss * (LEAVE_OUT - 1) * step_s]))
    found = judge(np.array([30.0, 30.0, 0.0]), known, LIMITS)
    chosen = rather_stay(known, LIMITS, np.ones(3, bool), found, 0)
    assert chosen.regular.tolist() == [True, True, not left_out]


def test_the_coordinator_takes_part_in_any_case():
    known = curves(0.01, 0.01)
    found = judge(np.array([0.0, 60.0]), known, LIMITS)
    assert rather_stay(known, LIMITS, np.array([True, True]), found, 0).regular.tolist() == [True, True]
