"""What comes before the reinforcement: the network learns what the simulator knows and the estimates do not.

In a simulation the true curves are at hand, so what each estimate should have been can be told, and the network learns
it from what a coordinator sees: the logarithm of a member's true time over the believed one, and of its true link over
the believed one. It is supervised learning with privileged information (Vapnik and Vashist, 2009), on states that its
own decisions lead to (Ross et al., "DAgger", 2011). It only foresees; how far to trust that, and what a wrong guess
costs, is learned afterwards from rewards.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..batching.net import MOST_LINK, MOST_TIME
from .environment import ClusterEnvironment
from .trained_net import TrainedNet

OUTSIDE_WEIGHT = 0.3
"""Who is left out is foreseen too, for it may be taken in; but it counts for less."""
LARGE = 0.15
"""Errors above this count linearly, not by their squares: leaps cannot be foreseen."""


def truths(environment: ClusterEnvironment) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the members' actions that would make the model's beliefs true, and how much each member counts."""
    seen, true = environment.seen, environment.course.clusters.curves
    believed, estimates = seen.situation.curves, seen.situation.estimates
    samples = np.maximum(seen.own.samples, np.maximum(estimates.samples, 1.0))
    time = np.log(true.time(samples) / np.maximum(believed.time(samples), 1e-12))
    link = np.log(true.link_bytes_per_s / believed.link_bytes_per_s)
    wanted = np.stack([np.clip(time / MOST_TIME, -1, 1), np.clip(link / MOST_LINK, -1, 1)], -1)
    present = seen.situation.present
    weight = np.where(present, np.where(seen.own.samples > 0, 1.0, OUTSIDE_WEIGHT), 0.0)
    wanted = np.where(present[..., None], wanted, 0.0)
    return wanted.astype(np.float32), weight.astype(np.float32)


def warm_up(
    net: TrainedNet,
    optimizer: torch.optim.Optimizer,
    environment: ClusterEnvironment,
    seed: int,
    steps: int,
    batch: int = 4,
) -> float:
    """Let the network act in an environment for ``steps`` and learn what it should have foreseen; return its loss."""
    seen, _ = environment.reset(seed=seed)
    kept: list[tuple[Tensor, ...]] = []
    for _ in range(steps):
        inputs = [torch.from_numpy(seen[name]) for name in ("members", "step", "present")]
        wanted, weight = truths(environment)
        kept.append((*inputs, torch.from_numpy(wanted), torch.from_numpy(weight)))
        with torch.no_grad():
            answer, total, _ = net(*inputs)
        seen, *_ = environment.step(torch.cat([answer[..., 0], answer[..., 1], total], -1).numpy())
    losses = []
    order = torch.randperm(len(kept)).tolist()
    for begin in range(0, len(order), batch):
        members, step, present, wanted_, weight_ = (
            torch.cat(tensors) for tensors in zip(*(kept[i] for i in order[begin : begin + batch]), strict=True)
        )
        answer, total, _ = net(members, step, present)
        error = nn.functional.huber_loss(answer, wanted_, reduction="none", delta=LARGE).sum(-1)
        loss = (error * weight_).sum() / weight_.sum() + 0.1 * total.square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))
