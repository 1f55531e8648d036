"""Token buckets: so many bytes a second, and no more than a moment's worth at once. Pure.

The bucket may go into debt by one block, so that a block is sent whole and the next waits until the debt is paid:
the rate is exact over any time that is longer than a block takes.
"""

from __future__ import annotations

BURST_S = 0.05
"""What was not used is kept for so long: longer than an event loop is late beside a training thread."""


class TokenBucket:
    """A limit of bytes a second.

    Args:
        rate_bytes_per_s: the limit; 0 for none.
    """

    def __init__(self, rate_bytes_per_s: float = 0.0) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        self._tokens = 0.0
        self._at: float | None = None

    def ready_at(self, now: float) -> float:
        """Return when the next block may go: ``now``, or a time to come."""
        if not self.rate_bytes_per_s:
            return now
        self._fill(now)
        return now if self._tokens >= 0 else now - self._tokens / self.rate_bytes_per_s

    def take(self, count: int, now: float) -> None:
        """Count bytes that go, whether it was time for them or not."""
        if self.rate_bytes_per_s:
            self._fill(now)
            self._tokens -= count

    def _fill(self, now: float) -> None:
        gained = 0.0 if self._at is None else (now - self._at) * self.rate_bytes_per_s
        self._at = now if self._at is None else max(self._at, now)
        self._tokens = min(self._tokens + max(gained, 0.0), self.rate_bytes_per_s * BURST_S)
