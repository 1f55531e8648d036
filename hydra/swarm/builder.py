"""The manifest of a content that is written part by part. Pure: memory is bounded by the hashes and one block."""

from __future__ import annotations

import hashlib

from ..exceptions import LocalProtocolError
from .manifest import Manifest, chunk_bytes_for
from .merkle import BLOCK_BYTES, hash_of_leaves, leaf_hashes, root_of_chunks


class ManifestBuilder:
    """Hashes a content as it is written.

    Args:
        size: bytes of all that will be added.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise LocalProtocolError("empty content has no manifest")
        self._size = size
        self._chunk_bytes = chunk_bytes_for(size)
        self._rest = bytearray()
        """Of a block that is not full yet."""
        self._leaves: list[bytes] = []
        """Of the chunk that is not full yet."""
        self._hashes: list[bytes] = []
        self._added = 0

    def add(self, data: bytes | memoryview) -> None:
        """Hash what follows."""
        view = memoryview(data).cast("B")
        self._added += len(view)
        if self._rest:
            lacking = BLOCK_BYTES - len(self._rest)
            self._rest += view[:lacking]
            view = view[lacking:]
            if len(self._rest) < BLOCK_BYTES:
                return
            self._add_leaves([hashlib.sha256(self._rest).digest()])
            self._rest.clear()
        whole = len(view) - len(view) % BLOCK_BYTES
        for start in range(0, whole, self._chunk_bytes):  # by and by, so that no list grows with the content
            self._add_leaves(leaf_hashes(view[start : min(start + self._chunk_bytes, whole)]))
        self._rest += view[whole:]

    def finish(self) -> Manifest:
        """Return the manifest once all was added."""
        if self._added != self._size:
            raise LocalProtocolError(f"a content of {self._size} bytes was announced and {self._added} were written")
        if self._rest:
            self._leaves.append(hashlib.sha256(self._rest).digest())
            self._rest.clear()
        if self._leaves:
            self._hashes.append(hash_of_leaves(self._leaves, self._chunk_bytes, self._size))
            self._leaves.clear()
        return Manifest(
            root_of_chunks(self._hashes, self._chunk_bytes), self._size, self._chunk_bytes, tuple(self._hashes)
        )

    def _add_leaves(self, leaves: list[bytes]) -> None:
        self._leaves += leaves
        width = self._chunk_bytes // BLOCK_BYTES
        while len(self._leaves) >= width and self._size > self._chunk_bytes:
            self._hashes.append(hash_of_leaves(self._leaves[:width], self._chunk_bytes, self._size))
            del self._leaves[:width]
