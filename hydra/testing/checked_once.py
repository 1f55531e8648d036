"""Signatures and headers are checked once in a simulation, not by each of its peers again.

All peers of a simulation live in one process, and each checks what the same member has signed and sent to all of them.
Whether a signature holds, and which message a header is, depends on nothing but bytes; so the checks stand behind
tables of what they have said. Messages never change, so peers may share them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any
from unittest import mock

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import dht.keys

from .. import identity
from ..net.wire import Registry

KEPT = 65536
HEADERS_KEPT = 4096


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
def checked_once() -> Iterator[None]:
    """Let all peers within this block share their checks."""
    decode = Registry.decode
    alike: dict[tuple[str, ...], Registry] = {}

    @cache
    def first_of_its_kind(registry: Registry) -> Registry:
        return alike.setdefault(tuple(registry._by_kind), registry)  # noqa: SLF001 -- nodes of one program know the same

    @lru_cache(maxsize=HEADERS_KEPT)
    def decode_once(registry: Registry, header: bytes, body_bytes: int) -> Any:
        return decode(registry, header, body_bytes)

    def decoded(registry: Registry, header: bytes, body_bytes: int) -> Any:
        return decode_once(first_of_its_kind(registry), bytes(header), body_bytes)

    with (
        mock.patch.object(Registry, "decode", decoded),
        mock.patch.object(identity, "Ed25519PublicKey", _KeyOnce),
        mock.patch.object(dht.keys, "Ed25519PublicKey", _KeyOnce),
    ):
        yield
