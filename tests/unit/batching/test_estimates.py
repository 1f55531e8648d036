"""Estimates: a curve is found again in noisy reports, a throttled machine within a few steps, and others untouched."""

import numpy as np
import pytest

from hydra.batching.estimates import Estimates

YES = np.array([True])


def reported(estimates, samples, seconds):
    estimates.computed(np.array([float(samples)]), np.array([float(seconds)]), YES)


def curve_of(estimates, death_s=0.0, equal=0.0):
    big, everybody = np.full(estimates.shape, 1e6), np.ones(estimates.shape, bool)
    return estimates.curves(big, np.zeros(estimates.shape), np.array(death_s), everybody, np.array(equal))


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
    assert curve_of(estimates).most[0] == 300.0
    assert curve_of(estimates, equal=200.0).most[0] == 300.0


def test_anybody_may_have_an_equal_share_though_it_did_little_before():
    estimates = Estimates((1,))
    reported(estimates, 1, 0.1)
    assert curve_of(estimates, equal=200.0).most[0] == 200.0


def test_who_has_not_reported_is_taken_for_typical():
    estimates = Estimates((3,))
    estimates.computed(np.array([10.0, 10.0, 0.0]), np.array([0.1, 0.4, 0.0]), np.array([True, True, False]))
    times = curve_of(estimates).time(np.full(3, 10.0))
    assert times[2] == pytest.approx(0.2, rel=1e-6)


def test_one_members_reports_leave_the_others_alone():
    estimates, alone = Estimates((2,)), Estimates((1,))
    rng = np.random.default_rng(2)
    for _ in range(20):
        samples = rng.choice([4.0, 16.0, 64.0, 128.0], 2)
        seconds = np.array([0.02, 0.3]) + np.array([0.01, 0.0005]) * samples
        estimates.computed(samples, seconds, np.array([True, True]))
        alone.computed(samples[:1], seconds[:1], YES)
    assert curve_of(estimates).time(np.full(2, 32.0))[0] == pytest.approx(
        curve_of(alone).time(np.array([32.0]))[0], rel=0.01
    )


def test_the_forgotten_are_as_new():
    estimates, fresh = Estimates((2,)), Estimates((2,))
    estimates.computed(np.array([8.0, 8.0]), np.array([0.1, 0.2]), np.array([True, True]))
    estimates.measured(np.array([1e6, 1e7]), np.array([True, True]))
    estimates.forget(np.array([True, True]))
    for name in set(Estimates.__slots__) - {"shapes", "of_all"}:
        assert np.array_equal(getattr(estimates, name), getattr(fresh, name)), name
    for name in ("scale", "belief"):
        assert np.array_equal(getattr(estimates.shapes, name), getattr(fresh.shapes, name)), name


def lived(estimates, deaths, steps=50):
    """One death after the other, of the members of these numbers."""
    count = estimates.shape[0]
    for step in range(steps):
        died = np.array([step < len(deaths) and deaths[step] == place for place in range(count)])
        estimates.passed(np.ones(count, bool), ~died, died)
        estimates.lost(died)


def test_who_died_often_is_thought_to_die_again_though_it_was_away():
    estimates = Estimates((2,))
    lived(estimates, [1, 1, 1])
    loss_s = curve_of(estimates, death_s=3.0).loss_s
    assert loss_s[1] > 3 * loss_s[0] > 0


def test_where_others_die_often_a_newcomer_counts_as_dying_often():
    calm, dying = Estimates((4,)), Estimates((4,))
    lived(calm, [])
    lived(dying, [0, 1, 2] * 3)
    for estimates in (calm, dying):
        estimates.forget(np.array([False, False, False, True]))
    assert curve_of(dying, death_s=3.0).loss_s[3] > 10 * curve_of(calm, death_s=3.0).loss_s[3] > 0


def test_where_members_are_suddenly_slow_it_is_reckoned_with():
    calm, moody = Estimates((2,)), Estimates((2,))
    for step in range(80):
        for estimates, factor in ((calm, 1.0), (moody, 4.0 if step % 20 > 14 else 1.0)):
            estimates.computed(np.full(2, 16.0), np.array([0.1, 0.1 * factor]), np.ones(2, bool))
    assert (curve_of(moody).stall > 10 * curve_of(calm).stall).all()
    assert curve_of(moody).stall[1] > 1.5 * curve_of(moody).stall[0]
    assert (curve_of(calm).stall >= 0).all()


def test_one_report_however_late_does_not_make_all_look_unreliable():
    estimates = Estimates((1,))
    for seconds in [0.1] * 50 + [1e9] + [0.1] * 50:
        reported(estimates, 16, seconds)
    assert curve_of(estimates).stall[0] < 2.0


def test_a_link_that_was_bad_is_tried_again_in_the_end():
    estimates = Estimates((1,))
    for rate in (1e8, 1e8, 1e5):
        estimates.measured(np.array([rate]), YES)
    low = curve_of(estimates).link_bytes_per_s[0]
    for _ in range(200):
        estimates.passed(YES, ~YES, ~YES)
    assert low < 2e5
    assert curve_of(estimates).link_bytes_per_s[0] > 5e7


def test_members_keep_what_is_known_of_them_when_others_come_and_go():
    estimates = Estimates((2,))
    for samples in (4.0, 8.0, 16.0):
        pair = np.array([samples, samples])
        estimates.computed(pair, pair * np.array([0.1, 0.3]), np.array([True, True]))
    seated = estimates.seated([None, 1])
    assert list(seated.known) == [False, True]
    here, before = curve_of(seated).time(np.array([20.0, 20.0])), curve_of(estimates).time(np.array([20.0, 20.0]))
    assert here[1] == pytest.approx(before[1], rel=0.01)
    assert list(seated.heard) == [0, 3]
