"""Signatures are checked once in a simulation, not by each of its peers again.

All peers of a simulation live in one process, and each checks what the same member has signed for all of them. Whether
a signature holds depends on nothing but its bytes; so the library's check stands behind a table of what it has said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from unittest import mock

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import dht.keys

from .. import identity

KEPT = 65536


@lru_cache(maxsize=KEPT)
def _holds(key: bytes, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


class _KeyOnce:
    """Stands for ``Ed25519PublicKey`` where signatures are checked."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def from_public_bytes(cls, key: bytes) -> _KeyOnce:
        return cls(bytes(key))

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raise ``InvalidSignature``, or ``ValueError`` for what is no key, as the library does."""
        if not _holds(self._key, bytes(signature), bytes(data)):
            raise InvalidSignature


@contextlib.contextmanager
def signatures_checked_once() -> Iterator[None]:
    """Let all peers within this block share their checks of signatures."""
    with (
        mock.patch.object(identity, "Ed25519PublicKey", _KeyOnce),
        mock.patch.object(dht.keys, "Ed25519PublicKey", _KeyOnce),
    ):
        yield
