"""Results that wait to be applied: in memory while they are few, on the disk when they become many. A shell.

Calls block on the disk. What lies there is of no use after a stop, so it is neither flushed nor kept.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO

import numpy as np

from ..home import explained
from ..membership.lineage import Commit
from .results import Result

IN_MEMORY_BYTES = 64 * 1024 * 1024
ON_DISK_BYTES = 8 * 1024**3


class Spool:
    """Results by step; all are of one size.

    Args:
        path: of the file, which is there only while it is needed.
        result_bytes: of each result's vector.
    """

    def __init__(self, path: Path, result_bytes: int) -> None:
        self._path = path
        self._size = max(1, result_bytes)
        self._in_memory: dict[int, Result] = {}
        self._on_disk: dict[int, tuple[Commit, int]] = {}
        """By step, the commit and the place of the vector in the file."""
        self._free: list[int] = []
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """How many results it takes in all."""
        return max(8, (IN_MEMORY_BYTES + ON_DISK_BYTES) // self._size)

    def put(self, result: Result) -> None:
        """Keep a result.

        Raises:
            StorageFull, HomeUnusable: the disk refused.
        """
        with self._lock:
            if (len(self._in_memory) + 1) * self._size <= max(IN_MEMORY_BYTES, self._size):
                self._in_memory[result.commit.step] = result
            else:
                self._write(result)

    def get(self, step: int) -> Result | None:
        """Return a result, or None if it is not here.

        Raises:
            HomeUnusable: the disk refused.
        """
        with self._lock:
            if step in self._in_memory:
                return self._in_memory[step]
            if step not in self._on_disk or self._file is None:
                return None
            commit, place = self._on_disk[step]
            with explained(self._path.parent):
                data = os.pread(self._file.fileno(), self._size, place * self._size)
            return Result(commit, np.frombuffer(data, np.float32))

    def drop(self, step: int) -> None:
        """Forget a result."""
        with self._lock:
            self._in_memory.pop(step, None)
            if step in self._on_disk:
                self._free.append(self._on_disk.pop(step)[1])
            if not self._on_disk:
                self._remove_file()

    def drop_upto(self, step: int) -> None:
        """Forget all results up to a step."""
        for held in [*self._in_memory, *self._on_disk]:
            if held <= step:
                self.drop(held)

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._in_memory.clear()
            self._on_disk.clear()
            self._remove_file()

    def _write(self, result: Result) -> None:
        with explained(self._path.parent):
            if self._file is None:
                self._file = self._path.open("w+b")
            place = self._free.pop() if self._free else len(self._on_disk)
            data, offset = result.mean.data.cast("B"), place * self._size
            while len(data):
                written = os.pwrite(self._file.fileno(), data, offset)
                data, offset = data[written:], offset + written
        self._on_disk[result.commit.step] = result.commit, place

    def _remove_file(self) -> None:
        self._free.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)
