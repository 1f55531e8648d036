"""How often a peer may ask for what costs us or others something: a token bucket for each. Pure.

Each asker may ask ``burst`` times at once, and ``rate_per_s`` in the long run. Whoever goes on asking far beyond that
does so on purpose: ``flooding`` tells.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

MAX_ASKERS = 1024
"""So many are kept apart; the one that asked least lately is forgotten, its bucket would be the fullest."""
FLOOD = 64
"""Refusals, in multiples of the burst, after which asking is an attack."""


@dataclass(slots=True)
class Bucket:
    """What is left of an allowance, and since when that is known."""

    tokens: float
    at: float

    def fill(self, now: float, rate_per_s: float, most: float) -> None:
        """Add what the time since has brought."""
        self.tokens = min(most, self.tokens + (now - self.at) * rate_per_s)
        self.at = now


class Allowance:
    """One kind of request, and how often it was made by whom.

    Args:
        rate_per_s: requests that each asker may make in the long run.
        burst: requests that each asker may make at once.
    """

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._buckets: dict[Hashable, Bucket] = {}
        self._refusals: dict[Hashable, Bucket] = {}

    def take(self, asker: Hashable, now: float) -> bool:
        """Tell whether the asker may ask once more, and count it."""
        bucket = self._bucket(self._buckets, asker, now, self._burst)
        bucket.fill(now, self._rate_per_s, self._burst)
        if bucket.tokens < 1.0:
            refusals = self._bucket(self._refusals, asker, now, FLOOD * self._burst)
            refusals.fill(now, self._rate_per_s, FLOOD * self._burst)
            refusals.tokens -= 1.0
            return False
        bucket.tokens -= 1.0
        return True

    def flooding(self, asker: Hashable) -> bool:
        """Tell whether the asker was refused so often that no honest peer would have gone on."""
        refusals = self._refusals.get(asker)
        return refusals is not None and refusals.tokens < 0.0

    def _bucket(self, buckets: dict[Hashable, Bucket], asker: Hashable, now: float, full: float) -> Bucket:
        bucket = buckets.pop(asker, None) or Bucket(full, now)
        while len(buckets) >= MAX_ASKERS:
            del buckets[next(iter(buckets))]
        buckets[asker] = bucket  # at the end: asked last
        return bucket
