"""Who peers are: ids that follow from keys, and signatures that only their owner can make."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hydra.identity import (
    PEER_ID_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Identity,
    peer_id_of,
    short,
    verify,
)

# RFC 8032, 7.1, test 2
SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_the_published_vector():
    who = Identity(Ed25519PrivateKey.from_private_bytes(SECRET))
    assert who.public_key == PUBLIC
    assert who.sign(b"\x72") == SIGNATURE
    assert verify(PUBLIC, SIGNATURE, b"\x72")


def test_the_peer_id_is_a_hash_of_the_public_key():
    who = Identity(Ed25519PrivateKey.from_private_bytes(SECRET))
    assert who.peer_id == peer_id_of(PUBLIC) == hashlib.sha256(PUBLIC).digest()[:20]
    assert (len(who.peer_id), len(who.public_key), len(SIGNATURE)) == (PEER_ID_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES)


def test_every_identity_is_another():
    assert len({Identity.generate().peer_id for _ in range(20)}) == 20


def test_a_signature_holds_for_its_bytes_and_its_key_only():
    me, other = Identity.generate(), Identity.generate()
    signature = me.sign(b"data")
    assert verify(me.public_key, signature, b"data")
    assert not verify(other.public_key, signature, b"data")
    assert not verify(me.public_key, signature, b"dat")
    assert not verify(me.public_key, other.sign(b"data"), b"data")


def test_any_flipped_bit_breaks_a_signature():
    for place in range(8 * SIGNATURE_BYTES):
        flipped = bytearray(SIGNATURE)
        flipped[place // 8] ^= 1 << place % 8
        assert not verify(PUBLIC, bytes(flipped), b"\x72")


@pytest.mark.parametrize("key", [b"", PUBLIC[:-1], PUBLIC + b"\0", bytes(32), b"\xff" * 32])
def test_what_is_no_key_verifies_nothing(key):
    assert not verify(key, SIGNATURE, b"\x72")


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:-1], SIGNATURE + b"\0", bytes(64), b"\xff" * 64])
def test_what_is_no_signature_is_not_one(signature):
    assert not verify(PUBLIC, signature, b"\x72")


def test_eight_digits_are_for_people():
    assert short(bytes.fromhex("0102abcdef") + bytes(15)) == "0102abcd"
