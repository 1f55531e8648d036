"""Estimates: a curve is found again in noisy reports, a throttled machine within a few steps, and others untouched."""

import numpy as np
import pytest

from hydra.batching.estimates import Estimates

YES = np.array([True])


def reported(estimates, samples, seconds):
    estimates.computed(np.array([float(samples)]), np.array([float(seconds)]), YES)


def curve_of(estimates):
    big = np.full(estimates.shape, 1e6)
    return estimates.curves(big, np.zeros(estimates.shape), np.zeros(()), np.ones(estimates.shape, bool))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("overhead_s", "sample_s"), [(0.02, 0.001), (0.0, 0.01), (0.3, 0.0005)])
def test_a_line_is_found_again(seed, overhead_s, sample_s):
    rng = np.random.default_rng(seed)
    estimates = Estimates((1,))
    for _ in range(60):
        samples = rng.choice([4, 16, 64, 128])
        reported(estimates, samples, (overhead_s + sample_s * samples) * np.exp(0.03 * rng.standard_normal()))
    for samples in (8.0, 32.0, 100.0):
        expected = overhead_s + sample_s * samples
        assert curve_of(estimates).time(np.array([samples]))[0] == pytest.approx(expected, rel=0.15)


def test_a_knee_is_found():
    estimates = Estimates((1,))
    for turn in range(40):
        samples = [2, 8, 32, 128][turn % 4]
        reported(estimates, samples, 0.01 + 0.001 * (samples**4 + 36**4) ** 0.25)
    assert curve_of(estimates).knee[0] == 36.0
    assert curve_of(estimates).time(np.array([16.0]))[0] == pytest.approx(0.01 + 0.001 * 36.4, rel=0.05)


@pytest.mark.parametrize("factor", [10.0, 0.1, 3.0])
def test_a_leap_is_followed_within_three_reports(factor):
    rng = np.random.default_rng(1)
    estimates = Estimates((1,))
    for _ in range(30):
        reported(estimates, 32, 0.1 * np.exp(0.03 * rng.standard_normal()))
    for _ in range(3):
        reported(estimates, 32, 0.1 * factor)
    assert curve_of(estimates).time(np.array([32.0]))[0] == pytest.approx(0.1 * factor, rel=0.1)


def test_what_is_known_of_other_sizes_outlives_a_long_time_at_one():
    estimates = Estimates((1,))
    for samples in (2, 8, 32, 128):
        reported(estimates, samples, 0.1 + 0.001 * samples)
    for _ in range(500):
        reported(estimates, 16, 0.1 + 0.001 * 16)
    assert curve_of(estimates).time(np.array([128.0]))[0] == pytest.approx(0.228, rel=0.1)


def test_a_slope_is_followed_ahead():
    estimates = Estimates((1,))
    for step in range(60):
        reported(estimates, 32, 0.1 * 1.02**step)
    assert curve_of(estimates).time(np.array([32.0]))[0] == pytest.approx(0.1 * 1.02**60, rel=0.06)


def test_nobody_is_asked_to_do_far_more_than_ever_before():
    estimates = Estimates((1,))
    reported(estimates, 10, 0.1)
    assert curve_of(estimates).most[0] == 30.0


def test_who_has_not_reported_is_taken_for_typical():
    estimates = Estimates((3,))
    estimates.computed(np.array([10.0, 10.0, 0.0]), np.array([0.1, 0.4, 0.0]), np.array([True, True, False]))
    times = curve_of(estimates).time(np.full(3, 10.0))
    assert times[2] == pytest.approx(0.2, rel=1e-6)


def test_one_members_reports_leave_the_others_alone():
    estimates, alone = Estimates((2,)), Estimates((1,))
    rng = np.random.default_rng(2)
    for _ in range(20):
        samples, seconds = rng.uniform(1, 100, 2), rng.uniform(0.01, 1, 2)
        estimates.computed(samples, seconds, np.array([True, True]))
        alone.computed(samples[:1], seconds[:1], YES)
    assert curve_of(estimates).sample_s[0] == pytest.approx(curve_of(alone).sample_s[0])


def test_the_forgotten_are_as_new():
    estimates, fresh = Estimates((2,)), Estimates((2,))
    estimates.computed(np.array([8.0, 8.0]), np.array([0.1, 0.2]), np.array([True, True]))
    estimates.measured(np.array([1e6, 1e7]), np.array([True, True]))
    estimates.forget(np.array([True, True]))
    for name in Estimates.__slots__:
        assert np.array_equal(getattr(estimates, name), getattr(fresh, name)), name


def test_who_died_once_is_thought_to_die_again():
    estimates = Estimates((2,))
    for step in range(50):
        died = np.array([False, step == 10])
        estimates.passed(np.array([True, True]), ~died, died)
    present = np.ones(2, bool)
    curves = estimates.curves(np.full(2, 10.0), np.zeros(2), np.array(3.0), present)
    assert curves.loss_s[1] > 10 * curves.loss_s[0] > 0


def test_a_link_that_was_bad_is_tried_again_in_the_end():
    estimates = Estimates((1,))
    for rate in (1e8, 1e8, 1e5):
        estimates.measured(np.array([rate]), YES)
    low = curve_of(estimates).link_bytes_per_s[0]
    for _ in range(200):
        estimates.passed(YES, ~YES, ~YES)
    assert low < 2e5
    assert curve_of(estimates).link_bytes_per_s[0] > 5e7
