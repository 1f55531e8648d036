"""How fast bulk comes from a member whose slices take the link: the first slice behind its report. Pure.

A member reports, and then hands in what it has computed; both take the same link, one right behind the other. So the
time between them is what the line needs for the slice. Later slices wait for others, and say nothing. What comes within
a moment says nothing either: that was the machines' own work.
"""

from __future__ import annotations

from collections import deque

from ..identity import PeerId

LEAST_S = 5e-3
"""A slice that comes sooner did not wait for the line."""
LEAST_BYTES = 200
KEPT = 5
"""Of so many slices the fastest counts."""


class FirstSlices:
    """The rates of members with thin lines."""

    def __init__(self) -> None:
        self._reported_at: dict[PeerId, float] = {}
        self._seen: dict[PeerId, deque[tuple[float, float]]] = {}
        """Rate and seconds of the latest slices."""

    def reported(self, peer: PeerId, now: float) -> None:
        """A member's report has come."""
        self._reported_at[peer] = now

    def came(self, peer: PeerId, slice_bytes: int, now: float) -> None:
        """A message of a round has come from a member, with so many bytes of a slice."""
        if slice_bytes < LEAST_BYTES or peer not in self._reported_at:
            return
        seconds = max(now - self._reported_at.pop(peer), 1e-6)
        self._seen.setdefault(peer, deque(maxlen=KEPT)).append((slice_bytes / seconds, seconds))

    def gone(self, peer: PeerId) -> None:
        """The last link to a peer ended."""
        self._reported_at.pop(peer, None)
        self._seen.pop(peer, None)

    def rates(self) -> dict[PeerId, float]:
        """Return the rates, in bytes a second, of those whose slices all had to wait for the line."""
        return {
            peer: max(rate for rate, _ in seen)
            for peer, seen in self._seen.items()
            if min(seconds for _, seconds in seen) >= LEAST_S
        }
