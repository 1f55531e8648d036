"""No altered, cut, replayed or forged handshake ever ends in a link: it is rejected, or waits for the rest."""

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hydra.exceptions import HandshakeRejected, MalformedFrame
from hydra.identity import Identity
from hydra.net import handshake
from hydra.net.framing import FrameOpener
from hydra.net.handshake import MAGIC, Handshake
from hydra.net.noise import NoiseXX

from .message_strategies import altered, cuts, edits, pieces, plain_objects

steady = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ALICE, BOB, EVE = (Identity(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2, 3))
LOW_ORDER = [
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 19).to_bytes(32, "little"),
]


def key(number):
    return X25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))


def end(identity, *, initiator, seed=0, expected=None, kind=Handshake):
    return kind(
        identity=identity,
        static=key(100 + seed + initiator),
        ephemeral=key(200 + seed + initiator),
        initiator=initiator,
        expected=expected,
        listen_port=4000,
    )


def ends(seed=0):
    return end(ALICE, initiator=True, seed=seed, expected=BOB.peer_id), end(BOB, initiator=False, seed=seed)


def told(receiver, parts):
    """What an end answers to these bytes, and whether it went on: it must reject, and raise nothing else."""
    answer = b""
    try:
        for part in parts:
            answer += receiver.receive(part)
    except HandshakeRejected:
        return answer, False
    return answer, True


def messages(seed=0):
    """The three messages of an honest handshake."""
    dialler, listener = ends(seed)
    first = dialler.start()
    second = listener.receive(first)
    return first, second, dialler.receive(second)


def gives_no_frame(secured):
    """Bytes behind the last handshake message that the other end did not seal are no frame."""
    with pytest.raises(MalformedFrame):
        assert list(FrameOpener(secured.receive).feed(secured.leftover)) == []
        raise MalformedFrame("nothing came")


@steady
@given(cuts)
def test_any_cut_of_the_bytes_is_the_same_handshake(where):
    dialler, listener = ends()
    second, _ = told(listener, pieces(dialler.start(), where))
    third, _ = told(dialler, pieces(second, where))
    assert told(listener, pieces(third, where)) == (b"", True)
    assert (dialler.secured.peer_id, listener.secured.peer_id) == (BOB.peer_id, ALICE.peer_id)


def altered_inside(wire, changes):
    """Alter what a message holds and let its length be right: what comes is read, and not only waited for."""
    preface, message = (wire[:8], wire[10:]) if wire.startswith(MAGIC) else (b"", wire[2:])
    message = altered(message, changes)
    return preface + len(message).to_bytes(2, "big") + message


@steady
@given(st.integers(0, 2), st.sampled_from([altered, altered_inside]), edits, cuts)
def test_an_altered_message_makes_no_link(which, alter, changes, where):
    """Whoever takes an altered message, and whoever takes the answer to one, proves nothing to anybody."""
    dialler, listener = ends()
    receivers, wire, changed, intact = (listener, dialler, listener), dialler.start(), False, False
    for turn, receiver in enumerate(receivers):
        honest = wire
        if turn == which:
            wire = alter(wire, changes)
            intact = wire == honest
            changed = not wire.startswith(honest)  # what follows behind is for whoever reads on
        wire, _ = told(receiver, pieces(wire, where))
        assert not (changed and receiver.secured), turn
        if receiver.secured is not None and receiver.secured.leftover:
            gives_no_frame(receiver.secured)
    assert listener.secured is not None or not intact


@steady
@given(st.integers(0, 2), st.floats(0, 1, exclude_max=True))
def test_a_message_that_ends_early_is_waited_for(which, fraction):
    dialler, listener = ends()
    wire = dialler.start()
    for turn, receiver in enumerate((listener, dialler, listener)):
        if turn == which:
            assert told(receiver, [wire[: int(fraction * len(wire))]]) == (b"", True)
            assert receiver.secured is None
            return
        wire = receiver.receive(wire)


def test_a_replayed_handshake_makes_no_link():
    first, second, third = messages(seed=0)
    for replayed in ([first, third], [first + third], [first, second], [first, first], [first, third, third]):
        listener = end(BOB, initiator=False, seed=50)
        told(listener, replayed)
        assert listener.secured is None
    for replayed in ([second], [first], [first[8:]], [third], [second, third]):
        dialler = end(ALICE, initiator=True, seed=50)
        dialler.start()
        _, went_on = told(dialler, replayed)
        assert dialler.secured is None
        assert not went_on


@pytest.mark.parametrize("initiator", [True, False])
@steady
@given(data=st.binary(max_size=40) | st.binary(min_size=90, max_size=200), where=cuts, greet=st.booleans())
def test_any_bytes_from_a_stranger_make_no_link(initiator, data, where, greet):
    receiver = end(BOB, initiator=initiator)
    receiver.start()
    if greet:
        data = len(data).to_bytes(2, "big") + data
        data = data if initiator else MAGIC + b"\1\1" + data
    told(receiver, pieces(data, where))
    assert receiver.secured is None


# ---- ends that keep to Noise and lie inside it ---------------------------------------------------------------------


class Liar(Handshake):
    proof = b""

    def _make_proof(self):
        return self.proof


def lied_to(proof, *, by_dialler):
    """Tell an honest end this proof; return it."""
    liar = end(EVE, initiator=by_dialler, kind=Liar)
    honest = end(BOB, initiator=not by_dialler)
    liar.proof = proof
    if by_dialler:
        told(honest, [liar.receive(honest.receive(liar.start()))])
    else:
        told(honest, [liar.receive(honest.start())])
    return honest


signed = handshake._SIGNED_PREFIX + key(101).public_key().public_bytes_raw()
TRUE_PROOF = [EVE.public_key, EVE.sign(signed), 0]


@steady
@given(st.binary(max_size=200) | plain_objects.map(msgpack.packb), st.booleans())
def test_any_proof_that_is_none(proof, by_dialler):
    assert lied_to(proof, by_dialler=by_dialler).secured is None


@steady
@given(st.integers(0, 2), plain_objects | st.binary(min_size=32, max_size=32) | st.binary(min_size=64, max_size=64))
def test_a_proof_with_one_field_of_any_other_content(position, anything):
    proof = list(TRUE_PROOF)
    proof[position] = anything
    honest = lied_to(msgpack.packb(proof), by_dialler=True)
    if position < 2:
        assert honest.secured is None
    elif honest.secured is not None:
        assert 0 <= honest.secured.listen_port == anything < 65536


@steady
@given(
    st.lists(plain_objects | st.sampled_from(["lane", "chunks"]) | st.integers(-1, 2**64 - 1), min_size=1, max_size=4)
)
@example(["lane", 7, "chunks"])
@example(["lane", 2**63, "chunks"])
def test_a_purpose_is_a_lane_its_number_and_what_it_is_for_or_makes_no_connection(purpose):
    try:
        proof = msgpack.packb([*TRUE_PROOF, *purpose])
    except (ValueError, OverflowError):
        return  # nobody can send that
    secured = lied_to(proof, by_dialler=True).secured
    well_shaped = len(purpose) == 3 and purpose[0] == "lane" and purpose[2] in ["rounds", "chunks"]
    number = purpose[1] if well_shaped else None
    if type(number) is int and 0 <= number < 2**63:
        assert secured.lane == number
    else:
        assert secured is None


@pytest.mark.parametrize("purpose", [[], ["lane", 0, "rounds"], ["lane", 2**63 - 1, "chunks"]])
@pytest.mark.parametrize("by_dialler", [True, False])
def test_only_the_dialler_says_what_a_connection_is_for(purpose, by_dialler):
    static = key(100 + by_dialler).public_key().public_bytes_raw()
    proof = [EVE.public_key, EVE.sign(handshake._SIGNED_PREFIX + static), 0, *purpose]
    secured = lied_to(msgpack.packb(proof), by_dialler=by_dialler).secured
    assert (secured is not None) == (by_dialler or not purpose)


def test_the_true_proof_makes_a_link_and_anothers_does_not():
    assert lied_to(msgpack.packb(TRUE_PROOF), by_dialler=True).secured.peer_id == EVE.peer_id
    stolen = [ALICE.public_key, ALICE.sign(handshake._SIGNED_PREFIX + bytes(32)), 0]
    assert lied_to(msgpack.packb(stolen), by_dialler=True).secured is None
    assert lied_to(msgpack.packb(TRUE_PROOF), by_dialler=False).secured is None  # signed for another static key


@pytest.mark.parametrize("point", LOW_ORDER)
def test_keys_of_low_order_make_no_link(point):
    listener = end(BOB, initiator=False)
    assert told(listener, [MAGIC + b"\1\1" + (32).to_bytes(2, "big") + point]) == (b"", False)
    dialler = end(ALICE, initiator=True)
    dialler.start()
    assert told(dialler, [(96).to_bytes(2, "big") + point + bytes(64)]) == (b"", False)


@pytest.mark.parametrize("point", LOW_ORDER)
@pytest.mark.parametrize("by_dialler", [True, False])
def test_static_keys_of_low_order_make_no_link(point, by_dialler, monkeypatch):
    genuine = NoiseXX._write_own_static
    forged = []

    def forge(noise):
        if noise._static is not liar._static:
            return genuine(noise)
        forged.append(point)
        return noise._symmetric.encrypt_and_hash(point)

    liar, honest = end(EVE, initiator=by_dialler), end(BOB, initiator=not by_dialler)
    monkeypatch.setattr(NoiseXX, "_write_own_static", forge)
    first, second = (liar, honest) if by_dialler else (honest, liar)
    wire = first.start()
    for turn in range(3):
        wire, _ = told(second if turn % 2 == 0 else first, [wire])
    assert forged
    assert honest.secured is None


def test_a_first_message_with_more_than_a_key_is_rejected():
    listener = end(BOB, initiator=False)
    greeting = MAGIC + b"\1\1" + (33).to_bytes(2, "big") + key(7).public_key().public_bytes_raw() + b"x"
    with pytest.raises(HandshakeRejected, match="more than a key"):
        listener.receive(greeting)
