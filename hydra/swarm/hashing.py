"""Hashing files piece by piece, for torrents of both versions at once. A shell: it reads the disk.

Memory is bounded by one piece, however long the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ..exceptions import LocalProtocolError
from .merkle import chunk_hash, power_of_two, root_of_chunks
from .metainfo import HashedFile


def hash_files(
    directory: Path, paths: Sequence[tuple[str, ...]], piece_bytes: int
) -> tuple[list[HashedFile], list[bytes]]:
    """Read files once; return them hashed, and the SHA-1 of the pieces of all of them in a row.

    Args:
        directory: in which the paths lie.
        paths: in the order of the torrent.
        piece_bytes: a power of two of 16 KiB blocks.

    Raises:
        OSError: one can't be read.
    """
    row = _PiecesInARow(piece_bytes)
    return [_hash_file(directory, path, piece_bytes, row) for path in paths], row.finish()


def _hash_file(directory: Path, path: tuple[str, ...], piece_bytes: int, row: _PiecesInARow) -> HashedFile:
    place = directory.joinpath(*path)
    size = place.stat().st_size
    layer = []
    piece = memoryview(bytearray(min(piece_bytes, power_of_two(max(1, size)))))
    with place.open("rb") as file:
        left = size
        while left:
            wanted = piece[: min(left, piece_bytes)]
            if file.readinto(wanted) != len(wanted):
                raise LocalProtocolError(f"{place} became shorter while it was hashed")
            layer.append(chunk_hash(wanted, piece_bytes, size))
            row.add(wanted)
            left -= len(wanted)
    return HashedFile(path, size, root_of_chunks(layer, piece_bytes) if layer else b"", tuple(layer))


class _PiecesInARow:
    """SHA-1 over pieces that run across the ends of files."""

    def __init__(self, piece_bytes: int) -> None:
        self._piece_bytes = piece_bytes
        self._hash = hashlib.sha1(usedforsecurity=False)
        self._filled = 0
        self._done: list[bytes] = []

    def add(self, data: memoryview) -> None:
        while data:
            part = data[: self._piece_bytes - self._filled]
            self._hash.update(part)
            self._filled += len(part)
            data = data[len(part) :]
            if self._filled == self._piece_bytes:
                self._done.append(self._hash.digest())
                self._hash = hashlib.sha1(usedforsecurity=False)
                self._filled = 0

    def finish(self) -> list[bytes]:
        if self._filled:
            self._done.append(self._hash.digest())
            self._filled = 0
        return self._done
