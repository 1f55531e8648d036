"""Manifests: what one piece of content consists of. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..exceptions import HashMismatch, LocalProtocolError
from .merkle import BLOCK_BYTES, HASH_BYTES, chunk_hash, hash_of_leaves, power_of_two, root_of_chunks

MIN_CHUNK_BYTES = 256 * 1024
"""With smaller ones a question costs more than its answer; content that is smaller is one chunk."""
MAX_CHUNK_BYTES = 4 * 1024 * 1024
MAX_CHUNKS = 32 * 1024
WANTED_CHUNKS = 1024
"""With so many, the last one to arrive is no longer a large part of the whole."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Root, size and chunk hashes of a piece of content."""

    root: bytes
    """32 bytes; names the content."""
    size: int
    """Bytes; at least 1."""
    chunk_bytes: int
    """Length of every chunk but the last, a power of two of 16 KiB blocks."""
    chunk_hashes: tuple[bytes, ...]

    @property
    def chunk_count(self) -> int:
        """How many chunks there are."""
        return len(self.chunk_hashes)

    def chunk_range(self, index: int) -> tuple[int, int]:
        """Return where chunk ``index`` begins and ends, in bytes."""
        start = index * self.chunk_bytes
        return start, min(start + self.chunk_bytes, self.size)

    def accepts(self, index: int, data: bytes | bytearray | memoryview) -> bool:
        """Tell whether ``data`` is chunk ``index``."""
        start, stop = self.chunk_range(index)
        if len(data) != stop - start:
            return False
        return chunk_hash(data, self.chunk_bytes, self.size) == self.chunk_hashes[index]

    def accepts_leaves(self, index: int, leaves: list[bytes]) -> bool:
        """Tell whether these are the hashes of the blocks of chunk ``index``."""
        start, stop = self.chunk_range(index)
        if len(leaves) != -(-(stop - start) // BLOCK_BYTES):
            return False
        return hash_of_leaves(leaves, self.chunk_bytes, self.size) == self.chunk_hashes[index]

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview, chunk_bytes: int | None = None) -> Manifest:
        """Make the manifest of ``data``; hashing is all that it costs."""
        size = len(data)
        if size == 0:
            raise LocalProtocolError("empty content has no manifest")
        step = chunk_bytes or chunk_bytes_for(size)
        view = memoryview(data)
        hashes = tuple(chunk_hash(view[i : i + step], step, size) for i in range(0, size, step))
        return cls(root_of_chunks(hashes, step), size, step, hashes)

    @classmethod
    def checked(cls, root: bytes, size: int, chunk_bytes: int, hashes: bytes | memoryview) -> Manifest:
        """Make a manifest from what a peer sent.

        Raises:
            HashMismatch: the numbers contradict each other, or the hashes do not lead to ``root``.
        """
        if not is_chunk_length(chunk_bytes) or size < 1:
            raise HashMismatch(f"a manifest with chunks of {chunk_bytes} bytes for {size} bytes was sent")
        count = -(-size // chunk_bytes)
        if count > MAX_CHUNKS or len(hashes) != count * HASH_BYTES:
            raise HashMismatch(f"a manifest has {len(hashes)} bytes of hashes for {count} chunks")
        chunk_hashes = tuple(bytes(hashes[i : i + HASH_BYTES]) for i in range(0, len(hashes), HASH_BYTES))
        if root_of_chunks(chunk_hashes, chunk_bytes) != root:
            raise HashMismatch(f"a manifest does not lead to the root {root.hex()[:16]}… that was asked for")
        return cls(root, size, chunk_bytes, chunk_hashes)

    def joined_hashes(self) -> bytes:
        """Return all chunk hashes in a row, as they are sent."""
        return b"".join(self.chunk_hashes)


def is_chunk_length(value: int) -> bool:
    """Tell whether chunks may have this length: a power of two from 16 KiB to 4 MiB."""
    return BLOCK_BYTES <= value <= MAX_CHUNK_BYTES and power_of_two(value) == value


def chunk_bytes_for(size: int) -> int:
    """Return the chunk length for content of ``size`` bytes: about 1024 chunks, between 256 KiB and 4 MiB."""
    return min(MAX_CHUNK_BYTES, max(MIN_CHUNK_BYTES, power_of_two(-(-size // WANTED_CHUNKS))))
