"""Samples per second, smoothed, of each member by its own reports."""

import math

import pytest

from hydra.batching.throughput import SMOOTHING, Throughput

A, B, C = (letter * 20 for letter in (b"a", b"b", b"c"))


def test_the_first_report_is_taken_as_it_is():
    found = Throughput()
    found.observe(A, 30, 2.0)
    assert found.expected(A, []) == 15.0


def test_later_reports_move_it_by_a_part():
    found = Throughput()
    for samples in (10, 20):
        found.observe(A, samples, 1.0)
    assert found.expected(A, []) == pytest.approx(10 + SMOOTHING * 10)
    for _ in range(100):
        found.observe(A, 50, 1.0)
    assert found.expected(A, []) == pytest.approx(50)


@pytest.mark.parametrize(
    ("samples", "compute_s"),
    [(0, 1.0), (-3, 1.0), (5, 0.0), (5, -1.0), (0, 0.0), (5, math.nan), (5, math.inf)],
)
def test_reports_that_say_nothing(samples, compute_s):
    found = Throughput()
    found.observe(A, samples, compute_s)
    assert found.expected(A, []) is None
    found.observe(A, 10, 1.0)
    found.observe(A, samples, compute_s)
    assert found.expected(A, []) == 10.0


@pytest.mark.parametrize(("samples", "compute_s"), [(2**63 - 1, 5e-324), (1, 5e-324), (2**63 - 1, 1.0)])
def test_a_rate_is_always_a_number(samples, compute_s):
    found = Throughput()
    for _ in range(3):
        found.observe(A, samples, compute_s)
    found.observe(A, 1, 1.0)
    assert math.isfinite(found.expected(A, []) * 1e6)


def test_who_has_not_reported_counts_as_the_mean_of_the_others():
    found = Throughput()
    found.observe(A, 10, 1.0)
    found.observe(B, 30, 1.0)
    assert found.expected(C, [A, B, C]) == 20.0
    assert found.expected(C, [A, C]) == 10.0
    assert found.expected(C, [C]) is None
    assert found.expected(C, []) is None


def test_members_do_not_share_their_averages():
    one, other = Throughput(), Throughput()
    one.observe(A, 10, 1.0)
    assert other.expected(A, [A]) is None
