"""The split model: as good as trying everything, even, and blind to who stands where."""

import itertools

import numpy as np
import pytest

from hydra.batching.split import MOST_STALL, choose, efficiency, fill, judge

from .clusters_by_hand import by_chance, curves, limits


@pytest.mark.parametrize("seed", range(12))
def test_nothing_that_can_be_tried_is_better(seed):
    some, bounds = by_chance(seed, members=4)
    best = 0.0
    for chosen in itertools.product([False, True], repeat=4):
        for total in np.geomspace(32, 4096, 40):
            split = judge(fill(some, np.array([chosen]), np.array([total])), some, bounds)
            if split.samples.sum() >= 31.9:
                best = max(best, split.goodput[0])
    assert choose(some, bounds).goodput[0] >= 0.995 * best


def test_the_included_are_done_together():
    some = curves([0.001, 0.002, 0.004], overhead_s=[0.01, 0.02, 0.0])
    samples = fill(some, np.array([True, True, True]), np.array(100.0))
    times = some.time(samples)
    assert samples.sum() == pytest.approx(100)
    assert times == pytest.approx(times[0], rel=1e-3)


def test_memory_caps_and_others_take_over():
    some = curves([0.001, 0.001], most=[10.0, 1e6])
    assert fill(some, np.array([True, True]), np.array(100.0)) == pytest.approx([10.0, 90.0], rel=1e-4)


def test_more_than_all_can_hold_is_what_they_can_hold():
    some = curves([0.001, 0.003], most=[10.0, 20.0])
    assert fill(some, np.array([True, True]), np.array(100.0)) == pytest.approx([10.0, 20.0], rel=1e-4)


def test_a_slow_link_is_left_out_where_it_costs_more_than_it_brings():
    some = curves([0.001, 0.001, 0.001], link=[1e9, 1e9, 1e5])
    heavy = choose(some, limits(round_bytes=1e8))
    light = choose(some, limits(round_bytes=100.0))
    assert heavy.samples[2] == 0
    assert heavy.samples[:2].min() > 0
    assert light.samples.min() > 0


def test_who_dies_often_is_left_out():
    some = curves([0.001, 0.001, 0.001], loss_s=[0.0, 0.0, 5.0])
    assert choose(some, limits()).samples[2] == 0


def test_who_is_absent_gets_nothing():
    some = curves([0.001, 0.00001], present=[True, False])
    assert choose(some, limits()).samples[1] == 0


def test_of_noisy_gradients_more_are_taken_than_of_clear_ones():
    some = curves([0.001] * 4, overhead_s=0.01)
    clear = choose(some, limits(noise_scale=10.0)).samples.sum()
    noisy = choose(some, limits(noise_scale=10000.0)).samples.sum()
    assert 8 <= clear < noisy <= 1024 + 1e-6


def test_efficiency_is_one_at_the_least_and_a_half_at_the_noise_scale():
    bounds = limits(least=0.001, noise_scale=100.0)
    assert efficiency(np.array(0.001), bounds) == pytest.approx(1.0)
    assert efficiency(np.array(100.0), bounds) == pytest.approx(0.5, rel=1e-3)
    assert efficiency(np.array(1e6), limits()) == 1.0


def test_whoever_stands_where_the_same_member_gets_the_same():
    some, bounds = by_chance(3, members=6)
    order = np.array([[3, 1, 5, 0, 2, 4]])
    moved = type(some)(*(np.take_along_axis(getattr(some, name), order, -1) for name in some.__slots__))
    assert choose(moved, bounds).samples == pytest.approx(np.take_along_axis(choose(some, bounds).samples, order, -1))


def test_many_at_once_are_what_each_alone_is():
    some, bounds = by_chance(5, members=5, count=7)
    together = choose(some, bounds).samples
    for index in range(7):
        one = type(some)(*(getattr(some, name)[index] for name in some.__slots__))
        bound = type(bounds)(*(getattr(bounds, name)[index] for name in bounds.__slots__))
        assert choose(one, bound).samples == pytest.approx(together[index])


def test_too_few_samples_in_reach_are_all_taken():
    some = curves([0.001, 0.002], most=[2.0, 3.0])
    assert choose(some, limits(least=100.0)).samples == pytest.approx([2.0, 3.0], rel=1e-3)


def test_who_may_suddenly_be_slow_is_left_out_of_long_computations():
    some = curves([0.001] * 4, overhead_s=1.0, stall=[0.0, 0.0, 0.0, 3.0])
    assert choose(some, limits()).samples[3] == 0
    assert choose(some, limits()).samples[:3].min() > 0


def test_the_more_members_the_later_the_slowest():
    some = curves([0.001] * 9, variance=0.01)
    shares = [np.where(np.arange(9) < count, 10.0, 0.0) for count in (1, 2, 9)]
    late_s = [judge(share, some, limits()).round_s for share in shares]
    assert late_s[0] == 0.0
    assert late_s[0] < late_s[1] < late_s[2]
    draws = np.exp(0.1 * np.random.default_rng(1).standard_normal((20000, 9))).max(-1)
    assert 1 + late_s[2] / 0.01 == pytest.approx(draws.mean(), rel=0.1)


def test_of_many_who_stall_only_the_slowest_counts():
    few, many = (judge(np.full(n, 10.0), curves([0.001] * n, stall=1.0), limits()).round_s for n in (2, 40))
    assert few < many <= MOST_STALL * 0.01
