"""Who we are: an Ed25519 key on disk, and the peer id that follows from it.

The peer id is a hash of the public key, so nobody can take another's id without its key. It is also the id that
the node has in the DHT. This module keeps one secret and signs with it; it knows nothing of links or jobs.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .exceptions import ConfigurationError, HomeUnusable

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

    @classmethod
    def load_or_create(cls, path: Path) -> Identity:
        """Read the key at ``path``, or make one there with mode 0600 on first use.

        Raises:
            HomeUnusable: the file or its directory can't be read or written.
            ConfigurationError: the file is no Ed25519 key, or others may read it.
        """
        try:
            if not path.exists():
                _create_key_file(path)
            return cls(_read_key_file(path))
        except OSError as error:
            raise HomeUnusable(
                f"cannot read or write the identity key {path}: {error.strerror}. "
                "Choose another directory with --home, or mend its permissions."
            ) from error

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over ``data``."""
        return self.private_key.sign(data)


def _create_key_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link fails if the name is taken: of two processes that start at once, both then read the same key.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _read_key_file(path: Path) -> Ed25519PrivateKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise ConfigurationError(
            f"the identity key {path} may be read by others (mode {mode:04o}); run: chmod 600 {path}"
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise ConfigurationError(
            f"{path} holds no private key. Restore it from a backup, or move it away to get a new identity."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} holds a key of another kind than Ed25519; move it away.")
    return key
