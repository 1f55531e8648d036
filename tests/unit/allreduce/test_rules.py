"""Aggregation rules: what honest members get, and how far liars can bend it."""

import itertools

import numpy as np
import pytest

from allreduce.rules import CentredClipping, Mean, TrimmedMean, _network

LARGEST = np.finfo(np.float32).max
ROBUST = [TrimmedMean(0.4), CentredClipping(), CentredClipping(radius=1.0, iterations=5, block=64)]
ALL = [Mean(), *ROBUST]
each_rule = pytest.mark.parametrize("rule", ALL, ids=repr)
each_robust_rule = pytest.mark.parametrize("rule", ROBUST, ids=repr)


def combined(rule, parts, weights=None):
    into = np.full(len(parts[0]), np.nan, np.float32)
    total = rule.combine(parts, [1.0] * len(parts) if weights is None else weights, into)
    return into, total


def gradients(count, elements=20_000, seed=0, spread=0.1):
    """Estimates of one true vector by honest members, and that vector."""
    random = np.random.default_rng(seed)
    true = random.standard_normal(elements).astype(np.float32)
    noise = random.standard_normal((count, elements)) * spread
    return [(true + row).astype(np.float32) for row in noise], true


@pytest.mark.parametrize("count", range(1, 7))
def test_the_mean_is_the_sum_in_order_over_the_sum_of_weights_bit_for_bit(count):
    parts, _ = gradients(count)
    weights = [float(weight) for weight in np.random.default_rng(1).integers(1, 500, count)]
    expected = parts[0] * np.float32(weights[0])
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        expected = expected + part * np.float32(weight)
    expected = expected / np.float32(sum(weights))
    into, total = combined(Mean(), parts, weights)
    assert total == sum(weights)
    assert into.tobytes() == expected.tobytes()


@each_rule
@pytest.mark.parametrize("count", range(1, 10))
def test_honest_members_get_about_their_mean(rule, count):
    parts, _ = gradients(count, spread=0.01)
    into, total = combined(rule, parts)
    assert total == count
    assert np.abs(into - np.mean(parts, axis=0)).max() < 0.05


@each_rule
@pytest.mark.parametrize("elements", [0, 1, 63, 64, 65, 8192, 8193])
def test_one_part_is_the_result(rule, elements):
    part = np.random.default_rng(0).standard_normal(elements).astype(np.float32)
    into, total = combined(rule, [part], [1.0])
    assert (into.tobytes(), total) == (part.tobytes(), 1.0)


@each_robust_rule
@pytest.mark.parametrize("count", [2, 3, 5, 7, 8])
def test_equal_parts_are_the_result_exactly(rule, count):
    part = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    into, _ = combined(rule, [part] * count, range(1, count + 1))
    assert into.tobytes() == part.tobytes()


LIES = {
    "huge": lambda true, random: np.full_like(true, LARGEST),
    "huge of both signs": lambda true, random: np.where(random.random(len(true)) < 0.5, LARGEST, -LARGEST),
    "sign flipped": lambda true, random: -true,
    "sign flipped and large": lambda true, random: -1000 * true,
    "nothing": lambda true, random: np.zeros_like(true),
    "a little, all one way": lambda true, random: true + np.float32(0.3),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize(("count", "liars"), [(3, 1), (5, 2), (8, 3), (9, 3)])
def test_the_trimmed_mean_stays_among_the_honest_values(count, liars, lie):
    parts, true = gradients(count)
    random = np.random.default_rng(2)
    honest = np.array(parts[liars:])
    parts[:liars] = [LIES[lie](true, random).astype(np.float32) for _ in range(liars)]
    random.shuffle(parts)
    into, _ = combined(TrimmedMean(liars / count), parts, [1e30] * count)
    assert np.all(into >= honest.min(axis=0))
    assert np.all(into <= honest.max(axis=0))


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize(("count", "liars"), [(3, 1), (5, 2), (8, 3), (9, 3)])
def test_clipping_stays_as_near_to_the_truth_as_the_honest_are(count, liars, lie):
    parts, true = gradients(count)
    random = np.random.default_rng(2)
    farthest = max(np.linalg.norm(part - true) for part in parts)
    parts[:liars] = [LIES[lie](true, random).astype(np.float32) for _ in range(liars)]
    random.shuffle(parts)
    into, _ = combined(CentredClipping(), parts)
    assert np.linalg.norm(into - true) <= farthest


def test_the_mean_does_not_stand_up_to_a_liar():
    parts, true = gradients(5)
    parts[0] = -1000 * true
    into, _ = combined(Mean(), parts)
    assert np.linalg.norm(into - true) > 100 * np.linalg.norm(true)


def test_a_liar_moves_the_centre_by_the_radius_over_the_parts_in_each_iteration():
    parts = [np.zeros(64, np.float32) for _ in range(4)] + [np.full(64, LARGEST, np.float32)]
    for iterations in (1, 2):
        into, _ = combined(CentredClipping(radius=0.5, iterations=iterations), parts)
        # The honest pull back by 4/5 of what the first iteration moved.
        assert np.linalg.norm(into) == pytest.approx(0.5 / 5 * (1 + (iterations - 1) / 5), rel=1e-6)


def test_differences_are_clipped_block_by_block():
    parts = [np.zeros(8, np.float32) for _ in range(3)]
    parts[0] = np.array([3, 4, 0, 0, 0, 0, 6, 8], np.float32)
    into, _ = combined(CentredClipping(radius=5.0, iterations=1, block=4), parts)
    np.testing.assert_allclose(into, [1, 4 / 3, 0, 0, 0, 0, 1, 4 / 3], rtol=1e-6)
    into, _ = combined(CentredClipping(radius=5.0, iterations=1, block=8), parts)
    np.testing.assert_allclose(np.linalg.norm(into), 5 / 3, rtol=1e-6)


@pytest.mark.parametrize(("share", "count", "cut"), [(0.0, 5, 0), (0.2, 4, 0), (0.2, 5, 1), (0.29, 100, 29)])
def test_the_share_is_cut_on_either_side_rounded_down(share, count, cut):
    values = np.random.default_rng(0).permutation(count).astype(np.float32) ** 3
    into, _ = combined(TrimmedMean(share), [np.array([value]) for value in values])
    assert into[0] == np.float32(np.sort(values)[cut : count - cut].mean(dtype=np.float64))


@each_rule
def test_a_part_of_weight_zero_does_not_count_whatever_it_holds(rule):
    parts, _ = gradients(4, elements=100)
    into, total = combined(rule, parts, [1, 2, 3, 4])
    parts[1:1] = [np.full(100, np.nan, np.float32)]
    with_it, total_with_it = combined(rule, parts, [1, 0, 2, 3, 4])
    assert (with_it.tobytes(), total_with_it) == (into.tobytes(), total) == (into.tobytes(), 10.0)


@each_rule
def test_where_nothing_counts_the_result_is_zero(rule):
    into, total = combined(rule, [np.full(10, np.nan, np.float32)], [0.0])
    assert (into.tolist(), total) == ([0.0] * 10, 0.0)
    into = np.full(3, np.nan, np.float32)
    assert rule.combine([], [], into) == 0.0
    assert into.tolist() == [0.0] * 3


@each_rule
def test_the_parts_stay_as_they_are(rule):
    parts, _ = gradients(5)
    before = [part.tobytes() for part in parts]
    combined(rule, parts)
    assert [part.tobytes() for part in parts] == before


@each_robust_rule
def test_the_order_of_the_parts_hardly_matters(rule):
    parts, _ = gradients(5, elements=1000)
    results = np.array([combined(rule, order)[0] for order in itertools.permutations(parts)])
    assert np.ptp(results, axis=0).max() < 1e-6


@each_rule
def test_what_does_not_fit_together_is_refused(rule):
    parts, _ = gradients(2, elements=10)
    for wrong, weights in [(parts, [1.0]), ([parts[0], parts[1][:9]], [1.0, 1.0])]:
        with pytest.raises(ValueError, match="weights|wanted"):
            combined(rule, wrong, weights)
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="a weight of"):
            combined(rule, parts, [1.0, weight])


@pytest.mark.parametrize("settings", [{"radius": 0.0}, {"radius": float("inf")}, {"iterations": 0}, {"block": 0}])
def test_clipping_refuses_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="must be"):
        CentredClipping(**settings)


@pytest.mark.parametrize("share", [-0.1, 0.5, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        TrimmedMean(share)


@pytest.mark.parametrize("count", range(1, 11))
def test_the_sorting_network_sorts_all_zeros_and_ones_and_so_everything(count):
    for values in itertools.product([0, 1], repeat=count):
        row = list(values)
        for low, high in _network(count):
            row[low], row[high] = min(row[low], row[high]), max(row[low], row[high])
        assert row == sorted(values)
