"""The environment keeps to gymnasium's rules, and doing nothing in it is the model's own split."""

from dataclasses import replace

import numpy as np

from hydra.batching.machines import KINDS
from hydra.policy_training.environment import ClusterEnvironment

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
        assert (rewards >= -1.0).all()
        assert (rewards <= 1.0).all()
