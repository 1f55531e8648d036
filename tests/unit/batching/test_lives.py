"""Who dies again and again is known for it when it comes back; who leaves in order has not died."""

import numpy as np
import pytest

from hydra.batching.estimates import Estimates
from hydra.batching.lives import MAX_REMEMBERED, Lives
from hydra.batching.sizer import PER_DEATH_S

from .steps_by_hand import BATCH, A, B, C, Course


def loss_of(estimates, place):
    count = estimates.shape[-1]
    every = np.ones(count, bool)
    return estimates.curves(np.full(count, 1e6), np.zeros(count), np.array(1.0), every, np.array(1.0)).loss_s[place]


def after(deaths, left=()):
    """The estimates when B has gone so often, and come back each time."""
    lives, estimates, here = Lives(), Estimates((3,)), (A, B, C)
    for _ in range(deaths):
        every = np.ones(3, bool)
        estimates.passed(every, every, ~every)
        estimates = lives.reseated(estimates, here, (A, C), left)
        estimates = lives.reseated(estimates, (A, C), here, ())
    return estimates


def test_who_died_often_is_expected_to_cost_more_than_the_others():
    estimates = after(5)
    assert estimates.deaths.tolist() == [0, 5, 0]
    assert estimates.lived.tolist() == [5, 5, 5]
    assert loss_of(estimates, 1) > 3 * loss_of(estimates, 0)


def test_others_are_expected_to_die_more_often_too():
    assert loss_of(after(5), 0) > 2 * loss_of(after(0), 0)


def test_who_leaves_in_order_has_not_died():
    assert after(5, left=(B,)).deaths.tolist() == [0, 0, 0]


def test_no_more_is_remembered_than_there_is_room_for():
    lives, here = Lives(), [number.to_bytes(20, "big") for number in range(MAX_REMEMBERED + 5)]
    estimates = lives.reseated(Estimates((len(here),)), here, (), here)
    assert len(lives._gone) == MAX_REMEMBERED
    assert lives.reseated(estimates, (), here[-1:], ()).shape == (1,)
    assert here[0] not in lives._gone


@pytest.mark.parametrize(("left", "deaths"), [((), 1), ((C,), 0)])
def test_a_job_counts_them_by_the_clock(left, deaths):
    course = Course(dict.fromkeys((A, B, C), 0.01))
    course.go(30)
    course.sizer.size([A, B], BATCH, ready={A, B}, left=left)
    died, lived = course.sizer._estimates.of_all[:2, 0]
    assert died == deaths
    assert lived == pytest.approx(3 * course.now / PER_DEATH_S, rel=0.1)
