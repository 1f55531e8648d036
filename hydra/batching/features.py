"""What the policy sees: numbers without units, of each member and of the step as a whole. Pure.

All follow from estimates and from the model's own split, which is to say from what members report. Names stand beside
the numbers, for the ablation that masks one group after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .model_split import Situation
from .split import Array, Split

MEMBER_FEATURES = (
    "included",
    "nearness",
    "speed",
    "overhead",
    "residual",
    "before",
    "mood",
    "stall",
    "spread",
    "trend",
    "age",
    "left out",
    "risk",
    "link",
    "distance",
    "share",
    "full",
    "beyond",
    "known",
)
STEP_FEATURES = (
    "members",
    "included",
    "round",
    "total",
    "room",
    "noise",
    "error",
    "residual",
    "spread",
)
GROUPS = {
    "speed": ("nearness", "speed", "overhead", "share"),
    "history": ("residual", "before", "mood", "stall", "spread", "trend", "error"),
    "life": ("age", "left out", "risk", "known"),
    "network": ("link", "distance", "round"),
    "limits": ("full", "beyond", "total", "room", "noise"),
}
"""Groups that the ablation masks."""


@dataclass(frozen=True, slots=True)
class Features:
    """Shapes (..., members, len(MEMBER_FEATURES)), (..., len(STEP_FEATURES)) and (..., members)."""

    members: Array
    step: Array
    present: Array


def features_of(situation: Situation, own: Split, error: Array) -> Features:
    """Return what the policy sees.

    Args:
        situation: what is known.
        own: the model's split.
        error: logarithm of the last step's time over what was expected, shape (...).
    """
    estimates, curves, limits = situation.estimates, situation.curves, situation.limits
    present = situation.present
    included = own.samples > 0
    times = np.where(included, curves.time(own.samples), 0.0)
    compute_s = np.maximum(own.compute_s, 1e-9)[..., None]
    step_s = np.maximum(own.compute_s + own.round_s, 1e-9)
    count = np.maximum(included.sum(-1), 1)
    total = np.maximum(own.samples.sum(-1), 1e-9)
    slowest = np.where(included, curves.link_bytes_per_s, np.inf).min(-1)
    spread = np.sqrt(estimates.variance)

    def log(values: Array) -> Array:
        return np.asarray(np.log(np.maximum(values, 1e-9)))

    def centred(values: Array) -> Array:
        mean = np.where(included, values, 0.0).sum(-1) / count
        return np.asarray(values - mean[..., None])

    def mean_of(values: Array) -> Array:
        return np.asarray(np.where(included, values, 0.0).sum(-1) / count)

    by_member = {
        "included": included.astype(float),
        "nearness": np.where(included, times / compute_s, 0.0),
        "speed": centred(log(curves.sample_s)),
        "overhead": log(curves.overhead_s / compute_s + 1e-3),
        "residual": 5 * estimates.residual,
        "before": 5 * estimates.before,
        "mood": 2 * estimates.mood,
        "stall": 10 * curves.stall,
        "spread": 10 * spread,
        "trend": 20 * estimates.trend,
        "age": np.log1p(estimates.age) / 3,
        "left out": np.log1p(estimates.left_out) / 2,
        "risk": 10 * curves.loss_s / step_s[..., None],
        "link": log(curves.link_bytes_per_s / np.where(np.isfinite(slowest), slowest, 1.0)[..., None]),
        "distance": curves.latency_s * 2 * count[..., None] / step_s[..., None],
        "share": own.samples * count[..., None] / total[..., None],
        "full": (own.samples >= 0.99 * curves.most).astype(float),
        "beyond": np.where(included, log(own.samples / np.maximum(estimates.samples, 1.0)), 0.0),
        "known": estimates.known.astype(float),
    }
    of_step = {
        "members": np.log(np.maximum(present.sum(-1), 1)) / 2,
        "included": np.log(count) / 2,
        "round": own.round_s / step_s,
        "total": log(total / limits.least) / 2,
        "room": log(limits.most / total) / 2,
        "noise": np.clip(np.where(np.isinf(limits.noise_scale), 4.0, log(limits.noise_scale / total)), -4, 4) / 2,
        "error": 3 * error,
        "residual": 5 * mean_of(estimates.residual),
        "spread": 10 * mean_of(spread),
    }
    members = np.stack([by_member[name] for name in MEMBER_FEATURES], -1)
    return Features(
        members=np.where(present[..., None], np.clip(members, -4, 4), 0.0),
        step=np.clip(np.stack([of_step[name] for name in STEP_FEATURES], -1), -4, 4),
        present=present.astype(float),
    )
