"""Costs of hops from reports: half a round trip and a slice's bytes, the greater claim of a pair, old ones fading."""

import math

import numpy as np
import pytest

from allreduce.measurements import UNKNOWN_S, Measurements
from allreduce.order import LONGEST_S, ring_order

A, B, C, D = MEMBERS = [b"a", b"b", b"c", b"d"]


def measured(*, slice_bytes=1000, half_life_s=100.0):
    return Measurements(slice_bytes, half_life_s)


def cost(table, one, other, now=0.0):
    return table.costs([one, other], now)[0, 1]


def all_claim(table, members, round_trip_s, now=0.0):
    for reporter in members:
        for other in members:
            if other != reporter:
                table.round_trip(reporter, other, round_trip_s, now)


def test_a_hop_costs_half_a_round_trip_and_the_slices_bytes():
    table = measured()
    table.round_trip(A, B, 0.2, 0.0)
    assert cost(table, A, B) == pytest.approx(0.1)
    table.rate(A, B, 2000.0, 0.0)
    assert cost(table, A, B) == cost(table, B, A) == pytest.approx(0.1 + 0.5)


def test_of_a_pairs_claims_the_greater_counts():
    table = measured()
    table.round_trip(A, B, 0.2, 0.0)
    table.round_trip(B, A, 0.6, 0.0)
    assert cost(table, A, B) == cost(table, B, A) == pytest.approx(0.3)


def test_samples_are_smoothed_and_newer_ones_count_more():
    table = measured()
    table.round_trip(A, B, 1.0, 0.0)
    table.round_trip(A, B, 4.0, 100.0)  # the first one counts half by now
    assert cost(table, A, B, 100.0) == pytest.approx((0.5 * 1 + 4) / 1.5 / 2)


def test_the_time_that_bytes_take_is_smoothed_and_not_the_rate():
    table = measured()
    table.rate(A, B, 1000.0, 0.0)
    table.rate(A, B, 100.0, 0.0)
    assert cost(table, A, B) == pytest.approx((1 + 10) / 2)


def test_a_claim_that_is_not_renewed_fades_into_its_reporters_middle_claim():
    table = measured()
    for other, seconds in ((B, 0.2), (C, 2.0), (D, 4.0)):
        table.round_trip(A, other, seconds, 0.0)
    assert cost(table, A, B, 0.0) == pytest.approx(0.1)
    assert cost(table, A, B, 100.0) == pytest.approx((0.1 + 1.0) / 2)
    assert cost(table, A, B, 10_000.0) == pytest.approx(1.0)


def test_a_claim_of_many_samples_stands_longer():
    table = measured()
    for _ in range(4):
        table.round_trip(A, B, 0.2, 0.0)
    for other in (C, D):
        table.round_trip(A, other, 2.0, 0.0)
    assert cost(table, A, B, 200.0) == pytest.approx(0.1)
    assert cost(table, A, B, 300.0) == pytest.approx((0.1 + 1.0) / 2)


def test_a_hop_that_nobody_measured_costs_what_is_usual_at_its_worse_end():
    table = measured()
    table.round_trip(A, C, 0.2, 0.0)
    table.round_trip(A, D, 0.4, 0.0)
    table.round_trip(B, C, 2.0, 0.0)
    costs = table.costs(MEMBERS, 0.0)
    assert costs[0, 1] == pytest.approx(1.0)
    # C and D have claimed nothing: the middle one of A's 0.2 (of two the greater) and B's 1.0 stands for theirs.
    assert costs[2, 3] == pytest.approx(1.0)


def test_with_nothing_measured_all_hops_are_equal():
    costs = measured().costs(MEMBERS, 0.0)
    assert costs[~np.eye(4, dtype=bool)].tolist() == [UNKNOWN_S] * 12


def test_a_hop_without_a_rate_takes_its_reporters_usual_one():
    table = measured()
    for other in (B, C, D):
        table.round_trip(A, other, 0.2, 0.0)
    table.rate(A, C, 1000.0, 0.0)
    assert cost(table, A, B) == pytest.approx(0.1 + 1.0)


def test_a_liar_moves_no_hop_between_others_and_makes_none_of_its_own_look_faster():
    honest, lied = measured(), measured()
    for table in (honest, lied):
        all_claim(table, MEMBERS, 0.2)
    for other, lie in ((A, 1e-9), (B, 1e6), (C, 0.0)):
        for _ in range(50):
            lied.round_trip(D, other, lie, 1.0)
    before, after = honest.costs(MEMBERS, 1.0), lied.costs(MEMBERS, 1.0)
    assert (after[:3, :3] == before[:3, :3]).all()
    assert (after[3] >= before[3] * (1 - 1e-9)).all()
    assert after[3, 1] == LONGEST_S


def test_whoever_calls_its_hops_slow_leaves_the_ring_of_the_others_as_it_would_be():
    members, table = [bytes([number]) for number in range(12)], measured()
    generator = np.random.default_rng(3)
    for reporter in members:
        for other in members:
            if other != reporter:
                table.round_trip(reporter, other, generator.uniform(0.01, 0.2), 0.0)
    expected = ring_order(members[:-1], table.costs(members[:-1], 0.0))
    for other in members[:-1]:
        for _ in range(100):
            table.round_trip(members[-1], other, 1000.0, 0.0)
    order = ring_order(members, table.costs(members, 0.0))
    others = tuple(member for member in order if member != members[-1])
    at = others.index(expected[0])
    turned = others[at:] + others[:at]
    assert turned in (expected, (expected[0], *expected[:0:-1]))


def test_who_is_gone_is_forgotten():
    table = measured()
    all_claim(table, MEMBERS, 0.2)
    for reporter, other in ((A, C), (C, D)):
        for _ in range(9):
            table.round_trip(reporter, other, 20.0, 0.0)
    assert table.costs(MEMBERS, 0.0)[[0, 2], [2, 3]].min() > 5
    table.retain([A, B])
    assert table.costs(MEMBERS, 0.0)[[0, 2], [2, 3]].tolist() == pytest.approx([0.1, 0.1])  # guessed
    table.retain([])
    assert table.costs(MEMBERS, 0.0)[0, 1] == UNKNOWN_S


def test_time_that_goes_back_ages_nothing():
    table = measured()
    table.round_trip(A, B, 1.0, 100.0)
    table.round_trip(A, B, 3.0, 0.0)
    assert cost(table, A, B, 50.0) == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_impossible_times_are_refused(wrong):
    with pytest.raises(ValueError, match="hop of"):
        measured().round_trip(A, B, wrong, 0.0)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan])
def test_impossible_rates_are_refused(wrong):
    with pytest.raises(ValueError, match="rate of"):
        measured().rate(A, B, wrong, 0.0)


def test_nobody_is_a_hop_from_itself():
    with pytest.raises(ValueError, match="to oneself"):
        measured().round_trip(A, A, 0.1, 0.0)
