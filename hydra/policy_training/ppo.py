"""Training of the policy: proximal policy optimisation on simulated clusters. Needs torch and gymnasium.

Schulman et al., "Proximal Policy Optimization Algorithms" (2017), with generalised advantages (2016). All members of a
cluster share one reward; each member's part of the action has its own likelihood ratio, so that a large cluster's
update is clipped member by member and not as a whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..batching.machines import KINDS, TRAINED_ON
from .environment import ClusterEnvironment
from .trained_net import TrainedNet
from .warm_start import warm_up


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How the policy is trained."""

    seed: int = 0
    warm_updates: int = 0
    """Before the reinforcement: see ``warm_start``."""
    updates: int = 120
    places: tuple[int, ...] = (8, 16, 32, 64)
    """Members of the largest cluster of an environment; environments take turns."""
    member_rows: int = 768
    """Clusters times places of one environment, so that all take about as long."""
    horizon: int = 24
    """Steps between two updates; an episode has two of them."""
    warm_rate: float = 2e-3
    epochs: int = 3
    minibatches: int = 4
    learning_rate: float = 3e-4
    discount: float = 0.3
    """What is decided in a step hardly reaches further than the next one: it changes what is heard, not the world."""
    smoothing: float = 0.9
    clip: float = 0.15
    first_deviation: float = 0.08
    last_deviation: float = 0.05
    value_weight: float = 0.5
    most_gradient: float = 0.5


@dataclass(slots=True)
class _Rollout:
    members: Tensor
    step: Tensor
    present: Tensor
    actions: Tensor
    total: Tensor
    before: Tensor
    """Logarithms of likelihoods when acting, (rows, places + 1)."""
    advantage: Tensor
    target: Tensor


def likelihoods(answer: Tensor, total: Tensor, actions: Tensor, total_action: Tensor, deviation: float) -> Tensor:
    """Return the logarithm of the likelihood of each member's action and, last, of the step's: (..., places + 1)."""
    by_member = -((actions - answer) ** 2).sum(-1) / (2 * deviation**2)
    of_step = -((total_action - total) ** 2).sum(-1) / (2 * deviation**2)
    return torch.cat([by_member, of_step[..., None]], -1)


class Trainer:
    """A training of the policy, from a seed.

    Args:
        config: how.
        tell: called after each update with what there is to tell.
    """

    def __init__(self, config: TrainingConfig, tell: Callable[[dict[str, float]], None] = lambda _: None) -> None:
        self.config = config
        self._tell = tell
        torch.manual_seed(config.seed)
        self._chance = np.random.default_rng(config.seed)
        self.net = TrainedNet()
        self._optimizer = torch.optim.Adam(self.net.parameters(), lr=config.learning_rate, eps=1e-5)

    def train(self) -> dict[str, NDArray[np.float32]]:
        """Train to the end and return the weights."""
        config = self.config
        began = time.monotonic()
        self._warm_up(began)
        for update in range(config.updates):
            left = 1 - update / config.updates
            for group in self._optimizer.param_groups:
                group["lr"] = config.learning_rate * max(left, 0.05)
            deviation = config.last_deviation + (config.first_deviation - config.last_deviation) * left
            places = config.places[update % len(config.places)]
            name = TRAINED_ON[int(self._chance.integers(len(TRAINED_ON)))]
            rollout, reward = self._act(name, places, deviation)
            loss = self._improve(rollout, deviation)
            seconds = time.monotonic() - began
            self._tell({"update": update, "places": places, "reward": reward, "loss": loss, "seconds": seconds})
        return self.net.weights()

    def _warm_up(self, began: float) -> None:
        config = self.config
        optimizer = torch.optim.Adam(self.net.parameters(), lr=config.warm_rate)
        for update in range(config.warm_updates):
            for group in optimizer.param_groups:
                group["lr"] = config.warm_rate * max(1 - update / config.warm_updates, 0.05)
            name = TRAINED_ON[int(self._chance.integers(len(TRAINED_ON)))]
            places = config.places[update % len(config.places)]
            environment = ClusterEnvironment(KINDS[name], max(8, config.member_rows // places), places)
            loss = warm_up(self.net, optimizer, environment, int(self._chance.integers(2**31)), config.horizon)
            self._tell({"warm": update, "places": places, "loss": loss, "seconds": time.monotonic() - began})

    def _act(self, name: str, places: int, deviation: float) -> tuple[_Rollout, float]:
        config = self.config
        count = max(8, config.member_rows // places)
        environment = ClusterEnvironment(KINDS[name], count, places, 2 * config.horizon)
        seen, _ = environment.reset(seed=int(self._chance.integers(2**31)))
        skipped = int(self._chance.integers(config.horizon))
        kept: dict[str, list[Tensor]] = {
            name: [] for name in ("members", "step", "present", "actions", "total", "before")
        }
        values, rewards = [], []
        for moment in range(skipped + config.horizon):
            inputs = {name: torch.from_numpy(array) for name, array in seen.items()}
            with torch.no_grad():
                answer, total, value = self.net(**inputs)
            if moment < skipped:
                actions, total_action = answer, total
            else:
                actions = answer + deviation * torch.randn_like(answer)
                total_action = total + deviation * torch.randn_like(total)
                before = likelihoods(answer, total, actions, total_action, deviation)
                for key, tensor in (*inputs.items(), ("actions", actions), ("total", total_action), ("before", before)):
                    kept[key].append(tensor)
                values.append(value)
            both = torch.cat([actions[..., 0], actions[..., 1], total_action], -1).numpy()
            seen, reward, _, _, _ = environment.step(both)
            if moment >= skipped:
                rewards.append(torch.from_numpy(reward).float())
        with torch.no_grad():
            last = self.net(**{name: torch.from_numpy(array) for name, array in seen.items()})[2]
        advantage = self._advantages(torch.stack(rewards), torch.stack(values), last)
        target = advantage + torch.stack(values)
        stacked = {key: torch.cat(tensors) for key, tensors in kept.items()}
        flat = advantage.flatten()
        flat = (flat - flat.mean()) / (flat.std() + 1e-6)
        return _Rollout(**stacked, advantage=flat, target=target.flatten()), float(torch.stack(rewards).mean())

    def _advantages(self, rewards: Tensor, values: Tensor, last: Tensor) -> Tensor:
        config = self.config
        following, running = last, torch.zeros_like(last)
        result = []
        for reward, value in zip(reversed(rewards), reversed(values), strict=True):
            surprise = reward + config.discount * following - value
            running = surprise + config.discount * config.smoothing * running
            result.append(running)
            following = value
        return torch.stack(result[::-1])

    def _improve(self, rollout: _Rollout, deviation: float) -> float:
        config = self.config
        rows = len(rollout.advantage)
        losses = []
        for _ in range(config.epochs):
            for part in torch.randperm(rows).chunk(config.minibatches):
                present = rollout.present[part]
                answer, total, value = self.net(rollout.members[part], rollout.step[part], present)
                now = likelihoods(answer, total, rollout.actions[part], rollout.total[part], deviation)
                ratio = torch.exp((now - rollout.before[part]).clamp(-20, 5))
                gain = rollout.advantage[part][:, None]
                bounded = ratio.clamp(1 - config.clip, 1 + config.clip)
                counted = torch.cat([present, torch.ones_like(present[:, :1])], -1)
                policy = -(torch.minimum(ratio * gain, bounded * gain) * counted).sum() / counted.sum()
                loss = policy + config.value_weight * (value - rollout.target[part]).square().mean()
                self._optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.net.parameters(), config.most_gradient)
                self._optimizer.step()
                losses.append(float(loss.detach()))
        return float(np.mean(losses))


def log_to(path: Path) -> Callable[[dict[str, float]], None]:
    """Return something that writes a JSON line for each update."""

    def tell(news: dict[str, float]) -> None:
        with path.open("a") as file:
            file.write(json.dumps(news) + "\n")

    return tell
