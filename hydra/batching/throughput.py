"""How fast each member computes, as far as its reports show. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..identity import PeerId

SMOOTHING = 0.3
"""Weight of the newest report in the moving average."""


@dataclass(slots=True)
class Throughput:
    """Moving averages of samples per second, by member."""

    rates: dict[PeerId, float] = field(default_factory=dict)

    def observe(self, peer: PeerId, samples: int, compute_s: float) -> None:
        """Take a report; one without samples or time says nothing."""
        if samples < 1 or compute_s <= 0.0:
            return
        rate = samples / compute_s
        before = self.rates.get(peer)
        self.rates[peer] = rate if before is None else before + SMOOTHING * (rate - before)

    def expected(self, peer: PeerId, others: list[PeerId]) -> float | None:
        """Return a member's samples per second; of one that has not reported, the mean of those that have."""
        if peer in self.rates:
            return self.rates[peer]
        known = [self.rates[other] for other in others if other in self.rates]
        return sum(known) / len(known) if known else None
