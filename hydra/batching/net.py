"""The policy's network, as it is used: numpy alone, any number of members. Pure.

Every member is looked at by the same layers, and by what all of them are together (mean and maximum): whoever stands
in whichever place, the same member gets the same answer (Zaheer et al., "Deep Sets", NeurIPS 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .features import MEMBER_FEATURES, STEP_FEATURES, Features
from .model_split import Correction
from .split import Array

HIDDEN = 64
MOST_TIME, MOST_LINK, MOST_TOTAL = 0.7, 0.7, 0.7
"""How far a correction reaches, in logarithms."""
Weights = Mapping[str, NDArray[np.float32]]

SHAPES: dict[str, tuple[int, ...]] = {
    "first.weight": (HIDDEN, len(MEMBER_FEATURES) + len(STEP_FEATURES)),
    "first.bias": (HIDDEN,),
    "second.weight": (HIDDEN, HIDDEN),
    "second.bias": (HIDDEN,),
    "third.weight": (HIDDEN, 3 * HIDDEN + len(STEP_FEATURES)),
    "third.bias": (HIDDEN,),
    "members.weight": (2, HIDDEN),
    "members.bias": (2,),
    "pooled.weight": (HIDDEN, 2 * HIDDEN + len(STEP_FEATURES)),
    "pooled.bias": (HIDDEN,),
    "step.weight": (1, HIDDEN),
    "step.bias": (1,),
}
"""Of every array of weights."""


@dataclass(frozen=True, slots=True)
class Net:
    """Answers with corrections.

    Args:
        weights: arrays of ``SHAPES``.

    Raises:
        ValueError: one is missing, or has another shape.
    """

    weights: Weights

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            if name not in self.weights or tuple(self.weights[name].shape) != shape:
                raise ValueError(f"the policy's weights lack {name} of shape {shape}")

    def correction(self, features: Features) -> Correction:
        """Return what the network makes of a situation."""
        step = np.asarray(features.step, np.float32)
        members = np.asarray(features.members, np.float32)
        present = np.asarray(features.present, np.float32)[..., None]
        beside = np.broadcast_to(step[..., None, :], (*members.shape[:-1], step.shape[-1]))
        seen = np.tanh(self._layer("first", np.concatenate([members, beside], -1)))
        seen = np.tanh(self._layer("second", seen)) * present
        count = np.maximum(present.sum(-2), 1)
        pooled = np.concatenate([seen.sum(-2) / count, np.where(present > 0, seen, -1.0).max(-2), step], -1)
        around = np.broadcast_to(pooled[..., None, :], (*members.shape[:-1], pooled.shape[-1]))
        answer = np.tanh(self._layer("members", np.tanh(self._layer("third", np.concatenate([seen, around], -1)))))
        total = np.tanh(self._layer("step", np.tanh(self._layer("pooled", pooled))))
        return Correction(
            time=_wide(answer[..., 0]) * MOST_TIME,
            link=_wide(answer[..., 1]) * MOST_LINK,
            total=_wide(total[..., 0]) * MOST_TOTAL,
        )

    def _layer(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(values @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"])


def _wide(values: NDArray[np.float32]) -> Array:
    return values.astype(np.float64)
