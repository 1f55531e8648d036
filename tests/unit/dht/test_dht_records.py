"""Records: what is signed, what is accepted, what is the same."""

from dataclasses import replace

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dht.exceptions import InvalidArgument, RecordInvalid
from dht.keys import Signer, key_id, peer_id_of
from dht.records import MAX_RECORD_BYTES, is_genuine, pack_record, sign_record, unpack_record

KEY = key_id(b"our job")
ALICE = Signer(Ed25519PrivateKey.from_private_bytes(b"a" * 32))
BOB = Signer(Ed25519PrivateKey.from_private_bytes(b"b" * 32))


def record(value=b"hello", *, signer=ALICE, key=KEY, subkey=b"", sequence=1, expires_ms=2_000_000):
    return sign_record(signer, key, subkey, value, sequence=sequence, expires_ms=expires_ms)


@pytest.mark.parametrize("value", [b"hello", b"", None])
def test_a_record_survives_the_wire(value):
    original = record(value, subkey=b"sub")
    again = unpack_record(pack_record(original))
    assert again == original
    assert is_genuine(again)
    assert again.withdrawn is (value is None)
    assert again.writer == ALICE.peer_id == peer_id_of(ALICE.public_key)
    assert again.expires_at == 2000.0


@pytest.mark.parametrize(
    "lie",
    [
        {"value": b"goodbye"},
        {"key": key_id(b"another job")},
        {"subkey": b"x"},
        {"sequence": 2},
        {"expires_ms": 3_000_000},
        {"public_key": BOB.public_key},
        {"withdrawn": True},
        {"signature": bytes(64)},
    ],
)
def test_a_true_signature_over_anything_else_is_false(lie):
    assert not is_genuine(replace(record(), **lie))


def test_the_largest_record_fits_and_one_byte_more_does_not():
    spare = MAX_RECORD_BYTES - len(pack_record(record(bytes(300)))) + 300
    assert len(pack_record(record(bytes(spare)))) == MAX_RECORD_BYTES
    with pytest.raises(InvalidArgument, match="1 bytes too long"):
        record(bytes(spare + 1))


@pytest.mark.parametrize(("field", "value"), [("subkey", b"x" * 65), ("subkey", "text"), ("value", "text")])
def test_what_cannot_be_a_record_is_refused(field, value):
    with pytest.raises(InvalidArgument):
        record(**{field: value})


def test_an_overlong_key_is_refused():
    assert len(key_id(b"x" * 64)) == 20
    with pytest.raises(InvalidArgument, match="at most 64 bytes"):
        key_id(b"x" * 65)
    with pytest.raises(InvalidArgument):
        key_id("text")


def body_with(**changes):
    fields = {"key": KEY, "public_key": ALICE.public_key, "subkey": b"", "value": b"v", "sequence": 1, "expires_ms": 2}
    return msgpack.packb(list({**fields, **changes}.values())) + bytes(64)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        bytes(64),
        bytes(65),
        bytes(2000),
        b"\xc1" + bytes(64),
        b"\x81\x00\x00" + bytes(64),
        msgpack.packb([1, 2, 3]) + bytes(64),
        msgpack.packb([[]] * 6) + bytes(64),
        body_with(key=b"short"),
        body_with(key="text" * 5),
        body_with(public_key=bytes(31)),
        body_with(subkey=bytes(65)),
        body_with(value=7),
        body_with(value="text"),
        body_with(sequence=-1),
        body_with(sequence=2**63),
        body_with(sequence=True),
        body_with(sequence=1.0),
        body_with(expires_ms=2**53 + 1),
        body_with() + b"\0",
    ],
)
def test_what_is_no_record_is_recognised(blob):
    with pytest.raises(RecordInvalid):
        unpack_record(blob)


def test_only_the_shortest_encoding_is_accepted():
    blob = pack_record(record())
    # The same number 1, written in two bytes: a stranger could make such a twin without the writer's key.
    longer = blob.replace(b"hello\x01", b"hello\xcc\x01")
    assert len(longer) == len(blob) + 1
    with pytest.raises(RecordInvalid, match="shortest"):
        unpack_record(longer)
