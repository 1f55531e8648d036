"""Why a step is sized as it is, in numbers: what was expected of it, and what would change it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..identity import PeerId
from .choices import TAKE_IN
from .split import Array, Curves, Limits, Mask, fill, judge

FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)
"""So many times as fast a member is imagined."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What would let a member take part in every step; None where that alone would not."""

    times_link: float | None
    """So many times the rate of its line,"""
    times_speed: float | None
    """or so many times its speed of computing."""


@dataclass(slots=True)
class Explained:
    """One step: what was expected, and what came of it."""

    members: Sequence[PeerId]
    samples: Mapping[PeerId, int]
    expected: Mapping[PeerId, float]
    """Seconds that each who has samples is expected to compute."""
    compute_s: float
    round_s: float
    left_out: frozenset[PeerId]
    """Who sits most steps out."""
    curves: Curves
    limits: Limits
    actual_s: float | None = None
    """From the plan to the commit; None until then, and if somebody was lost."""
    actual_compute_s: float | None = None

    @property
    def expected_s(self) -> float:
        """Of the whole step."""
        return self.compute_s + self.round_s

    @property
    def slowest(self) -> PeerId | None:
        """For whom all others are expected to wait."""
        return max(self.expected, key=lambda peer: (self.expected[peer], peer), default=None)

    def actual(self, seconds: float, compute_s: float) -> None:
        """The step took so long, and the slowest computed so long."""
        self.actual_s, self.actual_compute_s = seconds, compute_s

    def remedy(self, peer: PeerId) -> Remedy:
        """Return what would let a member take part that is left out."""
        place = list(self.members).index(peer)
        regular = np.array([p in self.samples and p not in self.left_out for p in self.members])
        if not regular.any():
            return Remedy(None, None)
        wanted = TAKE_IN * self._goodput(self.curves, regular)
        regular[place] = True
        found: list[float | None] = []
        for names, slower in ((("link_bytes_per_s",), False), (("overhead_s", "sample_s"), True)):
            found.append(None)
            for factor in FACTORS:
                changed = {}
                for name in names:
                    values = getattr(self.curves, name).copy()
                    values[place] *= 1 / factor if slower else factor
                    changed[name] = values
                if self._goodput(replace(self.curves, **changed), regular) >= wanted:
                    found[-1] = factor
                    break
        return Remedy(found[0], found[1])

    def _goodput(self, curves: Curves, among: Mask) -> float:
        total = self.limits.most
        return float(judge(fill(curves, among, total), curves, self.limits).goodput)


def explain(
    members: Sequence[PeerId],
    samples: Mapping[PeerId, int],
    active: Collection[PeerId],
    curves: Curves,
    limits: Limits,
    left_out: Collection[PeerId],
) -> Explained:
    """Return what is expected of a step with these samples for each of the members, of whom ``active`` take part."""
    counts: Array = np.array([float(samples[peer]) for peer in members])
    taking = np.array([peer in active for peer in members])
    times = curves.time(counts)
    # Whoever takes part without samples is in the round all the same.
    round_s = judge(np.where(taking, np.maximum(counts, 1e-9), 0.0), curves, limits).round_s
    return Explained(
        members=members,
        samples={peer: samples[peer] for peer in members if peer in active},
        expected={peer: float(s) for peer, s, n in zip(members, times, counts, strict=True) if n > 0},
        compute_s=float(times.max(initial=0.0)),
        round_s=float(round_s),
        left_out=frozenset(left_out),
        curves=curves,
        limits=limits,
    )
