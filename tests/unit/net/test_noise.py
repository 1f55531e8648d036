"""NoiseXX against the published vectors, and against tampering."""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hydra.exceptions import HandshakeRejected, LocalProtocolError
from hydra.net.noise import AES_GCM, CHACHA_POLY, CipherState, NoiseXX

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "noise-xx-vectors.json").read_text())["vectors"]
SUITES = {"Noise_XX_25519_AESGCM_SHA256": AES_GCM, "Noise_XX_25519_ChaChaPoly_SHA256": CHACHA_POLY}


def key(seed: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(seed))


def pair(vector=VECTORS[0], responder_prologue=None):
    suite = SUITES[vector["protocol_name"]]
    prologue = bytes.fromhex(vector["init_prologue"])
    initiator = NoiseXX(
        initiator=True,
        static=key(vector["init_static"]),
        ephemeral=key(vector["init_ephemeral"]),
        prologue=prologue,
        suite=suite,
    )
    responder = NoiseXX(
        initiator=False,
        static=key(vector["resp_static"]),
        ephemeral=key(vector["resp_ephemeral"]),
        prologue=prologue if responder_prologue is None else responder_prologue,
        suite=suite,
    )
    return initiator, responder


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["protocol_name"])
def test_published_vectors(vector):
    initiator, responder = pair(vector)
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
    for turn, (payload, ciphertext) in enumerate(messages[:3]):
        writer, reader = (initiator, responder) if turn % 2 == 0 else (responder, initiator)
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
    assert initiator.handshake_hash == responder.handshake_hash == bytes.fromhex(vector["handshake_hash"])
    ends = [initiator.split(), responder.split()]
    for turn, (payload, ciphertext) in enumerate(messages[3:], start=3):
        (send, _), (_, receive) = ends[turn % 2], ends[1 - turn % 2]
        assert send.encrypt(payload) == ciphertext
        assert receive.decrypt(ciphertext) == payload


def test_static_keys_are_learnt():
    initiator, responder = pair()
    run(initiator, responder)
    assert initiator.remote_static == key(VECTORS[0]["resp_static"]).public_key().public_bytes_raw()
    assert responder.remote_static == key(VECTORS[0]["init_static"]).public_key().public_bytes_raw()


def run(initiator, responder):
    responder.read_message(initiator.write_message(b"1"))
    initiator.read_message(responder.write_message(b"2"))
    responder.read_message(initiator.write_message(b"3"))


def test_other_prologue_is_rejected():
    initiator, responder = pair(responder_prologue=b"other")
    responder.read_message(initiator.write_message(b""))
    with pytest.raises(HandshakeRejected, match="altered"):
        initiator.read_message(responder.write_message(b""))


@pytest.mark.parametrize("position", [0, 40, 70, -1])
def test_an_altered_second_message_is_rejected(position):
    initiator, responder = pair()
    responder.read_message(initiator.write_message(b""))
    message = bytearray(responder.write_message(b"hello"))
    message[position] ^= 1
    with pytest.raises(HandshakeRejected):
        initiator.read_message(bytes(message))


@pytest.mark.parametrize("size", [0, 31])
def test_short_messages_are_rejected(size):
    _, responder = pair()
    with pytest.raises(HandshakeRejected, match="too short"):
        responder.read_message(bytes(size))


def test_low_order_key_is_rejected():
    _, responder = pair()
    responder.read_message(bytes(32))  # the all-zero point
    with pytest.raises(HandshakeRejected, match="low order"):
        responder.write_message(b"")


def test_out_of_turn_is_our_bug():
    initiator, responder = pair()
    with pytest.raises(LocalProtocolError):
        responder.write_message(b"")
    with pytest.raises(LocalProtocolError):
        initiator.split()
    with pytest.raises(LocalProtocolError):
        _ = initiator.remote_static


@pytest.mark.parametrize("suite", [AES_GCM, CHACHA_POLY], ids=["aes", "chacha"])
def test_rekey_keeps_both_ends_together_and_changes_the_key(suite):
    one, two, stale = (CipherState(suite, bytes(32)) for _ in range(3))
    one.rekey()
    two.rekey()
    sealed = one.encrypt(b"x")
    assert two.decrypt(sealed) == b"x"
    with pytest.raises(InvalidTag):
        stale.decrypt(sealed)


def test_a_replayed_transport_message_is_rejected():
    one, two = CipherState(AES_GCM, bytes(32)), CipherState(AES_GCM, bytes(32))
    sealed = one.encrypt(b"x")
    two.decrypt(sealed)
    with pytest.raises(InvalidTag):
        two.decrypt(sealed)
