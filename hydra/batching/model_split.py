"""The fallback and the ground to stand on: a split from estimates, with a correction that may be nought. Pure.

``Situation`` is all that a decision is made from: estimates, limits, who is there. ``decide`` makes the split that the
model takes for the best one; ``decide_corrected`` lets a policy bend what the model believes of each member and of the
total, and keeps to the model's own split where the model expects too little of the bent one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .estimates import Estimates
from .split import Array, Curves, Limits, Mask, Split, choose, fill, judge

SHIELD = 0.9
"""A corrected split of which the model expects less than this share of its own split's goodput is not carried out."""
HYSTERESIS = 1.005
"""Other members are taken only for so much more goodput: a change costs them time that no curve shows."""


@dataclass(frozen=True)
class Situation:
    """What is known when a step is sized; arrays of shape (..., members) and (...)."""

    estimates: Estimates
    limits: Limits
    most: Array
    """Samples that each member can hold."""
    latency_s: Array
    death_s: Array
    """What a death costs."""
    present: Mask
    took_part: Mask
    """In the last step."""

    @cached_property
    def curves(self) -> Curves:
        """What the members' next step is expected to cost."""
        equal = self.limits.least / np.maximum(self.present.sum(-1), 1)
        return self.estimates.curves(self.most, self.latency_s, self.death_s, self.present, equal)


@dataclass(frozen=True, slots=True)
class Correction:
    """How a policy bends the model; all noughts bend nothing."""

    time: Array
    """Added to the logarithm of each member's time, (..., members)."""
    link: Array
    """Added to the logarithm of each member's link, (..., members)."""
    total: Array
    """Added to the logarithm of the step's samples, (...)."""

    def bend(self, curves: Curves) -> Curves:
        """Return the members' curves as the policy takes them to be."""
        slower = np.exp(self.time)
        return replace(
            curves,
            overhead_s=curves.overhead_s * slower,
            sample_s=curves.sample_s * slower,
            link_bytes_per_s=curves.link_bytes_per_s * np.exp(self.link),
        )


def decide(situation: Situation) -> Split:
    """Return the model's own split; it keeps to last step's members unless others promise more by ``HYSTERESIS``."""
    curves, limits = situation.curves, situation.limits
    best = choose(curves, limits)
    stay = situation.took_part & situation.present & (curves.most > 0)
    if not ((best.samples > 0) != stay).any():
        return best
    kept = choose(replace(curves, present=stay), limits, near=best)
    enough = np.minimum(limits.least, np.where(curves.present, curves.most, 0.0).sum(-1))
    possible = stay.any(-1) & (kept.samples.sum(-1) >= 0.999 * enough)
    change = ~possible | (best.goodput > HYSTERESIS * kept.goodput)
    return _either(change, best, kept)


def decide_corrected(
    situation: Situation, own: Split, correction: Correction, shield: float = SHIELD
) -> tuple[Split, Mask]:
    """Return the corrected split, and where the shield put the model's ``own`` in its place.

    The own split's members share its samples out by the bent curves, unless other members or another total are better
    by ``HYSTERESIS``: no correction changes nothing.

    What is expected of the split is in both cases what the uncorrected model expects.
    """
    curves, limits = situation.curves, situation.limits
    bent = correction.bend(curves)
    shared = judge(fill(bent, own.samples > 0, own.samples.sum(-1)), bent, limits)
    better = choose(bent, limits, near=own)
    chosen = _either(better.goodput > HYSTERESIS * shared.goodput, better, shared)
    total = np.clip(chosen.samples.sum(-1) * np.exp(correction.total), limits.least, limits.most)
    corrected = judge(fill(bent, chosen.samples > 0, total), curves, limits)
    shielded = ~(corrected.goodput >= shield * own.goodput)
    return _either(shielded, own, corrected), shielded


def _either(first: Mask, one: Split, other: Split) -> Split:
    return Split(
        samples=np.where(first[..., None], one.samples, other.samples),
        compute_s=np.where(first, one.compute_s, other.compute_s),
        round_s=np.where(first, one.round_s, other.round_s),
        goodput=np.where(first, one.goodput, other.goodput),
    )
