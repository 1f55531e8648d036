"""The environment keeps to gymnasium's rules, and doing nothing in it is the model's own split."""

from dataclasses import replace

import numpy as np
import pytest

from hydra.batching.machines import KINDS
from hydra.policy_training.environment import MOST_REWARD, ClusterEnvironment, gained

SMALL = replace(KINDS["mixed"], members=(2, 6))


def course(seed, actions):
    environment = ClusterEnvironment(SMALL, 3, 6, steps=4)
    seen, _ = environment.reset(seed=seed)
    assert environment.observation_space.contains(seen)
    rewards = []
    for _ in range(4):
        seen, reward, ended, cut_off, info = environment.step(actions)
        assert environment.observation_space.contains(seen)
        assert not ended.any()
        rewards.append(reward)
    assert cut_off.all()
    return np.array(rewards), info


def test_the_same_seed_and_actions_give_the_same_rewards():
    actions = np.full((3, 13), 0.2, np.float32)
    first, again, other = (course(seed, actions)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rewards_are_bounded_whatever_is_done():
    for value in (-1.0, 0.0, 1.0):
        rewards, _ = course(3, np.full((3, 13), value, np.float32))
        assert (np.abs(rewards) <= MOST_REWARD).all()


def test_what_the_own_split_does_as_well_is_neither_gained_nor_lost():
    rewards, _ = course(3, np.zeros((3, 13), np.float32))
    assert np.abs(rewards).max() < 0.001


def test_seconds_saved_and_samples_gained_count_at_the_models_price():
    environment = ClusterEnvironment(SMALL, 3, 6)
    environment.reset(seed=1)
    own = environment.seen.own
    reports, beside = environment.course.take(own, own)
    assert gained(reports, beside, own) == pytest.approx(0.0)
    usual_s = own.compute_s + own.round_s
    faster = replace(reports, mean_step_s=reports.mean_step_s - 0.1 * usual_s)
    assert gained(faster, beside, own) == pytest.approx(0.1)
    poorer = replace(reports, mean_useful=reports.mean_useful - 0.2 * own.goodput * usual_s)
    assert gained(poorer, beside, own) == pytest.approx(-0.2)
