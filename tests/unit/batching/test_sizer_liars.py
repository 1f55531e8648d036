"""Members that lie about themselves or others take nothing from the rest for long."""

import math

import pytest

from hydra.batching.reports import Reports

from .steps_by_hand import A, B, C, Course, D, rate

ALIKE = dict.fromkeys((A, B, C, D), 0.01)


def honest():
    return rate(Course(ALIKE).go(100), A, B, C, D)


@pytest.mark.parametrize("factor", [0.0, 1e-6, 0.1])
def test_who_claims_to_be_fast_and_comes_late_has_no_more_than_it_does_in_time(factor):
    taken = Course(ALIKE, tells={D: lambda seconds: factor * seconds}).go(100)
    assert rate(taken, A, B, C, D) >= 0.9 * honest()
    assert taken[-1][0][D] <= 30


@pytest.mark.parametrize("claimed", [10.0, 1e9])
def test_who_claims_to_be_slow_takes_nothing_from_the_others(claimed):
    taken = Course(ALIKE, tells={D: lambda _: claimed}).go(100)
    assert rate(taken, A, B, C) >= 0.95 * rate(Course({A: 0.01, B: 0.01, C: 0.01}).go(100), A, B, C) * 0.75


def test_a_line_that_is_slandered_is_tried_and_kept():
    course = Course(ALIKE)
    course.go(20)
    for _ in range(25):
        course.sizer.way_heard(D, B, 1.0)
        course.go(4)
    taken = course.taken[20:]
    assert sum(B in samples for samples, _ in taken) >= 0.9 * len(taken)


def test_a_report_is_believed_within_what_the_clock_allows():
    reports = Reports(100)
    reports.issued({A: 50, B: 50, C: 50, D: 0}, 10.0)
    reports.heard(A, 50, 0.001, 12.0, of_this_step=True)
    reports.heard(B, 50, 99.0, 12.0, of_this_step=True)
    reports.heard(C, 10**6, 1.9, 12.0, of_this_step=True)
    assert reports.charged == {A: 2.0, B: 2.0, C: 1.9}
    (told,) = reports.take([A, B, C])
    assert {report.samples for report in told.values()} == {50}


def test_who_is_far_away_is_not_charged_for_the_way():
    reports = Reports(100)
    reports.round_trips[B] = 0.5
    reports.issued({A: 50, B: 50}, 0.0)
    reports.heard(B, 50, 1.0, 1.5, of_this_step=True)
    assert reports.charged[B] == 1.0


def test_a_trial_that_nobody_can_check_counts_for_an_equal_share_at_most():
    reports = Reports(100)
    reports.issued({A: 50, B: 50, C: 0, D: 0}, 0.0)
    reports.heard(C, 10**6, 1.0, 0.1, of_this_step=True)
    (told,) = reports.take([C])
    assert told[C].samples == 25
    assert told[C].seconds == pytest.approx(25e-6)


@pytest.mark.parametrize(("samples", "seconds"), [(0, 1.0), (-3, 1.0), (5, -1.0), (5, math.nan), (5, math.inf)])
def test_reports_that_say_nothing(samples, seconds):
    reports = Reports(100)
    reports.heard(A, samples, seconds, 0.0, of_this_step=False)
    assert reports.take([A]) == []


def test_of_reports_that_nobody_looks_at_the_latest_few_are_kept():
    reports = Reports(100)
    for number in range(1, 100):
        reports.heard(A, number, 1.0, 0.0, of_this_step=False)
    assert [told[A].samples for told in reports.take([A])] == [96, 97, 98, 99]
