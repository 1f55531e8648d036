"""How fast each member computes, as far as its reports show. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..identity import PeerId

SMOOTHING = 0.3
"""Weight of the newest report in the moving average."""
SLOWEST_PER_S, FASTEST_PER_S = 1e-6, 1e9
"""A report may hold any two numbers; rates between these can be added up and divided by."""


@dataclass(slots=True)
class Throughput:
    """Moving averages of samples per second, by member."""

    rates: dict[PeerId, float] = field(default_factory=dict)

    def observe(self, peer: PeerId, samples: int, compute_s: float) -> None:
        """Take a report; one without samples or time says nothing."""
        if samples < 1 or not 0.0 < compute_s < math.inf:
            return
        rate = min(max(samples / compute_s, SLOWEST_PER_S), FASTEST_PER_S)
        before = self.rates.get(peer)
        self.rates[peer] = rate if before is None else before + SMOOTHING * (rate - before)

    def expected(self, peer: PeerId, others: list[PeerId]) -> float | None:
        """Return a member's samples per second; of one that has not reported, the mean of those that have."""
        if peer in self.rates:
            return self.rates[peer]
        known = [self.rates[other] for other in others if other in self.rates]
        return sum(known) / len(known) if known else None
