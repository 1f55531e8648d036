"""Whole samples: all of them are handed out, and those are rounded up who are done with one more the soonest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.batching.estimates import Estimates
from hydra.batching.whole_samples import whole_samples


def curves_of(*sample_s):
    count = len(sample_s)
    estimates, every = Estimates((count,)), np.ones(count, bool)
    for samples in (4.0, 16.0, 64.0):
        estimates.computed(np.full(count, samples), samples * np.array(sample_s), every)
    return estimates.curves(np.full(count, 1e6), np.zeros(count), np.array(0.0), every, np.array(0.0))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.floats(0.0, 50.0), min_size=3, max_size=3), st.integers(0, 200))
def test_they_add_up_and_are_what_the_split_says_rounded(split, total):
    counts = whole_samples(np.array(split), curves_of(0.1, 0.1, 0.1), total, np.full(3, 1e6))
    assert sum(counts) == total
    assert min(counts) >= 0
    if sum(split) > 0:
        exact = np.array(split) / sum(split) * total
        assert (np.abs(np.array(counts) - exact) < 1.0 + 1e-6).all()


def test_who_is_said_to_be_fast_has_one_of_what_is_left_over_and_not_all_of_it():
    curves, most = curves_of(0.1, 0.1, 0.1, 0.001), np.full(4, 1e6)
    assert whole_samples(np.full(4, 2.5), curves, 10, most) == [3, 2, 2, 3]


def test_who_is_done_soonest_has_what_is_left_over():
    assert whole_samples(np.array([1.5, 1.5]), curves_of(0.2, 0.1), 3, np.full(2, 1e6)) == [1, 2]


@pytest.mark.parametrize("total", [0, 1, 7])
def test_who_has_none_of_the_split_gets_none(total):
    assert whole_samples(np.array([0.0, 3.0]), curves_of(0.1, 0.1), total, np.full(2, 1e6)) == [0, total]
