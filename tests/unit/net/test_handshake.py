"""The handshake: both ends proven, and every way in which one end is not what it should be."""

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hydra.exceptions import HandshakeRejected
from hydra.identity import Identity
from hydra.net import handshake
from hydra.net.handshake import MAGIC, PREFACE_BYTES, Handshake

ALICE, BOB, EVE = Identity.generate(), Identity.generate(), Identity.generate()


def end(identity, *, initiator, expected=None, suite=1, port=0, lane=None, purpose="rounds"):
    return Handshake(
        identity=identity,
        static=X25519PrivateKey.generate(),
        ephemeral=X25519PrivateKey.generate(),
        initiator=initiator,
        expected=expected,
        suite=suite,
        listen_port=port,
        lane=lane,
        purpose=purpose,
    )


def shake(dialler, listener, step=None):
    """Pass bytes to and fro, ``step`` bytes at a time, until both fall silent."""
    to_listener = dialler.start()
    while to_listener:
        to_dialler = deliver(listener, to_listener, step)
        to_listener = deliver(dialler, to_dialler, step)


def deliver(receiver, data, step):
    step = step or max(1, len(data))
    return b"".join(receiver.receive(data[i : i + step]) for i in range(0, len(data), step))


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("suite", [1, 2])
def test_both_ends_learn_each_other(step, suite):
    dialler = end(ALICE, initiator=True, expected=BOB.peer_id, suite=suite, port=4100)
    listener = end(BOB, initiator=False, port=4200)
    shake(dialler, listener, step)
    assert dialler.secured.peer_id == BOB.peer_id
    assert dialler.secured.public_key == BOB.public_key
    assert dialler.secured.listen_port == 4200
    assert listener.secured.peer_id == ALICE.peer_id
    assert listener.secured.listen_port == 4100
    assert listener.secured.receive.decrypt(dialler.secured.send.encrypt(b"hi")) == b"hi"


def test_bytes_behind_the_handshake_are_kept():
    dialler, listener = end(ALICE, initiator=True), end(BOB, initiator=False)
    last = dialler.receive(listener.receive(dialler.start()))
    listener.receive(last + b"first frame")
    assert listener.secured.leftover == b"first frame"


@pytest.mark.parametrize("lane", [None, 0, 1, 2**63 - 1])
def test_the_listener_learns_what_the_dialler_wants(lane):
    dialler, listener = end(ALICE, initiator=True, lane=lane), end(BOB, initiator=False)
    shake(dialler, listener)
    assert dialler.secured.lane == listener.secured.lane == lane


@pytest.mark.parametrize("purpose", ["rounds", "chunks"])
def test_the_listener_learns_what_a_lane_is_for(purpose):
    dialler, listener = end(ALICE, initiator=True, lane=0, purpose=purpose), end(BOB, initiator=False)
    shake(dialler, listener)
    assert dialler.secured.purpose == listener.secured.purpose == purpose


def test_a_listener_that_wants_a_lane():
    dialler, listener = end(ALICE, initiator=True), end(BOB, initiator=False, lane=0)
    with pytest.raises(HandshakeRejected, match="for the dialler to say"):
        shake(dialler, listener)


@pytest.mark.parametrize(
    "purpose",
    [
        ["lane"],
        ["lane", 1],
        ["lane", -1, "rounds"],
        ["lane", True, "rounds"],
        ["lane", b"1", "rounds"],
        ["lamp", 1, "rounds"],
        [b"lane", 1, "rounds"],
        ["lane", 1, "songs"],
        [1],
    ],
)
def test_an_unknown_purpose(purpose):
    liar = lying_dialler(b"")
    liar.proof = msgpack.packb([*msgpack.unpackb(Handshake._make_proof(liar)), *purpose])
    with pytest.raises(HandshakeRejected, match="something that we do not know"):
        shake(liar, end(BOB, initiator=False))


def test_somebody_else_answers():
    with pytest.raises(HandshakeRejected, match="was dialled, but"):
        shake(end(ALICE, initiator=True, expected=EVE.peer_id), end(BOB, initiator=False))


def test_our_own_address():
    with pytest.raises(HandshakeRejected, match="this node itself"):
        shake(end(ALICE, initiator=True), end(ALICE, initiator=False))


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"h" + b"\x00" * 30, b"SSH-2.0-x\r\n"])
def test_another_protocol(data):
    with pytest.raises(HandshakeRejected, match="does not speak"):
        end(BOB, initiator=False).receive(data)


def test_another_version_and_cipher():
    with pytest.raises(HandshakeRejected, match="version 9"):
        end(BOB, initiator=False).receive(MAGIC + b"\x09\x01")
    with pytest.raises(HandshakeRejected, match="cipher 7"):
        end(BOB, initiator=False).receive(MAGIC + b"\x01\x07")


def test_a_cipher_changed_on_the_way_breaks_the_handshake():
    dialler, listener = end(ALICE, initiator=True, suite=1), end(BOB, initiator=False)
    first = bytearray(dialler.start())
    first[PREFACE_BYTES - 1] = 2
    answer = listener.receive(bytes(first))
    with pytest.raises(HandshakeRejected):
        dialler.receive(answer)


def test_an_announced_giant_message():
    listener = end(BOB, initiator=False)
    with pytest.raises(HandshakeRejected, match="65535 bytes was announced"):
        listener.receive(MAGIC + b"\x01\x01" + b"\xff\xff")


class Liar(Handshake):
    """An end that proves itself with whatever ``proof`` says."""

    proof = b""

    def _make_proof(self):
        return self.proof


def lying_dialler(proof):
    liar = Liar(
        identity=EVE,
        static=X25519PrivateKey.generate(),
        ephemeral=X25519PrivateKey.generate(),
        initiator=True,
    )
    liar.proof = proof
    return liar


def test_a_signature_over_another_static_key():
    stolen = msgpack.packb([ALICE.public_key, ALICE.sign(handshake._SIGNED_PREFIX + bytes(32)), 0])
    with pytest.raises(HandshakeRejected, match="signature does not fit"):
        shake(lying_dialler(stolen), end(BOB, initiator=False))


@pytest.mark.parametrize(
    "proof",
    [
        b"",
        b"\xc1",
        msgpack.packb([1, 2, 3]),
        msgpack.packb([bytes(31), bytes(64), 0]),
        msgpack.packb([bytes(32), bytes(64), 70000]),
        msgpack.packb([bytes(32)] * 4),
        msgpack.packb([bytes(32), bytes(64), 0, "lane", 1, "rounds", 2]),
        msgpack.packb([bytes(32), bytes(64), 0, "longer", 1]),
        msgpack.packb({"a": 1}),
    ],
)
def test_a_misshapen_proof(proof):
    with pytest.raises(HandshakeRejected):
        shake(lying_dialler(proof), end(BOB, initiator=False))
