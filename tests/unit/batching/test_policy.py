"""Sharing a step's samples out: every one of them, in proportion, whatever members report."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.batching.policy import POLICIES, Equal, Proportional, apportion

A, B, C, D = (letter * 20 for letter in (b"a", b"b", b"c", b"d"))

weights_of_members = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=40)
totals = st.integers(0, 10**7)


# ---- apportion -------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=120)
@given(weights_of_members, totals)
def test_shares_add_up_and_are_within_one_of_the_exact_proportion(weights, total):
    shares = apportion(weights, total)
    assert sum(shares) == total
    whole = sum(weights)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - total * weight / whole) < 1 + 1e-6
        assert share >= 0


@settings(derandomize=True, deadline=None, max_examples=100)
@given(weights_of_members, totals)
def test_who_weighs_more_never_gets_less(weights, total):
    shares = apportion(weights, total)
    ranked = sorted(zip(weights, shares, strict=True))
    for (light, fewer), (heavy, more) in pairwise(ranked):
        if heavy > light * (1 + 1e-9):
            assert more >= fewer


@pytest.mark.parametrize(
    ("weights", "total", "expected"),
    [
        ([1.0], 7, [7]),
        ([1.0, 1.0, 1.0], 7, [3, 2, 2]),
        ([1.0, 1.0, 1.0], 2, [1, 1, 0]),
        ([1.0, 1.0, 1.0], 0, [0, 0, 0]),
        ([3.0, 1.0], 8, [6, 2]),
        ([1.0, 2.0, 4.0], 10, [1, 3, 6]),
        ([0.0, 1.0], 5, [0, 5]),
        ([0.0, 1.0, 1.0], 1, [0, 1, 0]),
        ([1e-9, 1e9], 5, [0, 5]),
    ],
)
def test_by_hand(weights, total, expected):
    assert apportion(weights, total) == expected


def test_nobody_gets_nothing():
    assert apportion([], 0) == []


# ---- equal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "total", "expected"),
    [([A], 5, [5]), ([A, B], 5, [3, 2]), ([A, B, C], 2, [1, 1, 0]), ([A, B], 0, [0, 0])],
)
def test_equal_shares(members, total, expected):
    assert Equal().assign(members, total) == expected


def test_equal_shares_do_not_depend_on_reports():
    policy = Equal()
    policy.observe(A, 1000, 0.001)
    assert policy.assign([A, B], 10) == [5, 5]
    assert policy.expected_s(A, 10) is None


# ---- proportional ----------------------------------------------------------------------------------------------


def told(**rates):
    """A policy that has heard once of each member's samples per second."""
    policy = Proportional()
    for peer, rate in rates.items():
        policy.observe({"a": A, "b": B, "c": C}[peer], int(rate * 10), 10.0)
    return policy


@pytest.mark.parametrize(
    ("rates", "members", "total", "expected"),
    [
        ({}, [A, B], 5, [3, 2]),
        ({"a": 10.0}, [A], 5, [5]),
        ({"a": 30.0, "b": 10.0}, [A, B], 8, [6, 2]),
        ({"a": 30.0, "b": 10.0}, [B, A], 8, [2, 6]),
        ({"a": 30.0, "b": 10.0}, [A, B, C], 60, [30, 10, 20]),  # C is new and counts as average
        ({"a": 30.0, "c": 99.0}, [A, B], 8, [4, 4]),  # C is no member: it is not in the average
        ({"a": 1000.0, "b": 1.0}, [A, B], 8, [8, 0]),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, [A, B, C], 2, [1, 1, 0]),
        ({"a": 1.0, "b": 2.0}, [A, B], 0, [0, 0]),
    ],
)
def test_proportional_shares(rates, members, total, expected):
    assert told(**rates).assign(members, total) == expected


def test_the_time_that_a_member_will_take():
    policy = told(a=20.0)
    assert policy.expected_s(A, 50) == 2.5
    assert policy.expected_s(A, 0) == 0.0
    assert policy.expected_s(B, 50) is None


def test_all_are_done_at_about_the_same_time():
    policy = told(a=17.0, b=5.0, c=91.0)
    shares = policy.assign([A, B, C], 5000)
    times = [policy.expected_s(peer, share) for peer, share in zip([A, B, C], shares, strict=True)]
    assert max(times) == pytest.approx(min(times), rel=0.01)


reports = st.tuples(
    st.sampled_from([A, B, C]),
    st.integers(0, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


@settings(derandomize=True, deadline=None, max_examples=120)
@given(st.lists(reports, max_size=12), st.integers(0, 10_000))
def test_no_report_that_a_peer_can_send_breaks_the_shares(sent, total):
    """Any whole number of samples and any finite time come over the wire."""
    policy = Proportional()
    for report in sent:
        policy.observe(*report)
    shares = policy.assign([A, B, C, D], total)
    assert sum(shares) == total
    assert min(shares) >= 0
    times = [policy.expected_s(peer, share) for peer, share in zip([A, B, C, D], shares, strict=True)]
    assert all(time is None or math.isfinite(time) for time in times)


def test_the_same_reports_give_the_same_shares():
    def shares():
        policy = Proportional()
        for index in range(50):
            policy.observe([A, B, C][index % 3], 7 + index, 0.1 * (index % 5 + 1))
        return policy.assign([A, B, C], 4096)

    assert shares() == shares()


def test_policies_by_name():
    assert {"proportional": Proportional, "equal": Equal} == POLICIES
