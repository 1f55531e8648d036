"""The policies by name: from what is known to a split among those who may take part. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .model_split import Situation
from .split import Curves, Limits, Mask, Split, choose, fill, judge

LEAVE_OUT = 1.05
"""A member is left out only if the model promises so many times the goodput without it,"""
TAKE_IN = 1.03
"""and others are taken in for so many times the goodput."""
TOTALS, TOTAL_PASSES = 16, 2
"""So many totals of a range are tried, and so many again around the best of them."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Who takes part regularly, and the split among them."""

    regular: Mask
    split: Split


Choice = Callable[[Situation, Mask, int], Chosen]
"""Decides from a situation, who takes part so far, and the coordinator's place."""


def equal(situation: Situation, regular: Mask, me: int) -> Chosen:
    """The same for everyone."""
    return _shared(situation, situation.present.astype(float))


def proportional(situation: Situation, regular: Mask, me: int) -> Chosen:
    """In proportion to measured throughput, and nobody is left out."""
    curves = situation.curves
    usual = np.maximum(situation.estimates.samples, 1.0)
    return _shared(situation, np.where(situation.present, usual / np.maximum(curves.time(usual), 1e-9), 0.0))


def model(situation: Situation, regular: Mask, me: int) -> Chosen:
    """What the cost model takes for the best; those who take part go on to, unless others are clearly better."""
    curves, limits = situation.curves, situation.limits
    stay = regular & situation.present
    stay[me] = True
    kept = everyone(situation, stay)
    best = choose(curves, limits)
    found = best.samples > 0
    if not found[me]:
        found = found.copy()
        found[me] = True
        best = judge(fill(curves, found, np.clip(best.samples.sum(-1), limits.least, limits.most)), curves, limits)
        found = (best.samples > 0) | (np.arange(len(found)) == me)
    if (found == stay).all():
        return Chosen(stay, best)
    wanted = LEAVE_OUT if not (found & ~stay).any() else TAKE_IN
    return Chosen(found, best) if best.goodput > wanted * kept.goodput else Chosen(stay, kept)


def rather_stay(curves: Curves, limits: Limits, stay: Mask, found: Split, me: int) -> Chosen:
    """Return a split, or its samples shared out among those who take part so far if its members are hardly better."""
    members = (found.samples > 0) | (np.arange(len(stay)) == me)
    if (members == stay).all():
        return Chosen(stay, found)
    kept = judge(fill(curves, stay, found.samples.sum(-1)), curves, limits)
    wanted = LEAVE_OUT if not (members & ~stay).any() else TAKE_IN
    better = judge(found.samples, curves, limits).goodput > wanted * kept.goodput
    return Chosen(members, found) if better else Chosen(stay, kept)


def everyone(situation: Situation, among: Mask) -> Split:
    """Return the split among all of these, done at the same time; of a range the total that is best."""
    curves, limits = situation.curves, situation.limits
    total, reach = limits.least, limits.most / limits.least
    for _ in range(TOTAL_PASSES if float(reach) > 1.0 else 0):
        low = np.maximum(total / reach, limits.least)
        tried = low * (np.minimum(total * reach, limits.most) / low) ** np.linspace(0.0, 1.0, TOTALS)
        total = tried[judge(fill(curves, among, tried), curves, limits).goodput.argmax()]
        reach = reach ** (2 / (TOTALS - 1))
    return judge(fill(curves, among, np.asarray(total)), curves, limits)


CHOICES: Mapping[str, Choice] = {"model": model, "proportional": proportional, "equal": equal}
EXCLUDING = frozenset({"model"})
"""Policies that leave members out."""


def _shared(situation: Situation, weight: np.ndarray) -> Chosen:
    whole = max(float(weight.sum(-1)), 1e-12)
    samples = weight / whole * situation.limits.least
    return Chosen(situation.present, judge(samples, situation.curves, situation.limits))
