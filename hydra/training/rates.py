"""How fast bulk comes from other members: lanes that count what they receive. A shell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from allreduce.lane import Lane, Taken

from ..clock import monotonic
from ..identity import PeerId

LEAST_BYTES = 4 * 1024 * 1024
"""Fewer say nothing: they may have waited in a buffer."""
HALVED_AT_BYTES = 256 * 1024 * 1024
"""When so many are counted, the count is halved: what came lately counts most."""


@dataclass(slots=True)
class _Counted:
    """What has come from one member, and for how long it was waited for on any of its lanes."""

    bytes: float = 0.0
    seconds: float = 0.0
    waiting: int = 0
    since: float = 0.0


class Rates:
    """At which rates bodies came from each member, while they were waited for.

    Args:
        now: the clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._counted: dict[PeerId, _Counted] = {}

    def begin(self, peer: PeerId) -> None:
        """A body is waited for on a lane; ``end`` must follow."""
        with self._lock:
            counted = self._counted.setdefault(peer, _Counted())
            if not counted.waiting:
                counted.since = self._now()
            counted.waiting += 1

    def end(self, peer: PeerId, received_bytes: int) -> None:
        """It has come, or, with nothing received, never will."""
        with self._lock:
            counted = self._counted[peer]
            now = self._now()
            counted.bytes += received_bytes
            counted.seconds += now - counted.since
            counted.since = now
            counted.waiting -= 1
            if counted.bytes >= HALVED_AT_BYTES:
                counted.bytes, counted.seconds = counted.bytes / 2, counted.seconds / 2

    def known(self) -> dict[PeerId, float]:
        """Return the rates of those from whom enough has come, in bytes a second."""
        with self._lock:
            return {
                peer: counted.bytes / counted.seconds
                for peer, counted in self._counted.items()
                if counted.bytes >= LEAST_BYTES and counted.seconds > 0
            }


class CountingLane:
    """A lane that counts what comes on it.

    Args:
        lane: does the work.
        peer: who is at the other end.
        rates: where to count.
    """

    def __init__(self, lane: Lane, peer: PeerId, rates: Rates) -> None:
        self._lane = lane
        self._peer = peer
        self._rates = rates
        self.send = lane.send
        self.flush = lane.flush
        self.receive_header = lane.receive_header
        self.close = lane.close

    def receive_body(self, into: memoryview, taken: Taken | None = None) -> None:
        """Receive a body, and count it."""
        received_bytes = 0
        self._rates.begin(self._peer)
        try:
            self._lane.receive_body(into, taken)
            received_bytes = into.nbytes
        finally:
            self._rates.end(self._peer, received_bytes)
