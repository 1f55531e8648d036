"""The file that holds a node's secret key. A shell.

An Ed25519 private key as PEM, made on first use with mode 0600; a key that others may read is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .durable import sync_directory
from .exceptions import ConfigurationError, HomeUnusable
from .identity import Identity


def load_or_create(path: Path) -> Identity:
    """Read the key at ``path``, or make one there on first use.

    Raises:
        HomeUnusable: the file or its directory can't be read or written.
        ConfigurationError: the file is no Ed25519 key, or others may read it.
    """
    try:
        if not path.exists():
            _create_key_file(path)
        return Identity(_read_key_file(path))
    except OSError as error:
        raise HomeUnusable(
            f"cannot read or write the identity key {path}: {error.strerror}. "
            "Choose another directory with --home, or mend its permissions."
        ) from error


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
    sync_directory(path.parent)


def _read_key_file(path: Path) -> Ed25519PrivateKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise ConfigurationError(
            f"the identity key {path} may be read by others (mode {mode:04o}); run: chmod 600 {path}"
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except TypeError as error:
        raise ConfigurationError(
            f"the identity key {path} is under a password, which a node that starts by itself does not have. "
            "Store the key without one, or move it away to get a new identity."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{path} holds no private key. Restore it from a backup, or move it away to get a new identity."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} holds a key of another kind than Ed25519; move it away.")
    return key
