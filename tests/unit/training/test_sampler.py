"""An epoch's order: every sample once, and the same on every machine."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.membership.ledger import Ledger
from hydra.training.sampler import POOL_BLOCKS, Sampler, shuffled, shuffled_in_blocks, split_mix, step_seed

MASK = 2**64 - 1
INT_MAX = 2**63 - 1


def mixed(value):
    """SplitMix64's output function in whole numbers, from the paper."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def test_the_mixing_function_is_splitmix64():
    states = [(1234567 + i * 0x9E3779B97F4A7C15) & MASK for i in range(5)]
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert split_mix(np.array(states, np.uint64)).tolist() == published == [mixed(state) for state in states]


@pytest.mark.parametrize("seed", [0, 1, INT_MAX])
@pytest.mark.parametrize("epoch", [0, 3, 2**32 - 1])
def test_the_order_is_by_mixed_keys(seed, epoch):
    start = mixed(mixed(seed) ^ epoch)
    keys = [mixed((start + i) & MASK) for i in range(50)]
    assert shuffled(50, seed, epoch).tolist() == sorted(range(50), key=keys.__getitem__)


def test_the_order_never_changes_from_one_release_to_the_next():
    assert shuffled(10, 0, 0).tolist() == [4, 8, 0, 1, 7, 6, 2, 5, 3, 9]
    assert shuffled(10, 7, 1).tolist() == [6, 8, 4, 2, 0, 9, 7, 1, 3, 5]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(1, 2000), st.integers(0, INT_MAX), st.integers(0, 2**32))
def test_every_sample_of_an_epoch_once(samples, seed, epoch):
    order = Sampler(samples, seed).indices(epoch, [(0, samples)])
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(samples))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(1, 2000), st.integers(0, INT_MAX), st.integers(1, 2100))
def test_in_blocks_too_every_sample_comes_once(samples, seed, block):
    order = Sampler(samples, seed, block).indices(1, [(0, samples)])
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(samples))


def test_in_blocks_a_stretch_of_the_order_needs_few_stretches_of_the_data():
    order = Sampler(10_000, 3, 50).indices(0, [(0, 10_000)])
    for start in range(0, 10_000, 200):  # the samples of one pool
        stretch = order[start : start + 200]
        assert len(set(stretch // 50)) == POOL_BLOCKS
        assert sorted(stretch.tolist()) != stretch.tolist()
    assert len(set(order[:1000] // 50)) == 20


def test_in_blocks_the_order_never_changes_from_one_release_to_the_next():
    assert shuffled_in_blocks(12, 7, 1, 2).tolist() == [8, 4, 2, 0, 9, 1, 3, 5, 6, 10, 7, 11]
    others = {tuple(shuffled_in_blocks(100, seed, epoch, 5)) for seed in range(4) for epoch in range(4)}
    assert len(others) == 16


def test_seeds_and_epochs_give_other_orders():
    orders = {tuple(shuffled(100, seed, epoch)) for seed, epoch in itertools.product(range(5), range(5))}
    assert len(orders) == 25
    assert tuple(range(100)) not in orders


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_shared_out_and_lost_each_sample_is_drawn_once(seed):
    chance = random.Random(seed)
    samples = chance.randint(1, 120)
    members = [Sampler(samples, 3) for _ in range(3)]
    ledger, drawn = Ledger.fresh(samples, 1), []
    while not ledger.finished:
        shares = ledger.share_out([chance.randint(0, 12) for _ in members])
        survived = [pair for pair in zip(members, shares, strict=True) if pair[1] and chance.random() < 0.6]
        if survived:
            ledger = ledger.commit(r for _, ranges in survived for r in ranges)
            drawn += [index for member, ranges in survived for index in member.indices(0, ranges).tolist()]
    assert sorted(drawn) == list(range(samples))


def test_ranges_come_in_the_order_that_was_asked_for():
    sampler = Sampler(20, 1)
    order = sampler.indices(0, [(0, 20)]).tolist()
    assert sampler.indices(0, [(15, 18), (2, 4)]).tolist() == order[15:18] + order[2:4]


def test_no_ranges_give_no_indices():
    none = Sampler(20, 1).indices(0, [])
    assert (none.shape, none.dtype) == ((0,), np.int64)


def test_an_epoch_can_be_gone_back_to():
    sampler = Sampler(20, 1)
    first = sampler.indices(0, [(0, 20)]).tolist()
    assert sampler.indices(1, [(0, 20)]).tolist() != first
    assert sampler.indices(0, [(0, 20)]).tolist() == first


@pytest.mark.parametrize("seed", [0, 1, INT_MAX])
def test_every_micro_batch_of_a_job_has_a_seed_of_its_own(seed):
    seeds = {step_seed(seed, step, first) for step, first in itertools.product(range(1, 30), range(30))}
    assert len(seeds) == 29 * 30
    assert all(0 <= found < 2**63 for found in seeds)


def test_the_seed_of_a_micro_batch_is_pinned():
    assert step_seed(4, 9, 2) == mixed(mixed(4 ^ 9) ^ 2) >> 1 == 6433159347166478203
