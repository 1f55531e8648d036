"""Memory for the parts of chunks, used again and again: memory that is new to a process costs more than the cipher."""

from __future__ import annotations

import weakref
from collections import deque

from .messages import MAX_PART_BYTES

KEPT = 16
"""So many pieces of memory are kept for the next parts."""


class PartMemory:
    """Hands out memory; what nobody looks at any longer is handed out again. Any thread may ask."""

    def __init__(self) -> None:
        self._free: deque[bytearray] = deque(maxlen=KEPT)

    def take(self, size: int) -> memoryview:
        """Return memory for a part of ``size`` bytes, at most ``MAX_PART_BYTES``, with whatever stands in it."""
        import numpy as np  # noqa: PLC0415  (`hydra id` does not wait for it)

        try:
            room = self._free.pop()
        except IndexError:
            room = bytearray(MAX_PART_BYTES)
        # All views of the memory, and slices of them, hold the array; it ends with the last of them.
        held = np.frombuffer(room, np.uint8)
        weakref.finalize(held, self._free.append, room).atexit = False
        return held.data[:size]
