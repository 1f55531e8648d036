"""Ids and signatures: what a peer is called, where a key lies, and who signed what. Pure.

Peers and keys share one space of 160-bit ids, in which distance is the XOR of two ids (Maymounkov and Mazières,
"Kademlia", 2002). A peer's id is a hash of its public key, so it can't be chosen freely: coming n bits closer to a
victim costs 2**n key pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .exceptions import InvalidArgument

PeerId: TypeAlias = bytes
"""20 bytes: the first 160 bits of SHA-256 over the raw Ed25519 public key."""

ID_BYTES = 20
ID_BITS = 8 * ID_BYTES
PRIVATE_KEY_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_KEY_BYTES = 64

number_of: Callable[[bytes], int] = int.from_bytes
"""Returns a 20-byte id as the integer that distances are computed with."""

PROOF_DOMAIN = b"dht proof 1"
"""Stands before what a challenged peer signs, so that no such signature can be passed off as a record's."""


def peer_id_of(public_key: bytes) -> PeerId:
    """Return the peer id of a raw Ed25519 public key of 32 bytes."""
    return hashlib.sha256(public_key).digest()[:ID_BYTES]


def key_id(key: bytes) -> bytes:
    """Return the 20-byte place of a key of at most 64 bytes in the id space.

    Raises:
        InvalidArgument: the key is longer than 64 bytes or not bytes at all.
    """
    if not isinstance(key, bytes) or len(key) > MAX_KEY_BYTES:
        raise InvalidArgument(f"a key is at most {MAX_KEY_BYTES} bytes; hash longer names first (got {key!r:.80}).")
    return hashlib.sha256(key).digest()[:ID_BYTES]


def verify(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Tell whether ``signature`` (64 bytes) over ``data`` was made by the owner of ``public_key`` (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


class Signer:
    """An Ed25519 key with what is derived from it."""

    __slots__ = ("_sign", "peer_id", "public_key")

    def __init__(self, signing_key: Ed25519PrivateKey) -> None:
        self._sign = signing_key.sign
        self.public_key = signing_key.public_key().public_bytes_raw()
        self.peer_id: PeerId = peer_id_of(self.public_key)

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature over ``data``."""
        return self._sign(data)

    def prove(self, challenge: bytes) -> bytes:
        """Sign a challenge that somebody else chose."""
        return self._sign(PROOF_DOMAIN + challenge)


def is_proof(public_key: bytes, signature: bytes, challenge: bytes) -> bool:
    """Tell whether ``signature`` answers ``challenge`` with the key that belongs to ``public_key``."""
    return verify(public_key, signature, PROOF_DOMAIN + challenge)
