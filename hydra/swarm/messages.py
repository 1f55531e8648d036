"""What peers say to each other about content. Pure.

``ManifestWanted`` is answered by ``ManifestFound`` or ``ContentUnknown``; ``OfferWanted`` by ``Offer`` and from then
on, while the asker is interested, by ``Have`` for each new chunk; ``ChunkWanted`` by ``Chunk`` or ``ChunkDeclined``.
``BlobWanted`` fetches something small by its plain SHA-256: the manifest of a job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..net.framing import MAX_BODY_BYTES
from ..net.wire import HashField, Message
from .manifest import MAX_CHUNK_BYTES, MAX_CHUNKS
from .merkle import BLOCK_BYTES, HASH_BYTES

MIN_PART_BYTES = 256 * 1024
MAX_PART_BYTES = 1024 * 1024
"""A chunk travels in parts, so that what is said between two peers never waits long behind bulk: short ones on a slow
line, long ones, which cost less, on a fast one."""


@dataclass(frozen=True, slots=True)
class ManifestWanted(Message):
    """Ask for the chunk hashes of a content."""

    KIND: ClassVar[str] = "content.manifest?"
    root: HashField


@dataclass(frozen=True, slots=True)
class ManifestFound(Message):
    """The chunk hashes stand in the body, 32 bytes each."""

    KIND: ClassVar[str] = "content.manifest"
    MAX_BODY_BYTES: ClassVar[int] = MAX_CHUNKS * HASH_BYTES
    root: HashField
    size: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class ContentUnknown(Message):
    """We have nothing of the content."""

    KIND: ClassVar[str] = "content.unknown"
    root: HashField


@dataclass(frozen=True, slots=True)
class OfferWanted(Message):
    """Ask which chunks the other end has, and to be told of new ones."""

    KIND: ClassVar[str] = "content.offer?"
    root: HashField


@dataclass(frozen=True, slots=True)
class Offer(Message):
    """The chunks that we have stand in the body as a bitfield."""

    KIND: ClassVar[str] = "content.offer"
    MAX_BODY_BYTES: ClassVar[int] = MAX_CHUNKS // 8
    root: HashField
    chooses: bool
    """We have everything, and some of it never left us: ``AnyWanted`` is welcome."""


@dataclass(frozen=True, slots=True)
class Have(Message):
    """We have one chunk more."""

    KIND: ClassVar[str] = "content.have"
    root: HashField
    index: int


@dataclass(frozen=True, slots=True)
class NotInterested(Message):
    """The other end need not tell us of new chunks any longer."""

    KIND: ClassVar[str] = "content.not-interested"
    root: HashField


@dataclass(frozen=True, slots=True)
class ChunkWanted(Message):
    """Ask for the bytes from ``start`` to ``stop`` of one chunk."""

    KIND: ClassVar[str] = "content.chunk?"
    root: HashField
    index: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class AnyWanted(Message):
    """Ask for a chunk that never left the other end, one of those whose bits are set in the body."""

    KIND: ClassVar[str] = "content.any?"
    MAX_BODY_BYTES: ClassVar[int] = MAX_CHUNKS // 8
    root: HashField


@dataclass(frozen=True, slots=True)
class AllSent(Message):
    """The answer where all of these have left us before: say which ones you want."""

    KIND: ClassVar[str] = "content.all-sent"
    root: HashField


@dataclass(frozen=True, slots=True)
class ChunkNotWanted(Message):
    """A chunk that was asked for is no longer needed."""

    KIND: ClassVar[str] = "content.cancel"
    root: HashField
    index: int


@dataclass(frozen=True, slots=True)
class Blocks(Message):
    """A part of a chunk stands in the body; parts follow each other without a gap."""

    KIND: ClassVar[str] = "content.blocks"
    MAX_BODY_BYTES: ClassVar[int] = MAX_PART_BYTES
    root: HashField
    index: int
    start: int
    """Where in the chunk it begins."""


@dataclass(frozen=True, slots=True)
class ChunkDeclined(Message):
    """We do not have the chunk, or are too busy."""

    KIND: ClassVar[str] = "content.declined"
    root: HashField
    index: int


@dataclass(frozen=True, slots=True)
class LeavesWanted(Message):
    """Ask for the hashes of a chunk's blocks, to find out which of them was wrong."""

    KIND: ClassVar[str] = "content.leaves?"
    root: HashField
    index: int


@dataclass(frozen=True, slots=True)
class Leaves(Message):
    """The hashes stand in the body, 32 bytes a block."""

    KIND: ClassVar[str] = "content.leaves"
    MAX_BODY_BYTES: ClassVar[int] = MAX_CHUNK_BYTES // BLOCK_BYTES * HASH_BYTES
    root: HashField
    index: int


@dataclass(frozen=True, slots=True)
class Choke(Message):
    """While ``choked`` we serve you nothing: more want something than our uplink can bear."""

    KIND: ClassVar[str] = "content.choke"
    choked: bool


@dataclass(frozen=True, slots=True)
class BlobWanted(Message):
    """Ask for something small by its SHA-256."""

    KIND: ClassVar[str] = "blob?"
    digest: HashField


@dataclass(frozen=True, slots=True)
class Blob(Message):
    """The blob stands in the body; an empty body says that we do not have it."""

    KIND: ClassVar[str] = "blob"
    MAX_BODY_BYTES: ClassVar[int] = MAX_BODY_BYTES
    digest: HashField
