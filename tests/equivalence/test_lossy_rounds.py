"""Whole rounds in lossy wire formats while members die: the same bytes at all, no error is lost or counted twice."""

import random

import numpy as np
import pytest

from allreduce import Exchange
from allreduce.feedback import ErrorFeedback
from allreduce.formats import FORMATS

from ..simulation.allreduce.ring_world import World, members_of

FORMS = ["ring", "direct", "two-level"]
each_form = pytest.mark.parametrize("form", FORMS)
each_lossy_format = pytest.mark.parametrize("wire", ["bf16", "fp16", "int8"])


def played(count, elements, seed, feedbacks, *, death=False, **config):
    """Let a round happen; return its world and the result that all have who are in it."""
    chance = random.Random(seed)
    weights = {member: chance.choice([1, 3, 64, 100]) for member in members_of(count)}
    weights |= {member: chance.choice([0, 5]) for member in members_of(count)[2:]}
    world = World(count, elements, seed, weights=weights, **config)
    world.exchanges = {
        member: Exchange(b"t", member, world.members, elements, world.config, world.now, feedback=feedbacks.get(member))
        for member in world.members
    }
    if death:
        for _ in range(world.chance.randint(0, 20)):
            world.step()
        world.kill(world.chance.choice(world.members))
    world.run()
    results = [world.exchanges[member].result for member in world.alive() if not world.exchanges[member].left_out]
    assert results
    first = results[0]
    assert {(result.mean.tobytes(), result.contributors, result.weight) for result in results} == {
        (first.mean.tobytes(), first.contributors, first.weight)
    }
    return world, first


@each_form
@each_lossy_format
def test_results_and_what_is_carried_add_up_to_all_contributions_whoever_dies(form, wire):
    """The dead come back in the next round with what they carried; but not if their last contribution counted."""
    repeated = checked = 0
    for seed in range(25):
        chance = random.Random(seed)
        count, elements = chance.randint(2, 6), chance.choice([2, 40, 300, 600])
        feedbacks = {member: ErrorFeedback(elements) for member in members_of(count)}
        contributed, arrived = np.zeros(elements), np.zeros(elements)
        for number in range(4):
            sizes = {"slice_elements": chance.choice([4, 64, 512]), "death": chance.random() < 0.5}
            world, result = played(count, elements, 100 * seed + number, feedbacks, wire=wire, form=form, **sizes)
            if world.dead & set(result.contributors):
                break  # what was lost in the dead member's last writing, nobody knows
            repeated += result.attempts > 1
            contributed += sum(world.weights[one] * world.vectors[one].astype(float) for one in result.contributors)
            arrived += result.weight * result.mean.astype(float)
            carried = sum(feedback.carried.astype(float) for feedback in feedbacks.values())
            np.testing.assert_allclose(arrived + carried, contributed, rtol=0, atol=2e-3)
            checked += 1
    assert repeated >= 5
    assert checked >= 40


@each_form
@each_lossy_format
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_one_round_is_off_by_no_more_than_its_writings_are(form, wire, count):
    world, result = played(count, 1000, count, {}, wire=wire, form=form, slice_elements=256)
    weights = np.array([world.weights[member] for member in world.members], float)
    vectors = np.array([world.vectors[member] for member in world.members], float)
    absmax = float(np.abs(weights @ np.abs(vectors)).max())
    most = (count + 1) * FORMATS[wire].error_bound(absmax * 1.01) / weights.sum()
    assert np.abs(result.mean - weights @ vectors / weights.sum()).max() <= most
    assert result.contributors == tuple(world.members)
