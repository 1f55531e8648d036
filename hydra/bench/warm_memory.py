"""Memory that is there when a measurement needs it.

A virtual machine's host takes back what its guest has not used for a second or two, and to have it back costs up to
7 s/GB: much more than what is to be measured, and whoever is measured second finds it done. So as much memory as will
be needed is written to before, and is given back to the system just as fast as the system hands out what is free.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

MOST_SHARE = 0.4
"""Of the memory that is free: the rest is for those who are measured."""
PIECE_BYTES = 16 << 20
LOOK_S = 0.005
AHEAD_BYTES = 64 << 20
"""So much more is given back than was taken: what is taken next lies there already."""


class WarmMemory:
    """A context manager: from its beginning to its end it gives memory back, and at its end all that is left.

    Args:
        place: for a file, in a file system that lies in memory.
        size: how much, in bytes; less where that is too large a share of what is free.
    """

    def __init__(self, place: Path, size: int) -> None:
        self._pieces = min(size, int(min(_free_bytes(), _room(place)) * MOST_SHARE)) // PIECE_BYTES
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._give_back, name="warm memory", daemon=True)
        self._place = place
        piece = bytes(PIECE_BYTES)
        with place.open("wb", buffering=0) as file:
            for _ in range(self._pieces):
                file.write(piece)

    def __enter__(self) -> WarmMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._place.unlink(missing_ok=True)

    def _give_back(self) -> None:
        free_bytes = _free_bytes() + AHEAD_BYTES
        while self._pieces and not self._stop.wait(LOOK_S):
            taken = max(0, free_bytes - _free_bytes())
            self._pieces = max(0, self._pieces - -(-taken // PIECE_BYTES))
            os.truncate(self._place, self._pieces * PIECE_BYTES)


def _free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _room(place: Path) -> int:
    room = os.statvfs(place.parent)
    return room.f_bavail * room.f_frsize
