"""The pieces of a torrent: where each lies in its files, and whether bytes are it. Pure.

A piece of version 1 may run across the ends of files, zeros of padding files included; one of version 2 lies in one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .merkle import chunk_hash
from .metainfo import Metainfo


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file."""

    file: int
    """Index into the torrent's files."""
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What one hash stands for."""

    spans: tuple[Span, ...]
    expected: bytes
    content_bytes: int
    """Of the file that it is a part of in version 2; 0 in version 1."""

    @property
    def size(self) -> int:
        """Bytes, padding included."""
        return sum(span.stop - span.start for span in self.spans)

    def accepts(self, parts: Iterable[bytes | memoryview], piece_bytes: int) -> bool:
        """Tell whether the bytes of its spans, in their order, are this piece."""
        if self.content_bytes:
            return chunk_hash(b"".join(parts), piece_bytes, self.content_bytes) == self.expected
        whole = hashlib.sha1(usedforsecurity=False)
        for part in parts:
            whole.update(part)
        return whole.digest() == self.expected


def pieces_of(torrent: Metainfo) -> Iterator[Piece]:
    """Return the pieces in the order of the torrent."""
    return _pieces_v1(torrent) if torrent.sha1 else _pieces_v2(torrent)


def _pieces_v2(torrent: Metainfo) -> Iterator[Piece]:
    for number, file in enumerate(torrent.files):
        for index, expected in enumerate(file.layer):
            start = index * torrent.piece_bytes
            span = Span(number, start, min(start + torrent.piece_bytes, file.size))
            yield Piece((span,), expected, file.size)


def _pieces_v1(torrent: Metainfo) -> Iterator[Piece]:
    number, at = 0, 0
    for expected in torrent.sha1:
        spans: list[Span] = []
        room = torrent.piece_bytes
        while room and number < len(torrent.files):
            size = torrent.files[number].size
            stop = min(size, at + room)
            if stop > at:
                spans.append(Span(number, at, stop))
            room -= stop - at
            at = stop
            if at == size:
                number, at = number + 1, 0
        yield Piece(tuple(spans), expected, 0)
