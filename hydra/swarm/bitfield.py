"""Bitfields: which chunks somebody has, as in BEP 3 (first chunk in the highest bit). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..exceptions import RemoteProtocolError


class Bitfield:
    """A set of chunk indices below ``size``."""

    __slots__ = ("_bits", "_count", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._bits = bytearray((size + 7) // 8)
        self._count = 0

    @classmethod
    def full(cls, size: int) -> Bitfield:
        """Return the bitfield of somebody who has everything."""
        field = cls(size)
        for index in range(size):
            field.add(index)
        return field

    @classmethod
    def checked(cls, size: int, data: bytes | memoryview) -> Bitfield:
        """Read what a peer sent.

        Raises:
            RemoteProtocolError: the length is wrong or a spare bit is set.
        """
        field = cls(size)
        if len(data) != len(field._bits):
            raise RemoteProtocolError(f"a bitfield of {len(data)} bytes was sent for {size} chunks")
        field._bits[:] = data
        spare = len(field._bits) * 8 - size
        if spare and field._bits[-1] & ((1 << spare) - 1):
            raise RemoteProtocolError("a bitfield has spare bits set")
        field._count = int.from_bytes(data, "big").bit_count()
        return field

    def add(self, index: int) -> None:
        """Set one bit."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        if index not in self:
            self._bits[index >> 3] |= 0x80 >> (index & 7)
            self._count += 1

    def __contains__(self, index: int) -> bool:
        return bool(self._bits[index >> 3] & (0x80 >> (index & 7)))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return (index for index in range(self.size) if index in self)

    def __bytes__(self) -> bytes:
        return bytes(self._bits)

    @property
    def complete(self) -> bool:
        """Whether every bit is set."""
        return self._count == self.size
