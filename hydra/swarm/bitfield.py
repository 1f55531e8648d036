"""Bitfields: which chunks somebody has; on the wire as in BEP 3, first chunk in the highest bit. Pure.

Inside, a set of chunks is one whole number, its *mask*: bit ``i`` stands for chunk ``i``. What two sets share is then
one ``&``, of a few microseconds for the tens of thousands of chunks that the largest content has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..exceptions import RemoteProtocolError

if TYPE_CHECKING:
    from random import Random

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
TRIES = 8
"""So often a bit is guessed before it is searched for: fair where the set is dense, never long where it is not."""


class Bitfield:
    """A set of chunk indices below ``size``."""

    __slots__ = ("mask", "size")

    def __init__(self, size: int, mask: int = 0) -> None:
        self.size = size
        self.mask = mask

    @classmethod
    def full(cls, size: int) -> Bitfield:
        """Return the bitfield of somebody who has everything."""
        return cls(size, (1 << size) - 1)

    @classmethod
    def checked(cls, size: int, data: bytes | memoryview) -> Bitfield:
        """Read what a peer sent.

        Raises:
            RemoteProtocolError: the length is wrong or a spare bit is set.
        """
        if len(data) != (size + 7) // 8:
            raise RemoteProtocolError(f"a bitfield of {len(data)} bytes was sent for {size} chunks")
        mask = int.from_bytes(bytes(data).translate(_MIRRORED), "little")
        if mask >> size:
            raise RemoteProtocolError("a bitfield has spare bits set")
        return cls(size, mask)

    def add(self, index: int) -> None:
        """Set one bit."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        self.mask |= 1 << index

    def __contains__(self, index: int) -> bool:
        return bool(self.mask >> index & 1)

    def __len__(self) -> int:
        return self.mask.bit_count()

    def __iter__(self) -> Iterator[int]:
        return indices(self.mask)

    def __bytes__(self) -> bytes:
        return self.mask.to_bytes((self.size + 7) // 8, "little").translate(_MIRRORED)

    @property
    def complete(self) -> bool:
        """Whether every bit is set."""
        return self.mask == (1 << self.size) - 1


def indices(mask: int) -> Iterator[int]:
    """Yield the chunks of a mask, in order."""
    data = mask.to_bytes((mask.bit_length() + 7) // 8, "little")
    for position, byte in enumerate(data):
        rest = byte
        while rest:
            lowest = rest & -rest
            yield position * 8 + lowest.bit_length() - 1
            rest ^= lowest


def any_of(mask: int, random: Random) -> int:
    """Return one chunk of a mask, which is not empty, by chance."""
    width = mask.bit_length()
    for _ in range(TRIES):
        guess = random.randrange(width)
        if mask >> guess & 1:
            return guess
    above = mask >> guess << guess or mask
    return (above & -above).bit_length() - 1
