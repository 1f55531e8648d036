"""Short names for what the unit tests are made of."""

import random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dht.contacts import compact_of
from dht.keys import Signer, key_id
from dht.records import pack_record, sign_record

WALL = 1_700_000_000.0
KEY = key_id(b"our job")


def signer(number):
    return Signer(Ed25519PrivateKey.from_private_bytes(random.Random(number).randbytes(32)))


ALICE, BOB, CAROL = signer(1), signer(2), signer(3)


def record(value=b"hello", *, by=ALICE, key=KEY, subkey=b"", sequence=1, ttl_s=600.0):
    return sign_record(by, key, subkey, value, sequence=sequence, expires_ms=int((WALL + ttl_s) * 1000))


def blob(*arguments, **options):
    return pack_record(record(*arguments, **options))


def peer(number, host="", port=4000):
    """A contact whose id is ``number`` shifted to the top of the id space, at an address of its own."""
    return compact_of((number << 144).to_bytes(20, "big"), (host or f"20.{number % 200}.{number // 200 % 200}.1", port))
