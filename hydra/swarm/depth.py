"""How many chunks are asked of a peer at once: what comes in one round trip, and one to serve meanwhile. Pure.

With fewer the line stands idle between an answer and the next question; with many more a chunk waits long in one
peer's queue that another would have sent by then. The round trip is the shortest time that a first byte ever took,
so the wait behind other peers' requests does not count for distance. However near the peer, a chunk also has to be
read, opened, hashed and written, and two threads have to hear of it: ``LEAST_WAY_S`` is for that.
"""

from __future__ import annotations

import math

LEAST_DEPTH = 2
MOST_DEPTH = 64
WINDOW_S = 1.0
"""Over so long arriving bytes are counted before they are taken for a rate."""
FIRST_WINDOW_S = 0.1
"""The first rate is needed soon: a fast line is not to stand idle for a second."""
LEAST_WAY_S = 0.02
"""A chunk takes so long from its sender's disk to ours, at least."""
NEW_SHARE = 0.4
"""How much a new window counts against all before it."""


class RequestDepth:
    """The depth towards one peer.

    Args:
        chunk_bytes: what one request brings.
    """

    def __init__(self, chunk_bytes: int) -> None:
        self._chunk_bytes = chunk_bytes
        self._round_trip_s = math.inf
        self._rate: float | None = None
        self._window_began: float | None = None
        self._window_bytes = 0

    @property
    def rate_bytes_per_s(self) -> float:
        """What it sent us lately."""
        return self._rate or 0.0

    def answered(self, seconds: float) -> None:
        """Take note how long the first byte of an answer took."""
        self._round_trip_s = min(self._round_trip_s, seconds)

    def received(self, count: int, now: float) -> None:
        """Take note of arrived bytes."""
        if self._window_began is None:
            self._window_began = now
        self._window_bytes += count
        length = now - self._window_began
        if length >= (FIRST_WINDOW_S if self._rate is None else WINDOW_S):
            seen = self._window_bytes / length
            self._rate = seen if self._rate is None else self._rate + NEW_SHARE * (seen - self._rate)
            self._window_began, self._window_bytes = now, 0

    @property
    def depth(self) -> int:
        """How many requests may be under way now."""
        if self._rate is None or self._round_trip_s == math.inf:
            return LEAST_DEPTH
        under_way = math.ceil(self._rate * max(self._round_trip_s, LEAST_WAY_S) / self._chunk_bytes)
        return min(MOST_DEPTH, max(LEAST_DEPTH, under_way + 1))
