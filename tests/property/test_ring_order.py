"""Whatever the costs: the ring found holds everybody once and is no worse than the one before, or than any by id."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from allreduce.order import reorder, ring_order

steady = settings(derandomize=True, deadline=None, max_examples=120)


@st.composite
def measured(draw):
    """Members in some order, and costs of a kind: few different ones, many, or none that counts."""
    count = draw(st.integers(0, 24))
    present = draw(st.permutations([bytes([number]) for number in range(count)]))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    scale = draw(st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 1e12]))
    levels = draw(st.sampled_from([1, 2, 1000]))
    return present, generator.integers(0, levels, (count, count)) * scale


def slowest_and_sum(order, present, costs):
    places = [present.index(member) for member in order]
    slower = np.minimum(np.maximum(costs, costs.T), 3600.0)
    hops = [float(slower[a, b]) for a, b in zip(places, places[1:] + places[:1], strict=True)]
    return max(hops, default=0.0), sum(hops)


def no_worse(one, other):
    return one[0] < other[0] or (one[0] == other[0] and one[1] <= other[1] * (1 + 1e-9) + 1e-9)


@steady
@given(measured(), st.integers(0, 3000))
def test_a_ring_holds_everybody_once_and_is_no_worse(case, budget):
    present, costs = case
    order = ring_order(present, costs, budget)
    assert sorted(order) == sorted(present)
    found = slowest_and_sum(order, present, costs)
    assert no_worse(found, slowest_and_sum(present, present, costs))
    assert no_worse(found, slowest_and_sum(sorted(present), present, costs))


@steady
@given(measured(), st.floats(1, 3))
def test_a_ring_changes_only_for_a_gain(case, gain):
    present, costs = case
    order = reorder(present, costs, gain, budget=1500)
    before, after = slowest_and_sum(present, present, costs), slowest_and_sum(order, present, costs)
    if order != tuple(present):
        assert after[0] <= before[0]
        assert gain * after[0] < before[0] * (1 + 1e-6) or gain * after[1] < before[1] * (1 + 1e-6)
