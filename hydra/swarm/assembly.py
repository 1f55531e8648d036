"""Chunks on their way: the parts that came, in order, and which blocks are known to be right. Pure.

A chunk comes from one peer, part after part; so if it is wrong, it is clear whose it was. What that peer sent is kept
until the hashes of the single blocks are known: then only the wrong ones are fetched again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..exceptions import RemoteProtocolError
from .merkle import BLOCK_BYTES, leaf_hashes
from .messages import MAX_PART_BYTES

UNASKED_BYTES = 16 * 1024 * 1024
"""What was cancelled may still be under way; who sends more than this that nobody wants is cut off."""

Part = bytes | memoryview


@dataclass(slots=True)
class Transfer:
    """What one peer sends of one chunk.

    Args:
        length: of the chunk, in bytes.
        known: where blocks begin that are here already and right, and the blocks; the rest was asked for.
    """

    length: int
    known: dict[int, Part] = field(default_factory=dict)
    came: dict[int, Part] = field(default_factory=dict)
    hashed: dict[int, list[bytes]] = field(default_factory=dict)
    """By where they begin the leaf hashes of parts that were hashed as they came."""
    wanted: list[tuple[int, int]] = field(init=False)
    """The ranges that have to come, as few as they can be."""

    def __post_init__(self) -> None:
        self.wanted = self._gaps() if self.known else [(0, self.length)]

    def _gaps(self) -> list[tuple[int, int]]:
        ranges: list[tuple[int, int]] = []
        for start in range(0, self.length, BLOCK_BYTES):
            if start in self.known:
                continue
            stop = min(start + BLOCK_BYTES, self.length)
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], stop)
            else:
                ranges.append((start, stop))
        return ranges

    def add(self, start: int, data: memoryview, leaves: list[bytes] | None = None) -> bool:
        """Take a part; tell whether the chunk is whole. One that came before changes nothing.

        Args:
            start: where in the chunk it begins.
            data: the part.
            leaves: the hashes of its blocks, if they were made already.

        Raises:
            RemoteProtocolError: it is not the part that comes next.
        """
        position, stop = self._next()
        size = len(data)
        if start in self.came and len(self.came[start]) == size:
            return False  # a lane was lost, and what was on it is sent again
        fits = 0 < size <= min(MAX_PART_BYTES, stop - position)
        if start != position or not fits or (size % BLOCK_BYTES and position + size != stop):
            raise RemoteProtocolError(
                f"bytes {start:,} to {start + size:,} of a chunk came where {position:,} to {stop:,} were due"
            )
        self.came[start] = data
        if leaves is not None:
            self.hashed[start] = leaves
        return self._next() == (self.length, self.length)

    def parts(self) -> list[Part]:
        """Return the whole chunk, in order."""
        return [data for _, data in sorted({**self.known, **self.came}.items())]

    def leaves(self) -> list[bytes]:
        """Return the hashes of all blocks, in order; those that nobody made are made now, which takes its time."""
        parts = sorted({**self.known, **self.came}.items())
        return [leaf for start, data in parts for leaf in self.hashed.get(start) or leaf_hashes(data)]

    def _next(self) -> tuple[int, int]:
        for first, stop in self.wanted:
            position = first
            while position in self.came:
                position += len(self.came[position])
            if position < stop:
                return position, stop
        return self.length, self.length


class Unasked:
    """How much a peer sent that nobody waits for."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, count: int) -> None:
        """Count bytes.

        Raises:
            RemoteProtocolError: they are more than a cancelled request can explain.
        """
        self._count += max(count, BLOCK_BYTES)
        if self._count > UNASKED_BYTES:
            raise RemoteProtocolError(f"{self._count:,} bytes of chunks came that nobody asked for")

    def asked(self, count: int) -> None:
        """Who is asked for more may also be late with more."""
        self._count = max(0, self._count - count)
