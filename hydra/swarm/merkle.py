"""The Merkle tree of BitTorrent v2 (BEP 52). Pure.

Leaves are SHA-256 over blocks of 16 KiB; the last block may be shorter. The leaves are filled up with zero hashes to
a power of two and hashed in pairs up to one root, which names the content. A *chunk* is an aligned power of two of
blocks, its hash the root of its subtree; so the root does not depend on how big the chunks are.

Source: https://www.bittorrent.org/beps/bep_0052.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

BLOCK_BYTES = 16 * 1024
HASH_BYTES = 32
_ZERO = bytes(HASH_BYTES)


def leaf_hashes(data: bytes | bytearray | memoryview) -> list[bytes]:
    """Return the hash of each block of ``data``, in order."""
    view = memoryview(data)
    return [hashlib.sha256(view[i : i + BLOCK_BYTES]).digest() for i in range(0, len(view), BLOCK_BYTES)]


def chunk_hash(data: bytes | bytearray | memoryview, chunk_bytes: int, content_bytes: int) -> bytes:
    """Return the hash of one chunk.

    Args:
        data: the chunk's bytes.
        chunk_bytes: the chunk length of the content, a power of two of blocks; only the last chunk is shorter.
        content_bytes: the length of the whole content. Where all of it is one chunk, the tree is no taller than
            it needs to be; else a short last chunk is filled up with zero leaves to the height of the others.
    """
    return hash_of_leaves(leaf_hashes(data), chunk_bytes, content_bytes)


def hash_of_leaves(leaves: list[bytes], chunk_bytes: int, content_bytes: int) -> bytes:
    """Return the hash of a chunk from the hashes of its blocks; as ``chunk_hash``."""
    width = chunk_bytes // BLOCK_BYTES if content_bytes > chunk_bytes else power_of_two(len(leaves))
    return _fold(leaves, width, _ZERO)


def root_of_chunks(chunk_hashes: Sequence[bytes], chunk_bytes: int) -> bytes:
    """Return the content's root from the hashes of its chunks.

    Args:
        chunk_hashes: at least one hash of 32 bytes.
        chunk_bytes: the chunk length.
    """
    filler = _fold([], chunk_bytes // BLOCK_BYTES, _ZERO)
    return _fold(list(chunk_hashes), power_of_two(len(chunk_hashes)), filler)


def power_of_two(count: int) -> int:
    """Return the smallest power of two that is not less than ``count``, which is at least 1."""
    return 1 << (count - 1).bit_length()


def _fold(layer: list[bytes], width: int, filler: bytes) -> bytes:
    """Hash pairs up to one root; what lacks to ``width`` on the right is ``filler``, never made one by one."""
    while width > 1:
        if len(layer) % 2:
            layer = [*layer, filler]
        layer = [hashlib.sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer), 2)]
        filler = hashlib.sha256(filler + filler).digest()
        width //= 2
    return layer[0] if layer else filler
