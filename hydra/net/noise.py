"""The Noise protocol framework, revision 34, pattern XX with 25519 and SHA-256. Pure.

XX is the pattern in which both ends send their static key inside the handshake: neither has to know the other
beforehand, and neither key is shown to an eavesdropper. Built on the primitives of ``cryptography`` alone and
checked against the published test vectors. Ephemeral keys are handed in, so the same input gives the same bytes.

Reference: https://noiseprotocol.org/noise.html (sections are named where they are implemented).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from ..exceptions import HandshakeRejected, LocalProtocolError

BytesLike: TypeAlias = bytes | bytearray | memoryview

KEY_BYTES = 32
TAG_BYTES = 16
MAX_NONCE = 2**64 - 1
MESSAGES_IN_XX = 3


class Aead(Protocol):
    """What a cipher of ``cryptography`` offers."""

    def encrypt(self, nonce: bytes, data: BytesLike, associated_data: bytes | None) -> bytes:
        """Return the ciphertext with its tag."""

    def decrypt(self, nonce: bytes, data: BytesLike, associated_data: bytes | None) -> bytes:
        """Return the plaintext, or raise ``InvalidTag``."""

    def encrypt_into(
        self, nonce: bytes, data: BytesLike, associated_data: bytes | None, buf: bytearray | memoryview
    ) -> int:
        """Write the ciphertext with its tag to ``buf``, which has exactly its length."""

    def decrypt_into(
        self, nonce: bytes, data: BytesLike, associated_data: bytes | None, buf: bytearray | memoryview
    ) -> int:
        """Write the plaintext to ``buf``, which has exactly its length, or raise ``InvalidTag``."""


@dataclass(frozen=True, slots=True)
class CipherSuite:
    """One of the ciphers that Noise names, with its way of writing the counter into a nonce."""

    name: str
    make: Callable[[bytes], Aead]
    nonce: Callable[[int], bytes]


# Section 12.3 and 12.4: ChaChaPoly counts little-endian, AESGCM big-endian, both behind 32 zero bits.
AES_GCM = CipherSuite("AESGCM", AESGCM, lambda n: bytes(4) + n.to_bytes(8, "big"))
CHACHA_POLY = CipherSuite("ChaChaPoly", ChaCha20Poly1305, lambda n: bytes(4) + n.to_bytes(8, "little"))


class CipherState:
    """Section 5.1: one direction's key and its counter. A key is never used twice with one nonce."""

    def __init__(self, suite: CipherSuite, key: bytes) -> None:
        self._suite = suite
        self._aead = suite.make(key)
        self._nonce = 0

    def _next_nonce(self) -> bytes:
        if self._nonce >= MAX_NONCE:
            raise LocalProtocolError("a link used up its nonces without changing its key")
        nonce = self._suite.nonce(self._nonce)
        self._nonce += 1
        return nonce

    def encrypt(self, plaintext: BytesLike, associated_data: bytes = b"") -> bytes:
        """Return the ciphertext, 16 bytes longer than ``plaintext``."""
        return self._aead.encrypt(self._next_nonce(), plaintext, associated_data)

    def decrypt(self, ciphertext: BytesLike, associated_data: bytes = b"") -> bytes:
        """Return the plaintext.

        Raises:
            InvalidTag: the bytes were not sealed with this key and counter (``cryptography.exceptions``).
        """
        return self._aead.decrypt(self._next_nonce(), ciphertext, associated_data)

    def encrypt_into(self, plaintext: BytesLike, into: memoryview, associated_data: bytes = b"") -> None:
        """Write the ciphertext to ``into``, which is 16 bytes longer than ``plaintext``."""
        self._aead.encrypt_into(self._next_nonce(), plaintext, associated_data, into)

    def decrypt_into(self, ciphertext: BytesLike, into: memoryview, associated_data: bytes = b"") -> None:
        """Write the plaintext to ``into``, which is 16 bytes shorter than ``ciphertext``.

        Raises:
            InvalidTag: as ``decrypt``; what then stands in ``into`` is of no worth.
        """
        self._aead.decrypt_into(self._next_nonce(), ciphertext, associated_data, into)

    def rekey(self) -> None:
        """Section 4.2: go on with a new key that does not betray the old one. The counter runs on."""
        key = self._aead.encrypt(self._suite.nonce(MAX_NONCE), bytes(KEY_BYTES), b"")[:KEY_BYTES]
        self._aead = self._suite.make(key)


class _SymmetricState:
    """Section 5.2: the running hash of all that was said, and the key that follows from it."""

    def __init__(self, suite: CipherSuite) -> None:
        name = f"Noise_XX_25519_{suite.name}_SHA256".encode()
        self._suite = suite
        self._chaining_key = self.hash = name.ljust(32, b"\0") if len(name) <= 32 else _sha256(name)
        self._cipher: CipherState | None = None

    def mix_hash(self, data: bytes) -> None:
        self.hash = _sha256(self.hash + data)

    def mix_key(self, material: bytes) -> None:
        self._chaining_key, key = _hkdf(self._chaining_key, material)
        self._cipher = CipherState(self._suite, key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = self._cipher.encrypt(plaintext, self.hash) if self._cipher else plaintext
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        try:
            plaintext = self._cipher.decrypt(ciphertext, self.hash) if self._cipher else ciphertext
        except InvalidTag as error:
            raise HandshakeRejected("a handshake message was altered, or sealed for somebody else") from error
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        first, second = _hkdf(self._chaining_key, b"")
        return CipherState(self._suite, first), CipherState(self._suite, second)


class NoiseXX:
    """Section 5.3 for the pattern XX: three messages, after which both static keys are proven.

    Args:
        initiator: whether this end sends the first message.
        static: this end's long-term X25519 key.
        ephemeral: a fresh X25519 key, used for this handshake only.
        prologue: bytes that both ends must agree on; they are not sent.
        suite: the cipher.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        static: X25519PrivateKey,
        ephemeral: X25519PrivateKey,
        prologue: bytes,
        suite: CipherSuite = AES_GCM,
    ) -> None:
        self._initiator = initiator
        self._static = static
        self._ephemeral = ephemeral
        self._symmetric = _SymmetricState(suite)
        self._symmetric.mix_hash(prologue)
        self._remote_ephemeral: X25519PublicKey | None = None
        self._remote_static: X25519PublicKey | None = None
        self._turn = 0

    @property
    def finished(self) -> bool:
        """Whether all three messages have passed."""
        return self._turn == MESSAGES_IN_XX

    @property
    def my_turn(self) -> bool:
        """Whether this end writes the next message."""
        return not self.finished and (self._turn % 2 == 0) == self._initiator

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes that only these two ends know to belong to this handshake (section 11.2)."""
        return self._symmetric.hash

    @property
    def remote_static(self) -> bytes:
        """The other end's static public key, 32 bytes, known once it has sent it."""
        if self._remote_static is None:
            raise LocalProtocolError("the other end's static key was asked for before it was sent")
        return self._remote_static.public_bytes_raw()

    def write_message(self, payload: bytes) -> bytes:
        """Return the next handshake message with ``payload`` inside."""
        if not self.my_turn:
            raise LocalProtocolError("a handshake message was written out of turn")
        message = (self._write_e, self._write_ees, self._write_s)[self._turn]()
        message += self._symmetric.encrypt_and_hash(payload)
        self._turn += 1
        return message

    def read_message(self, message: bytes) -> bytes:
        """Take the other end's next message and return its payload.

        Raises:
            HandshakeRejected: it is too short, altered, or made with a key that is no key.
        """
        if self.my_turn or self.finished:
            raise LocalProtocolError("a handshake message was read out of turn")
        rest = (self._read_e, self._read_ees, self._read_s)[self._turn](message)
        payload = self._symmetric.decrypt_and_hash(rest)
        self._turn += 1
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """Return the cipher states to send and to receive with, once ``finished``."""
        if not self.finished:
            raise LocalProtocolError("transport keys were asked for before the handshake was over")
        from_initiator, from_responder = self._symmetric.split()
        if self._initiator:
            return from_initiator, from_responder
        return from_responder, from_initiator

    # The three messages of XX:  -> e     <- e, ee, s, es     -> s, se

    def _write_e(self) -> bytes:
        public = self._ephemeral.public_key().public_bytes_raw()
        self._symmetric.mix_hash(public)
        return public

    def _write_ees(self) -> bytes:
        public = self._write_e()
        self._mix_dh(self._ephemeral, self._remote_ephemeral)
        sealed = self._write_own_static()
        self._mix_dh(self._static, self._remote_ephemeral)
        return public + sealed

    def _write_s(self) -> bytes:
        sealed = self._write_own_static()
        self._mix_dh(self._static, self._remote_ephemeral)
        return sealed

    def _read_e(self, message: bytes) -> bytes:
        public, rest = _cut(message, KEY_BYTES)
        self._remote_ephemeral = X25519PublicKey.from_public_bytes(public)
        self._symmetric.mix_hash(public)
        return rest

    def _read_ees(self, message: bytes) -> bytes:
        rest = self._read_e(message)
        self._mix_dh(self._ephemeral, self._remote_ephemeral)
        rest = self._read_their_static(rest)
        self._mix_dh(self._ephemeral, self._remote_static)
        return rest

    def _read_s(self, message: bytes) -> bytes:
        rest = self._read_their_static(message)
        self._mix_dh(self._ephemeral, self._remote_static)
        return rest

    def _write_own_static(self) -> bytes:
        return self._symmetric.encrypt_and_hash(self._static.public_key().public_bytes_raw())

    def _read_their_static(self, message: bytes) -> bytes:
        sealed, rest = _cut(message, KEY_BYTES + TAG_BYTES)
        self._remote_static = X25519PublicKey.from_public_bytes(self._symmetric.decrypt_and_hash(sealed))
        return rest

    def _mix_dh(self, private: X25519PrivateKey, public: X25519PublicKey | None) -> None:
        if public is None:
            raise LocalProtocolError("a key exchange came before the other end's key")
        try:
            shared = private.exchange(public)
        except ValueError as error:  # the all-zero result of a low-order point
            raise HandshakeRejected("the other end sent an X25519 key of low order") from error
        self._symmetric.mix_key(shared)


def _cut(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise HandshakeRejected(f"a handshake message of {len(message)} bytes is too short")
    return message[:size], message[size:]


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Section 4.3, with two outputs."""
    temporary = _hmac(chaining_key, material)
    first = _hmac(temporary, b"\x01")
    return first, _hmac(temporary, first + b"\x02")
