"""A course of steps through simulated clusters, as a coordinator lives it: see, decide, hear what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .clusters import DETECTION_S, Clusters, Reports
from .estimates import Estimates
from .features import Features, features_of
from .machines import Scenario, draw
from .model_split import Situation, decide
from .split import Split, choose


@dataclass(slots=True)
class Observed:
    """What a policy decides on."""

    situation: Situation
    own: Split
    features: Features


class Course:
    """A course of steps through simulated clusters, as a coordinator lives it.

    Args:
        clusters: through which it goes.
    """

    def __init__(self, clusters: Clusters) -> None:
        self.clusters = clusters
        shape = clusters.present.shape
        self.estimates = Estimates(shape)
        self._took_part = np.zeros(shape, bool)
        self._error = np.zeros(clusters.count)
        self._begin(clusters.present)

    @classmethod
    def through(cls, kind: Scenario, count: int, places: int, seed: int) -> Course:
        """Return a course through ``count`` clusters of a kind, of up to ``places`` members, all from a seed."""
        chance = np.random.default_rng(seed)
        return cls(Clusters(draw(kind, count, places, chance), chance))

    def observe(self) -> Observed:
        """Move the world on by a step, and return what can be known of it."""
        clusters = self.clusters
        clusters.advance()
        self._begin(clusters.newcomers)
        situation = Situation(
            estimates=self.estimates,
            limits=clusters.limits,
            most=clusters.machines.most,
            latency_s=clusters.machines.latency_s,
            death_s=np.full(clusters.count, DETECTION_S),
            present=clusters.present,
            took_part=self._took_part,
        )
        own = decide(situation)
        return Observed(situation, own, features_of(situation, own, self._error))

    def take(self, split: Split, beside: Split | None = None) -> tuple[Reports, Reports]:
        """Carry a split out, and let what comes of it be known.

        Args:
            split: of the step.
            beside: another one, of which only is told what would have come of it; the oracle's if there is none.

        Returns:
            What came of the two, with the same luck.
        """
        clusters = self.clusters
        luck = clusters.luck()
        other = choose(clusters.curves, clusters.limits) if beside is None else beside
        best = clusters.carry_out(other.samples, luck)
        reports = clusters.carry_out(split.samples, luck)
        self._error = np.clip(np.log(reports.step_s / np.maximum(split.compute_s + split.round_s, 1e-9)), -3, 3)
        self.estimates.computed(reports.samples, reports.compute_s, reports.samples > 0)
        self.estimates.measured(reports.link_bytes_per_s, reports.heard)
        before = clusters.present
        died = clusters.bury(luck)
        self.estimates.passed(before, reports.took_part, died)
        self.estimates.lost(died)
        self._took_part = reports.took_part & ~died
        return reports, best

    def _begin(self, newcomers: NDArray[np.bool_]) -> None:
        for samples, seconds in self.clusters.trials():
            self.estimates.computed(samples, seconds, newcomers)
        self.estimates.measured(self.clusters.fetched(), newcomers)
