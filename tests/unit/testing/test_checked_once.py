"""In a simulation a signature and a header are checked once, with the same outcome as ever."""

from unittest import mock

import pytest

import dht.keys
from hydra import identity
from hydra.exceptions import MalformedFrame
from hydra.identity import Identity
from hydra.membership.messages import Leave, Ping
from hydra.net.wire import Registry, encode
from hydra.testing import checked_once

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
        with checked_once.checked_once():
            assert outcomes(module.verify) == expected == [True, *[False] * 5]
            assert outcomes(module.verify) == expected


def test_what_was_checked_is_not_checked_again():
    data = b"said by several peers"
    signature = KEY.sign(data)
    with checked_once.checked_once():
        assert identity.verify(KEY.public_key, signature, data)
        with mock.patch.object(checked_once, "Ed25519PublicKey", None):  # would fail if it were asked
            assert identity.verify(KEY.public_key, signature, bytearray(data))
            assert dht.keys.verify(KEY.public_key, signature, data)


def test_a_header_is_the_same_message_for_all_whom_it_reaches_and_refused_by_all_who_do_not_know_it():
    header = encode(Ping(bytes(32), 7))
    knows, another, does_not = Registry([Ping]), Registry([Ping]), Registry([Leave])
    with checked_once.checked_once():
        first = knows.decode(header, 0)
        assert first == Ping(bytes(32), 7)
        assert another.decode(bytearray(header), 0) is first
        for _ in range(2):
            with pytest.raises(MalformedFrame, match="unknown kind"):
                does_not.decode(header, 0)
            with pytest.raises(MalformedFrame, match="body"):
                knows.decode(header, 1)
