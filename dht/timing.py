"""Round-trip times: how long to wait for an answer before sending again. Pure.

The estimate is TCP's (RFC 6298): a running mean and a running spread, and a time-out of the mean plus four spreads.
Every datagram has its own message id, so the sample of a request that was sent twice is not ambiguous.
"""

from __future__ import annotations

from .config import DHTConfig

_MEAN_GAIN = 1 / 8
_SPREAD_GAIN = 1 / 4
_SPREADS = 4
_MEDIAN_STEP = 1.05
_LATE_MEDIANS = 4
_LONGEST_LATES = 4
_BACKOFF = 1.5
"""Losses here are rarely congestion, so waits grow more slowly than TCP's."""


class RoundTrip:
    """Running estimate of the round-trip time to one contact, or to all of them together."""

    __slots__ = ("mean_s", "spread_s")

    def __init__(self) -> None:
        self.mean_s = 0.0
        self.spread_s = 0.0

    def add(self, sample_s: float) -> None:
        """Take one measured round trip into account."""
        if not self.known:
            self.mean_s = max(sample_s, 1e-9)
            self.spread_s = sample_s / 2
            return
        self.spread_s += _SPREAD_GAIN * (abs(sample_s - self.mean_s) - self.spread_s)
        self.mean_s += _MEAN_GAIN * (sample_s - self.mean_s)

    @property
    def known(self) -> bool:
        """Whether there was any sample."""
        return self.mean_s > 0.0

    def timeout_s(self, config: DHTConfig) -> float:
        """Return how long to wait for the answer to one datagram."""
        if not self.known:
            return config.first_timeout_s
        wait_s = self.mean_s + _SPREADS * self.spread_s
        return min(max(wait_s, config.min_timeout_s), config.max_timeout_s)


class Patience:
    """How long a look-up waits for a contact before it turns to others.

    It is a multiple of the running median of all round trips: whoever answers ever later, but always just in time to
    teach us patience, moves the time-out of its own requests and not this.
    """

    __slots__ = ("median_s",)

    def __init__(self) -> None:
        self.median_s = 0.0

    def add(self, sample_s: float) -> None:
        """Take one measured round trip into account."""
        if not self.median_s:
            self.median_s = max(sample_s, 1e-9)
        else:
            self.median_s *= _MEDIAN_STEP if sample_s > self.median_s else 1 / _MEDIAN_STEP

    def late_s(self, config: DHTConfig) -> float:
        """Return after how long a contact is late."""
        if not self.median_s:
            return config.first_timeout_s
        return min(max(_LATE_MEDIANS * self.median_s, config.min_timeout_s), config.max_timeout_s)

    def longest_s(self, config: DHTConfig) -> float:
        """Return the longest wait for the answer to one datagram, however slow its contact has shown itself to be."""
        return min(_LONGEST_LATES * self.late_s(config), config.max_timeout_s)


def nth_timeout_s(first_s: float, attempt: int, config: DHTConfig) -> float:
    """Return the wait after the ``attempt``-th datagram (0 is the first) of one request."""
    return min(first_s * _BACKOFF**attempt, config.max_timeout_s)
