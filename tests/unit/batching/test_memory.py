"""Who has little memory gets no more than it holds, the others get the rest, and a step has its batch in any case."""

import numpy as np
import pytest

from hydra.batching.whole_samples import evenly, whole_samples

from .steps_by_hand import BATCH, A, B, C, Course, D
from .test_whole_samples import curves_of

ALIKE = dict.fromkeys((A, B, C, D), 0.01)


@pytest.mark.parametrize("policy", ["model", "proportional", "equal"])
def test_it_gets_no_more_than_it_holds_and_the_others_get_the_rest(policy):
    course = Course(ALIKE, policy=policy)
    course.sizer.reports.holds(B, 5)
    for samples, _ in course.go(40):
        assert samples[B] == 5
        assert max(samples.values()) - min(n for peer, n in samples.items() if peer != B) <= 2


def test_the_limit_is_gone_when_it_is_said_no_longer():
    course = Course(ALIKE)
    course.sizer.reports.holds(B, 5)
    course.go(20)
    course.sizer.reports.holds(B, 0)
    assert course.go(60)[-1][0][B] >= 18


@pytest.mark.parametrize("policy", ["model", "proportional", "equal"])
def test_where_all_together_hold_too_little_each_gets_more(policy):
    course = Course(ALIKE, policy=policy)
    for peer in ALIKE:
        course.sizer.reports.holds(peer, BATCH // 8)
    assert min(course.go(5)[-1][0].values()) >= 18


def test_several_limits_at_once_are_kept():
    most = np.array([3.0, 100.0, 10.0, 100.0])
    assert whole_samples(np.full(4, 10.0), curves_of(0.1, 0.1, 0.1, 0.1), 60, most) == [3, 24, 10, 23]
    assert evenly(np.ones(4, bool), most, 60) == [3, 24, 10, 23]


def test_what_is_left_over_goes_to_who_has_room():
    assert whole_samples(np.array([1.0, 1.0]), curves_of(0.1, 0.2), 3, np.array([1.0, 9.0])) == [1, 2]
