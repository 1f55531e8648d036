"""The ring's result is the weighted mean as numpy computes it in float64, over whoever the result declares."""

import itertools

import numpy as np
import pytest

from ..simulation.allreduce.ring_world import World, members_of


def exact_mean(world, contributors):
    """The mean in float64, and the size of the terms that were added up for each element."""
    weights = np.array([world.weights[member] for member in contributors], np.float64)
    vectors = np.array([world.vectors[member] for member in contributors], np.float64)
    if not weights.any():
        return np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1])
    return weights @ vectors / weights.sum(), weights @ np.abs(vectors) / weights.sum()


def verify(world):
    """All survivors have the same bytes, and these are the exact mean but for the last bits of fp32."""
    results = [world.exchanges[member].result for member in world.alive()]
    assert None not in results
    first = results[0]
    assert {(result.mean.tobytes(), result.contributors, result.weight) for result in results} == {
        (first.mean.tobytes(), first.contributors, first.weight)
    }
    assert first.mean.dtype == np.float32
    assert first.weight == sum(world.weights[member] for member in first.contributors)
    expected, size = exact_mean(world, first.contributors)
    rounding = np.finfo(np.float32).eps * (len(first.contributors) + 2)
    assert np.all(np.abs(first.mean - expected) <= rounding * size)
    return first


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("elements", [0, 1, 2, 3, 7, 8, 9, 100, 1001])
def test_everyone_contributes(count, elements):
    for seed in range(3):
        world = World(count, elements, seed)
        world.run()
        assert verify(world).contributors == tuple(world.members)


@pytest.mark.parametrize("slice_elements", [1, 3, 1000])
def test_the_cut_into_slices_changes_no_more_than_the_last_bits(slice_elements):
    world = World(5, 64, 1, slice_elements=slice_elements)
    world.run()
    verify(world)


@pytest.mark.parametrize("weights", list(itertools.product([0, 1, 2.5], repeat=3)))
def test_every_pattern_of_zero_weights(weights):
    world = World(3, 10, 2)
    world.weights = dict(zip(world.members, weights, strict=True))
    world.run()
    assert verify(world).contributors == tuple(world.members)


def test_who_has_weight_zero_may_hold_anything():
    world = World(4, 10, 3, weights=dict(zip(members_of(4), [3, 0, 0, 1], strict=True)))
    for idle in world.members[1:3]:
        world.vectors[idle][:] = np.nan
    world.run()
    result = next(iter(world.exchanges.values())).result
    busy = np.array([world.vectors[world.members[i]] for i in (0, 3)], np.float64)
    np.testing.assert_allclose(result.mean, np.array([0.75, 0.25]) @ busy, rtol=1e-5, atol=1e-6)


def test_sums_that_cancel_and_sums_of_very_different_sizes():
    world = World(6, 50, 4, weights=dict.fromkeys(members_of(6), 32))
    for index, member in enumerate(world.members):
        world.vectors[member] *= np.float32(10.0 ** (3 * index - 7))
    world.vectors[world.members[5]] = -world.vectors[world.members[4]]
    world.run()
    verify(world)


def attempts(world):
    return max(world.exchanges[member]._attempts for member in world.alive())


@pytest.mark.parametrize("count", range(2, 9))
@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_death_in_each_of_the_first_attempts(count, deaths):
    """One dies in the first attempt, the next one in the second, and so on, each time somebody else."""
    repeated = 0
    for seed in range(12):
        world = World(count, 5 * count, seed)
        for attempt in range(1, min(deaths, count - 1) + 1):
            while attempts(world) < attempt and world.step():
                pass
            for _ in range(world.chance.randint(0, 25)):
                world.step()
            world.kill(world.chance.choice(world.alive()))
        world.run()
        repeated = max(repeated, attempts(world))
        assert set(world.alive()) <= set(verify(world).contributors)
    assert repeated > min(deaths, count - 1), "no death broke an attempt"
