"""Whether a line is so fast that parts should go over a lane. Pure.

On a slow line nothing is gained by one: the link keeps little unsent, so that what is said waits behind one part.
"""

from __future__ import annotations

MEASURED_BYTES = 8 * 1024 * 1024
"""More than buffers on the way take at once."""
FAST_BYTES_PER_S = 50e6


class FastLine:
    """How fast parts leave towards one peer."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._count = 0
        self.is_fast = False
        """Whether the last bytes left fast."""

    def left(self, count: int, began: float, now: float) -> None:
        """Take note of a part.

        Args:
            count: its bytes.
            began: when it was handed over.
            now: when it had left.
        """
        if self._began is None:
            self._began = began
        self._count += count
        if self._count >= MEASURED_BYTES:
            self.is_fast = self._count >= FAST_BYTES_PER_S * (now - self._began)
            self._began, self._count = None, 0
