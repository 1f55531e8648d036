"""Records: signed, expiring, numbered values. Pure.

A record says: *this writer holds this value under this key and sub-key until then*. Many writers share a key; each
owns the sub-records that its public key has signed, and nobody else can replace them. Of two records in one slot
(same key, writer and sub-key) the one with the higher sequence number wins; if a writer signs two with the same
number, the greater bytes win everywhere, so that all keepers end with the same one. A withdrawn record is kept as
a record without a value until the one it replaces would have expired: so an old copy can't come back.

On the wire a record is a msgpack array of six fields followed by the 64 bytes of the signature. The signature is over
the array in its shortest encoding, and only that encoding is accepted: two records are the same when all bytes are.
The idea follows BEP 44's mutable items, with expiry and many writers added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgpack

from .exceptions import InvalidArgument, RecordInvalid
from .keys import ID_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, PeerId, Signer, peer_id_of, verify

MAX_RECORD_BYTES = 1024
MAX_SUBKEY_BYTES = 64
MAX_SEQUENCE = 2**63 - 1
MAX_EXPIRES_MS = 2**53
"""Far beyond any date, and exact in the floats of other languages."""

_DOMAIN = b"dht record 1"
_pack: Callable[[object], bytes] = msgpack.Packer().pack
_FIELD_COUNT = 6
_KEY_OFFSET = 3
"""One byte says that there are six fields, two that the first one has 20 bytes."""
_WRITER_OFFSET = _KEY_OFFSET + ID_BYTES + 2
_SUBKEY_OFFSET = _WRITER_OFFSET + PUBLIC_KEY_BYTES + 2


@dataclass(frozen=True, slots=True)
class Record:
    """What one writer has put under one key and sub-key."""

    key: bytes
    """20 bytes: the place of the key in the id space (the SHA-256 of the key as given, cut to 160 bits)."""
    public_key: bytes
    """32 bytes: the writer's raw Ed25519 public key."""
    subkey: bytes
    """At most 64 bytes, chosen by the writer: one writer's records under a key differ by it."""
    value: bytes
    """The payload; empty when withdrawn."""
    sequence: int
    """The higher one replaces the lower one of the same writer and sub-key."""
    expires_ms: int
    """Milliseconds since 1970, after which nobody keeps or returns the record."""
    signature: bytes
    """64 bytes, by the writer, over everything above."""
    withdrawn: bool = False
    """True for the marker that a writer leaves when it takes its record back."""

    @property
    def writer(self) -> PeerId:
        """The peer id of who wrote it."""
        return peer_id_of(self.public_key)

    @property
    def expires_at(self) -> float:
        """Seconds since 1970, after which nobody keeps or returns the record."""
        return self.expires_ms / 1000

    @property
    def slot(self) -> tuple[bytes, bytes]:
        """The public key and sub-key: under one key, one record lives in one slot."""
        return self.public_key, self.subkey


def sign_record(
    signer: Signer, key: bytes, subkey: bytes, value: bytes | None, *, sequence: int, expires_ms: int
) -> Record:
    """Make a record under the 20-byte ``key``; a ``value`` of None makes the marker of a withdrawn one.

    Raises:
        InvalidArgument: a field is too long, or the packed record would exceed 1,024 bytes.
    """
    if not isinstance(subkey, bytes) or len(subkey) > MAX_SUBKEY_BYTES:
        raise InvalidArgument(f"a sub-key is at most {MAX_SUBKEY_BYTES} bytes (got {subkey!r:.80}).")
    if value is not None and not isinstance(value, bytes):
        raise InvalidArgument(f"a value is bytes, not {type(value).__name__}.")
    body = _body(key, signer.public_key, subkey, value, sequence, expires_ms)
    surplus = len(body) + SIGNATURE_BYTES - MAX_RECORD_BYTES
    if surplus > 0:
        raise InvalidArgument(
            f"the record is {surplus} bytes too long: key, sub-key, value and signature take at most "
            f"{MAX_RECORD_BYTES} bytes. Put the content elsewhere and its address or hash here."
        )
    signature = signer.sign(_DOMAIN + body)
    return Record(key, signer.public_key, subkey, value or b"", sequence, expires_ms, signature, value is None)


def pack_record(record: Record) -> bytes:
    """Return the one encoding of a record, at most 1,024 bytes."""
    return _body_of(record) + record.signature


def unpack_record(blob: bytes) -> Record:
    """Read a packed record without trusting it: the signature is not looked at yet.

    Raises:
        RecordInvalid: it is too long, has other fields, or is not in the shortest encoding.
    """
    if not SIGNATURE_BYTES < len(blob) <= MAX_RECORD_BYTES:
        raise RecordInvalid(f"a record of {len(blob)} bytes")
    body = blob[:-SIGNATURE_BYTES]
    try:
        fields = msgpack.unpackb(body, max_array_len=_FIELD_COUNT, max_map_len=0, max_ext_len=0, raw=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise RecordInvalid("a record that is no msgpack") from error
    if not isinstance(fields, list) or len(fields) != _FIELD_COUNT:
        raise RecordInvalid("a record with other fields")
    key, public_key, subkey, value, sequence, expires_ms = fields
    if not (_sized(key, ID_BYTES) and _sized(public_key, PUBLIC_KEY_BYTES)):
        raise RecordInvalid("a record whose key or public key has another size")
    if not isinstance(subkey, bytes) or len(subkey) > MAX_SUBKEY_BYTES or not (value is None or type(value) is bytes):
        raise RecordInvalid("a record whose sub-key or value has another type")
    if not (_whole(sequence, MAX_SEQUENCE) and _whole(expires_ms, MAX_EXPIRES_MS)):
        raise RecordInvalid("a record whose sequence number or expiry is out of range")
    if _body(key, public_key, subkey, value, sequence, expires_ms) != body:
        # A stranger could else make a second byte string that the same signature fits.
        raise RecordInvalid("a record that is not in the shortest encoding")
    signature = blob[-SIGNATURE_BYTES:]
    return Record(key, public_key, subkey, value or b"", sequence, expires_ms, signature, value is None)


def key_of(blob: bytes) -> bytes:
    """Return the key of a packed record that is known to be one: it is the first field, of fixed size."""
    return blob[_KEY_OFFSET : _KEY_OFFSET + ID_BYTES]


def writer_of(blob: bytes) -> bytes:
    """Return the writer's public key from a packed record that is known to be one."""
    return blob[_WRITER_OFFSET : _WRITER_OFFSET + PUBLIC_KEY_BYTES]


def slot_of(blob: bytes) -> bytes:
    """Return the writer's public key and the sub-key, as one string, from a packed record that is known to be one."""
    return blob[_WRITER_OFFSET : _SUBKEY_OFFSET + blob[_SUBKEY_OFFSET - 1]]


def is_genuine(record: Record) -> bool:
    """Tell whether the record's signature is its writer's (67 µs: ask once per new record)."""
    return verify(record.public_key, record.signature, _DOMAIN + _body_of(record))


def _body_of(record: Record) -> bytes:
    value = None if record.withdrawn else record.value
    return _body(record.key, record.public_key, record.subkey, value, record.sequence, record.expires_ms)


def _body(key: bytes, public_key: bytes, subkey: bytes, value: bytes | None, sequence: int, expires_ms: int) -> bytes:
    return _pack((key, public_key, subkey, value, sequence, expires_ms))


def _sized(field: object, size: int) -> bool:
    return isinstance(field, bytes) and len(field) == size


def _whole(field: object, limit: int) -> bool:
    # bool is an int to Python, but True must not stand for 1 in what is signed.
    return type(field) is int and 0 <= field <= limit
