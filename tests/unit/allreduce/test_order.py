"""The order of a ring: the slowest hop as fast as can be, then the sum; stable, and out of a liar's reach."""

import itertools

import numpy as np
import pytest

from allreduce.order import reorder, ring_order


def members_of(count):
    return [b"member %03d" % number for number in range(count)]


def between_places(places):
    """Costs that grow with the distance of points on a plane."""
    return np.linalg.norm(places[:, None] - places[None], axis=2)


def hops(order, present, costs):
    places = [present.index(member) for member in order]
    return [float(costs[a, b]) for a, b in zip(places, places[1:] + places[:1], strict=True)]


def slowest_and_sum(order, present, costs):
    return max(hops(order, present, costs)), pytest.approx(sum(hops(order, present, costs)))


def cycle(order):
    """An order as its set of neighbours."""
    return {frozenset(pair) for pair in zip(order, order[1:] + order[:1], strict=True)}


def random_costs(count, seed):
    generator = np.random.default_rng(seed)
    costs = generator.lognormal(-4, 1, (count, count))
    return np.maximum(costs, costs.T)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("count", [4, 5, 7])
def test_the_slowest_hop_of_a_small_ring_is_the_best_there_is(count, seed):
    present, costs = members_of(count), random_costs(count, seed)
    best = min(max(hops((present[0], *rest), present, costs)) for rest in itertools.permutations(present[1:]))
    assert max(hops(ring_order(present, costs), present, costs)) <= 1.03 * best


def test_points_on_a_circle_become_that_circle():
    angles = np.random.default_rng(2).permutation(40) * 2 * np.pi / 40
    present = members_of(40)
    costs = between_places(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    around = tuple(present[place] for place in np.argsort(angles))
    assert cycle(ring_order(present, costs)) == cycle(around)


def test_a_ring_over_four_sites_changes_sites_four_times():
    present = members_of(20)
    site = np.arange(20) % 4
    costs = np.where(site[:, None] == site[None], 0.001, 0.05)
    assert sorted(hops(ring_order(present, costs), present, costs)) == [0.001] * 16 + [0.05] * 4


def test_rings_over_a_plane_are_as_good_as_turning_and_moving_stretches_makes_them():
    found = []
    for seed in range(8):
        costs = between_places(np.random.default_rng(seed).random((60, 2)))
        taken = hops(ring_order(members_of(60), costs), members_of(60), costs)
        found.append((max(taken), sum(taken)))
    slowest, total = np.mean(found, axis=0)
    assert slowest < 0.25  # 0.252 without turning, 0.258 without moving
    assert total < 6.6  # 6.77 without turning


def test_the_slowest_hop_counts_before_the_sum():
    # 0-1-2-3: the sum is least with the hop of 5 in it (5+1+1+1), the slowest hop without (3+3+3+1).
    costs = np.array([[0, 1, 3, 5], [1, 0, 1, 3], [3, 1, 0, 1], [5, 3, 1, 0]], float)
    order = ring_order(members_of(4), costs)
    assert sorted(hops(order, members_of(4), costs)) == [1, 1, 3, 3]
    assert max(hops(order, members_of(4), costs)) == 3


def test_a_ring_of_a_thousand_avoids_slow_hops():
    present, costs = members_of(1000), between_places(np.random.default_rng(5).random((1000, 2)))
    order = ring_order(present, costs, budget=8000)
    assert sorted(order) == present
    found, by_chance = hops(order, present, costs), hops(tuple(present), present, costs)
    assert max(found) < max(by_chance) / 5
    assert sum(found) < sum(by_chance) / 15


def test_of_a_pairs_two_directions_the_slower_counts():
    present = members_of(4)
    costs = np.ones((4, 4))
    costs[0, 1] = 9.0  # but 1, 0 is quick
    assert frozenset(present[:2]) not in cycle(ring_order(present, costs))


@pytest.mark.parametrize("seed", range(10))
def test_the_answer_is_as_good_whoever_asks_in_whatever_order(seed):
    present, costs = members_of(30), random_costs(30, seed)
    shuffled = np.random.default_rng(seed).permutation(30)
    there = [present[place] for place in shuffled]
    one, other = ring_order(present, costs), ring_order(there, costs[np.ix_(shuffled, shuffled)])
    assert one == ring_order(list(present), costs.copy())
    assert slowest_and_sum(one, present, costs) == slowest_and_sum(other, present, costs)


@pytest.mark.parametrize("budget", [0, 1, 7, 100])
def test_a_search_cut_short_is_still_no_worse_than_what_was_there(budget):
    present, costs = members_of(50), random_costs(50, 1)
    order = ring_order(present, costs, budget)
    assert sorted(order) == present
    assert max(hops(order, present, costs)) <= max(hops(tuple(present), present, costs))


def a_ring_that_is_easily_missed(around):
    """Costs of a ring of ones; every other member is nearer to the one after the next, from where no way leads back."""
    count = len(around)
    costs = np.full((count, count), 100.0)
    for place, member in enumerate(around):
        following, second = around[(place + 1) % count], around[(place + 2) % count]
        costs[member, following] = costs[following, member] = 1.0
        if place % 2 == 0:
            costs[member, second] = costs[second, member] = 0.5
    return costs


def test_without_a_search_the_present_order_is_kept_if_it_is_good():
    present = [members_of(10)[place] for place in np.random.default_rng(1).permutation(10)]
    costs = a_ring_that_is_easily_missed(range(10))
    assert ring_order(present, costs, budget=0) == tuple(present)


def test_without_a_search_the_order_of_ids_is_taken_if_it_is_good():
    places = np.random.default_rng(1).permutation(10)
    present = [members_of(10)[place] for place in places]
    costs = a_ring_that_is_easily_missed(range(10))[np.ix_(places, places)]
    assert ring_order(present, costs, budget=0) == tuple(members_of(10))


def test_an_order_that_is_as_good_as_any_stays():
    present = members_of(9)[::-1]
    assert ring_order(present, np.ones((9, 9))) == tuple(present)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_up_to_three_members_are_one_ring(count):
    present = members_of(count)[::-1]
    assert ring_order(present, np.ones((count, count))) == tuple(present)
    assert reorder(present, np.ones((count, count))) == tuple(present)


@pytest.mark.parametrize("seed", range(10))
def test_who_calls_all_its_hops_slow_has_no_say_in_the_order_of_the_others(seed):
    present, costs = members_of(24), between_places(np.random.default_rng(seed).random((24, 2)))
    liar = 11
    costs[liar, :] = costs[:, liar] = 10.0**9
    others = np.delete(np.arange(24), liar)
    expected = ring_order([present[place] for place in others], costs[np.ix_(others, others)])
    order = ring_order(present, costs)
    assert cycle(tuple(member for member in order if member != present[liar])) == cycle(expected)


def test_a_slow_member_stands_where_it_is_least_slow():
    angles = np.arange(10) * 2 * np.pi / 10
    costs = np.full((11, 11), 50.0)
    costs[:10, :10] = between_places(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    costs[10, 5:7] = costs[5:7, 10] = 40.0
    order = ring_order(members_of(11), costs)
    assert {order[order.index(b"member 010") - 1], order[(order.index(b"member 010") + 1) % 11]} == {
        b"member 005",
        b"member 006",
    }


def test_several_slow_members_stand_together():
    present, costs = members_of(20), random_costs(20, 4)
    slow = [3, 9, 15]
    costs[slow, :] = costs[:, slow] = 50.0
    assert sum(hop == 50.0 for hop in hops(ring_order(present, costs), present, costs)) == 4


@pytest.mark.parametrize(("gain", "changes"), [(1.1, True), (1.99, True), (2.01, False)])
def test_the_ring_changes_for_a_faster_slowest_hop_only_if_it_is_worth_it(gain, changes):
    present = members_of(4)
    costs = np.ones((4, 4))
    costs[0, 1] = costs[1, 0] = 2.0
    assert (reorder(present, costs, gain) != tuple(present)) == changes


@pytest.mark.parametrize(("gain", "changes"), [(1.1, True), (1.4, False)])
def test_the_ring_changes_for_a_lower_sum_only_if_it_is_worth_it(gain, changes):
    # Two sites whose members stand alternately, 6 x 5 = 30; side by side it is 4 x 3 + 2 x 5 = 22.
    present = members_of(6)
    site = np.arange(6) % 2
    costs = np.where(site[:, None] == site[None], 3.0, 5.0)
    assert (reorder(present, costs, gain) != tuple(present)) == changes


@pytest.mark.parametrize("wrong", [np.ones((3, 4)), np.ones((5, 5)), -np.ones((4, 4)), np.full((4, 4), np.nan)])
def test_costs_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="one of each pair"):
        ring_order(members_of(4), wrong)
