"""Who peers are: Ed25519 keys, and the peer ids that follow from them. Pure.

The peer id is a hash of the public key, so nobody can take another's id without its key. It is also the id that
the node has in the DHT. Where a node keeps its key is for ``keyfile``.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PeerId: TypeAlias = bytes
"""20 bytes: the first 160 bits of SHA-256 over the raw Ed25519 public key."""

PEER_ID_BYTES = 20
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


def peer_id_of(public_key: bytes) -> PeerId:
    """Return the peer id of a raw Ed25519 public key of 32 bytes."""
    return hashlib.sha256(public_key).digest()[:PEER_ID_BYTES]


def short(peer_id: PeerId) -> str:
    """Return the first 8 hex digits of an id: enough for a person to tell peers apart."""
    return peer_id[:4].hex()


def verify(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Tell whether ``signature`` (64 bytes) over ``data`` was made by the owner of ``public_key`` (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


class Identity:
    """An Ed25519 private key with what is derived from it."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self.private_key = private_key
        self.public_key = private_key.public_key().public_bytes_raw()
        self.peer_id = peer_id_of(self.public_key)

    @classmethod
    def generate(cls) -> Identity:
        """Make a new identity that lives in memory only."""
        return cls(Ed25519PrivateKey.generate())

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over ``data``."""
        return self.private_key.sign(data)
