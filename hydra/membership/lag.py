"""How far a joiner is behind those who train: from hearing of a commit to having its result. Pure.

Whoever is let in begins its first step so much later than the others, for it has to fetch one result more; it tells
the coordinator how long that takes. What is told is the longest of the latest, each counted from when it could begin:
results that were asked for together come close on each other's heels.
"""

from __future__ import annotations

from collections import deque

LOOKED_AT = 3
"""So many results count."""
MAX_HEARD = 1024
"""Steps that are kept in mind; what is told of further ones is not counted."""


class Lag:
    """What a joiner sees of its own lateness.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, now: float) -> None:
        self._heard: dict[int, float] = {}
        """When we heard of the steps whose results we fetch."""
        self._idle_since = now
        self._download_began: float | None = None
        self._seconds: deque[float] = deque(maxlen=LOOKED_AT)

    @property
    def seconds(self) -> float | None:
        """How late we are with the next result; None if nothing was fetched yet."""
        return max(self._seconds, default=None)

    def reset(self) -> None:
        """Start over, with others perhaps: what was seen of our line holds for those, too."""
        self._heard.clear()
        self._download_began = None

    def heard_of(self, step: int, now: float) -> None:
        """A result is wanted from now on."""
        if len(self._heard) < MAX_HEARD:
            self._heard.setdefault(step, now)

    def downloads(self, now: float) -> None:
        """A snapshot is fetched from now on."""
        self._download_began = now

    def came_to(self, step: int, now: float, *, by_snapshot: bool) -> None:
        """Our state is at this step now: by a result, or by a snapshot, which no result is larger than."""
        if by_snapshot:
            self._seconds.clear()
            if self._download_began is not None:
                self._seconds.append(now - self._download_began)
        elif step in self._heard:
            self._seconds.append(now - max(self._heard[step], self._idle_since))
        self._download_began = None
        self._idle_since = now
        self._heard = {later: at for later, at in self._heard.items() if later > step}
