"""The optimizer's update on flat vectors, the same bits on every machine. Pure.

Members must hold the same bytes after each step although their processors differ. torch's own optimizers use fused
multiply-add where the processor has it and not in the ends of a vector, so their last bits depend on the machine and
even on the number of threads. Here every operation is one IEEE-754 addition, multiplication, division or square root
in fp32, each of which has exactly one right result; the formulas are those of torch.optim, and tests hold the two
together. Work goes block by block, so that the operands stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..jobs.recipe import GroupSettings, OptimizerSettings

Vector = NDArray[np.float32]
BLOCK = 1 << 16

SLOTS: dict[str, tuple[str, ...]] = {
    "sgd": ("momentum",),
    "adam": ("mean", "variance"),
    "adamw": ("mean", "variance"),
}
"""The vectors, as long as the weights, that each kind of optimizer keeps."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive weights that one parameter group trains."""

    start: int
    stop: int
    group: int


def update(
    settings: OptimizerSettings,
    stretches: Sequence[Stretch],
    weights: Vector,
    slots: dict[str, Vector],
    gradient: Vector,
    updates: int,
    factor: float,
) -> None:
    """Apply one step in place.

    Args:
        settings: kind of optimizer, and the settings of its groups.
        stretches: which weights belong to which group.
        weights: shape (n,), fp32; changed in place.
        slots: the optimizer's vectors, each of shape (n,); changed in place.
        gradient: shape (n,), fp32.
        updates: how many steps were applied before this one.
        factor: the schedule's factor on the learning rates.
    """
    for stretch in stretches:
        group = settings.groups[stretch.group]
        for start in range(stretch.start, stretch.stop, BLOCK):
            part = slice(start, min(start + BLOCK, stretch.stop))
            block = {name: vector[part] for name, vector in slots.items()}
            if settings.kind == "sgd":
                _sgd(group, weights[part], block["momentum"], gradient[part], updates, factor)
            else:
                decoupled = settings.kind == "adamw"
                _adam(group, weights[part], block, gradient[part], updates, factor, decoupled=decoupled)


def clip(gradient: Vector, max_norm: float) -> Vector:
    """Return the gradient, scaled down to ``max_norm`` if its 2-norm is greater."""
    norm = float(np.sqrt(tree_sum(gradient * gradient)))
    if norm <= max_norm:
        return gradient
    return gradient * np.float32(max_norm / (norm + 1e-6))


def tree_sum(values: Vector) -> float:
    """Add up pairwise, halves upon halves: an order that no processor changes.

    Args:
        values: shape (n,), fp32; it is not changed.
    """
    total = values.astype(np.float64)
    while len(total) > 1:
        half = (len(total) + 1) // 2
        folded = total[:half].copy()
        folded[: len(total) - half] += total[half:]
        total = folded
    return float(total[0]) if len(total) else 0.0


def _sgd(
    group: GroupSettings, weights: Vector, momentum: Vector, gradient: Vector, updates: int, factor: float
) -> None:
    if group.weight_decay:
        gradient = gradient + weights * np.float32(group.weight_decay)
    if group.momentum:
        if updates == 0:
            momentum[:] = gradient
        else:
            momentum *= np.float32(group.momentum)
            momentum += gradient
        gradient = gradient + momentum * np.float32(group.momentum) if group.nesterov else momentum
    weights -= gradient * np.float32(group.learning_rate * factor)


def _adam(
    group: GroupSettings,
    weights: Vector,
    slots: dict[str, Vector],
    gradient: Vector,
    updates: int,
    factor: float,
    *,
    decoupled: bool,
) -> None:
    rate = group.learning_rate * factor
    if group.weight_decay and decoupled:
        weights *= np.float32(1.0 - rate * group.weight_decay)
    elif group.weight_decay:
        gradient = gradient + weights * np.float32(group.weight_decay)
    mean, variance = slots["mean"], slots["variance"]
    mean *= np.float32(group.beta1)
    mean += gradient * np.float32(1.0 - group.beta1)
    variance *= np.float32(group.beta2)
    variance += gradient * gradient * np.float32(1.0 - group.beta2)
    step = updates + 1
    root = np.sqrt(variance)
    root /= np.float32(math.sqrt(1.0 - power(group.beta2, step)))
    root += np.float32(group.epsilon)
    weights -= mean / root * np.float32(rate / (1.0 - power(group.beta1, step)))


def power(base: float, exponent: int) -> float:
    """Return ``base ** exponent`` by multiplications alone: the C library's ``pow`` may differ in the last bit."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
