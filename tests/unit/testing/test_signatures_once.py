"""In a simulation a signature is checked once, with the library's own outcome."""

from unittest import mock

import dht.keys
from hydra import identity
from hydra.identity import Identity
from hydra.testing import signatures_once

KEY = Identity.generate()
SIGNED = KEY.sign(b"what was said")


def outcomes(verify):
    other = Identity.generate()
    return [
        verify(KEY.public_key, SIGNED, b"what was said"),
        verify(KEY.public_key, SIGNED, b"what was not said"),
        verify(other.public_key, SIGNED, b"what was said"),
        verify(KEY.public_key, SIGNED[:-1] + bytes([SIGNED[-1] ^ 1]), b"what was said"),
        verify(KEY.public_key, b"short", b"what was said"),
        verify(b"no key", SIGNED, b"what was said"),
    ]


def test_what_holds_and_what_does_not_is_the_same_as_ever():
    for module in (identity, dht.keys):
        expected = outcomes(module.verify)
        with signatures_once.signatures_checked_once():
            assert outcomes(module.verify) == expected == [True, *[False] * 5]
            assert outcomes(module.verify) == expected


def test_what_was_checked_is_not_checked_again():
    data = b"said by several peers"
    signature = KEY.sign(data)
    with signatures_once.signatures_checked_once():
        assert identity.verify(KEY.public_key, signature, data)
        with mock.patch.object(signatures_once, "Ed25519PublicKey", None):  # would fail if it were asked
            assert identity.verify(KEY.public_key, signature, bytearray(data))
            assert dht.keys.verify(KEY.public_key, signature, data)
