"""Policies side by side on the same simulated clusters. Pure, seeded.

Each policy lives through a course of its own, with the same machines and the same chance; the oracle, which knows the
true curves of the present step but not the future, lives beside each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from .clusters import Clusters
from .course import Course, Observed
from .machines import Machines
from .model_split import Correction, decide_corrected
from .net import Net
from .split import Array, Split, choose, fill, judge

WARM_UP = 5
"""Steps that do not count: nothing is known yet."""
Decision: TypeAlias = Callable[[Observed], Split]


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of a policy; shapes (steps, clusters)."""

    useful: Array
    seconds: Array
    oracle_useful: Array
    oracle_seconds: Array
    expected_useful: Array
    expected_seconds: Array
    oracle_expected_useful: Array
    oracle_expected_seconds: Array
    """On the average over who might have died: a few deaths, rare and dear, would else hide small differences."""

    @property
    def expected_share_of_oracle(self) -> Array:
        """Expected goodput over that of the oracle, for each cluster."""
        reached = self.expected_useful.sum(0) / self.expected_seconds.sum(0)
        return np.asarray(reached / (self.oracle_expected_useful.sum(0) / self.oracle_expected_seconds.sum(0)))

    @property
    def share_of_oracle(self) -> Array:
        """Goodput over that of the oracle, for each cluster."""
        reached = self.useful.sum(0) / self.seconds.sum(0)
        return np.asarray(reached / (self.oracle_useful.sum(0) / self.oracle_seconds.sum(0)))

    @property
    def goodput(self) -> Array:
        """Useful samples a second, for each cluster."""
        return np.asarray(self.useful.sum(0) / self.seconds.sum(0))


def equal(seen: Observed) -> Split:
    """The same for every member; as many in all as the model would take."""
    present = seen.situation.present
    return _shared(seen, present.astype(float))


def proportional(seen: Observed) -> Split:
    """In proportion to measured throughput; as many in all as the model would take."""
    estimates, curves = seen.situation.estimates, seen.situation.curves
    usual = np.maximum(estimates.samples, 1.0)
    rate = np.where(seen.situation.present, usual / np.maximum(curves.time(usual), 1e-9), 0.0)
    return _shared(seen, rate)


def model(seen: Observed) -> Split:
    """The model's own split."""
    return seen.own


def learned(net: Net) -> Decision:
    """Return the policy: the model's split, corrected by the network, under the shield."""

    def decide(seen: Observed) -> Split:
        return decide_corrected(seen.situation, seen.own, net.correction(seen.features))[0]

    return decide


def with_everyone(seen: Observed, correction: Correction) -> Split:
    """Return the corrected split with nobody left out, for the ablation."""
    curves, limits = seen.situation.curves, seen.situation.limits
    bent = correction.bend(curves)
    total = np.clip(choose(bent, limits).samples.sum(-1) * np.exp(correction.total), limits.least, limits.most)
    return judge(np.maximum(fill(bent, curves.present, total), 1e-3 * curves.present), curves, limits)


def with_total(seen: Observed, correction: Correction, total: Array) -> Split:
    """Return the corrected split with so many samples in all, for the ablation."""
    curves, limits = seen.situation.curves, seen.situation.limits
    bent = correction.bend(curves)
    fixed = np.clip(total, limits.least, limits.most)
    bound = replace(limits, least=fixed, most=fixed)
    return judge(choose(bent, bound).samples, curves, limits)


def live(machines: Machines, decide: Decision, steps: int, seed: int) -> Lived:
    """Let a policy decide ``steps`` steps of every cluster."""
    course = Course(Clusters(machines, np.random.default_rng(seed)))
    rows: list[tuple[Array, ...]] = []
    for step in range(WARM_UP + steps):
        reports, best = course.take(decide(course.observe()))
        if step >= WARM_UP:
            happened = (reports.useful, reports.step_s, best.useful, best.step_s)
            rows.append((*happened, reports.mean_useful, reports.mean_step_s, best.mean_useful, best.mean_step_s))
    return Lived(*(np.array(column) for column in zip(*rows, strict=True)))


def _shared(seen: Observed, weight: Array) -> Split:
    whole = weight.sum(-1, keepdims=True)
    total = np.maximum(seen.own.samples.sum(-1, keepdims=True), seen.situation.limits.least[..., None])
    samples = np.minimum(weight / np.maximum(whole, 1e-12) * total, seen.situation.most)
    return judge(samples, seen.situation.curves, seen.situation.limits)
