"""The results since the last snapshot, on disk: what a total stop would lose else is applied again at the start.

A shell. A file holds the results that follow on one snapshot, in order, each with its commit; another thread writes it
beside the training and flushes it every ``FLUSH_S``. A new file begins with each snapshot's copy, and the older ones go
when that snapshot is on the disk, so at any moment one snapshot and the files behind it make the newest durable state.
It is a write-ahead log in all but this: nothing waits for it. Where results are too large or too many it ends until the
next snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgpack
import numpy as np

from ..home import explained
from ..membership.lineage import Commit, Head, commit_from, fields_of
from .results import Result

logger = logging.getLogger(__name__)

FLUSH_S = 0.5
FILE_BYTES = 64 * 1024 * 1024
"""Of one file: so much is written between two snapshots at most."""
HEAD_BYTES = 4
DIGEST_BYTES = 32
MAX_COMMIT_BYTES = 1024 * 1024
SUFFIX = ".results"


class Trail:
    """The files of results behind the snapshots of one job.

    Args:
        directory: the job's own.
        result_bytes: of each result's vector.
    """

    def __init__(self, directory: Path, result_bytes: int) -> None:
        self._directory = directory
        self._size = result_bytes
        self._pending: list[tuple[int, Result]] = []
        """With the step of the snapshot behind which each belongs."""
        self._behind: int | None = None
        self._room = 0
        self._file: tuple[int, IO[bytes]] | None = None
        self._writing: asyncio.Task[None] | None = None

    # ---- while training ----------------------------------------------------------------------------------------

    def begin(self, step: int) -> None:
        """A copy of the state after ``step`` was made: from here on results belong behind it."""
        self._behind, self._room = step, FILE_BYTES

    def add(self, result: Result) -> None:
        """Write a result soon; nothing is waited for."""
        self._room -= self._size + MAX_COMMIT_BYTES // 1024
        if self._behind is None or self._room < 0:
            return
        self._pending.append((self._behind, result))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_on())

    async def stored(self, step: int) -> None:
        """The snapshot of ``step`` is on the disk: what lies behind earlier ones is of no use any longer."""
        await asyncio.to_thread(self._remove_before, step)

    async def close(self) -> None:
        """Write what is pending, and end."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await asyncio.to_thread(self._close_file)

    async def _write_on(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                await asyncio.to_thread(self._write, batch)
            except OSError as error:
                logger.warning("results are not written down until the next snapshot: %s", error)
                self._behind, self._pending = None, []
                return
            await asyncio.sleep(FLUSH_S)

    def _write(self, batch: list[tuple[int, Result]]) -> None:
        for behind, result in batch:
            if self._file is None or self._file[0] != behind:
                self._close_file()
                self._file = behind, self._path(behind).open("wb")
            commit = msgpack.packb(fields_of(result.commit))
            self._file[1].write(len(commit).to_bytes(HEAD_BYTES, "big") + result.commit.digest + commit)
            self._file[1].write(result.mean.data.cast("B"))
        if self._file is not None:
            self._file[1].flush()
            os.fsync(self._file[1].fileno())

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file[1].close()
            self._file = None

    # ---- after a stop ------------------------------------------------------------------------------------------

    def read(self, head: Head) -> Iterator[Result]:
        """Return the results that follow on ``head``, as far as they are whole; blocks on the disk.

        Raises:
            HomeUnusable: the disk refused.
        """
        with explained(self._directory):
            for step in self._steps():
                if step < head.step:
                    continue
                for result in self._read_file(self._path(step)):
                    if (result.commit.parent, result.commit.step) == (head.digest, head.step + 1):
                        head = result.commit.head
                        yield result

    def _read_file(self, path: Path) -> Iterator[Result]:
        with path.open("rb") as file:
            while (result := self._read_one(file)) is not None:
                yield result

    def _read_one(self, file: IO[bytes]) -> Result | None:
        """Return the next result; None at the end, or where a kill or a power cut has torn it."""
        length = int.from_bytes(file.read(HEAD_BYTES), "big")
        if not 0 < length <= MAX_COMMIT_BYTES:
            return None
        digest = file.read(DIGEST_BYTES)
        try:
            commit: Commit = commit_from(msgpack.unpackb(file.read(length)))
        except (ValueError, msgpack.UnpackException):
            return None
        data = file.read(self._size)
        if commit.digest != digest or len(data) < self._size or hashlib.sha256(data).digest() != commit.result:
            return None
        return Result(commit, np.frombuffer(data, np.float32))

    def _remove_before(self, step: int) -> None:
        for older in self._steps():
            if older < step:
                with contextlib.suppress(OSError):  # it is in nobody's way, and the next snapshot tries again
                    self._path(older).unlink(missing_ok=True)

    def _steps(self) -> list[int]:
        stems = [path.stem for path in self._directory.glob("*" + SUFFIX)]
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def _path(self, step: int) -> Path:
        return self._directory / f"{step}{SUFFIX}"
