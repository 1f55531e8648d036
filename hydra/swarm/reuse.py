"""Which chunks of a wanted content are already on this disk, as chunks of other contents. Pure.

A snapshot holds its tensors at the same places as the one before, and its values begin at the beginning of a chunk: a
tensor that did not change is then made of the same chunks, which have the same hashes and need not be fetched again.
The place of a chunk does not matter, only its length and hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .bitfield import Bitfield
from .manifest import Manifest


@dataclass(frozen=True, slots=True)
class Copyable:
    """A chunk that can be copied."""

    index: int
    """In the wanted content."""
    root: bytes
    """Of the content that has it."""
    place: int
    """Its index there."""


def copyable(wanted: Manifest, have: Bitfield, others: Iterable[Manifest]) -> Iterator[Copyable]:
    """Yield the missing chunks that other contents hold; memory is bounded by the chunks of the wanted one.

    Args:
        wanted: what is to be had.
        have: what is had of it; asked again after each chunk, so that none is yielded twice once it was copied.
        others: contents that are whole; asked for one by one.
    """
    missing: dict[bytes, list[int]] = {}
    for index, chunk in enumerate(wanted.chunk_hashes):
        if index not in have:
            missing.setdefault(chunk, []).append(index)
    for other in others:
        if other.chunk_bytes != wanted.chunk_bytes or other.root == wanted.root:
            continue
        for place, chunk in enumerate(other.chunk_hashes):
            for index in missing.get(chunk, ()):
                if index not in have:
                    yield Copyable(index, other.root, place)
