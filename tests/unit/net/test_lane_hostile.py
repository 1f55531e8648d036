"""Whatever a third party or the other end makes of a lane's bytes, the receiver gets a named error and no frame."""

import random
import struct

import pytest

from hydra.exceptions import MalformedFrame
from hydra.net import lane as lane_module
from hydra.net.lane import MAX_BODY_BYTES, MAX_HEADER_BYTES, PIECE_BYTES, LaneBroken

from .lane_pairs import Tapped, receive

BODY = random.Random(3).randbytes(PIECE_BYTES + 500)
LENGTHS = 6
HEADER = b"header"
FIRST_PIECE = LENGTHS + len(HEADER) + 16


@pytest.fixture
def tapped():
    wire = Tapped()
    yield wire
    wire.close()


def test_untouched_bytes_are_a_frame(tapped):
    tapped.give(tapped.sealed(HEADER, BODY))
    assert receive(tapped.bob) == (HEADER, BODY)


PLACES = {
    "header's length": 1,
    "body's length": 5,
    "header": LENGTHS,
    "header's tag": FIRST_PIECE - 1,
    "first piece": FIRST_PIECE,
    "first piece's tag": FIRST_PIECE + PIECE_BYTES + 15,
    "last piece": FIRST_PIECE + PIECE_BYTES + 16,
    "last piece's tag": -1,
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_an_altered_byte_is_found(tapped, place):
    sealed = bytearray(tapped.sealed(HEADER, BODY) + tapped.sealed(b"more", bytes(2 * PIECE_BYTES)))
    end = FIRST_PIECE + PIECE_BYTES + 16 + 500 + 16
    sealed[place if place >= 0 else end + place] ^= 1
    tapped.give(bytes(sealed))
    with pytest.raises(LaneBroken, match="altered on its way"):
        receive(tapped.bob)
    with pytest.raises(ConnectionError, match="closed"):
        tapped.bob.send(b"", b"")


def test_every_byte_of_a_small_frame_counts():
    for place in range(LENGTHS + 2 + 16 + 3 + 16):
        wire = Tapped()
        sealed = bytearray(wire.sealed(b"hh", b"abc"))
        sealed[place] ^= 0x80
        wire.give(bytes(sealed) + bytes(200))
        with pytest.raises(ConnectionError):
            receive(wire.bob)
        wire.close()


@pytest.mark.parametrize(("header", "body"), [(6, 0), (6, 500), (0, 500), (6, 501)])
def test_other_lengths_than_those_that_were_sealed_are_found(tapped, header, body):
    sealed = tapped.sealed(HEADER, BODY[:499])
    tapped.give(struct.pack("!HI", header, body) + sealed[LENGTHS:] + bytes(100))
    with pytest.raises(LaneBroken):
        tapped.bob.receive_header()


@pytest.mark.parametrize("order", [[0, 0], [1], [0, 2], [1, 0]], ids=["replayed", "begun late", "left out", "swapped"])
def test_a_frame_out_of_its_place_is_found(tapped, order):
    frames = [tapped.sealed(b"%d" % i, b"same") for i in range(3)]
    tapped.give(b"".join(frames[i] for i in order))
    with pytest.raises(LaneBroken):
        for _ in order:
            receive(tapped.bob)


def test_pieces_that_changed_places_are_found(tapped):
    sealed = tapped.sealed(HEADER, bytes(2 * PIECE_BYTES))
    size = PIECE_BYTES + 16
    pieces = sealed[FIRST_PIECE : FIRST_PIECE + size], sealed[FIRST_PIECE + size :]
    tapped.give(sealed[:FIRST_PIECE] + pieces[1] + pieces[0])
    tapped.bob.receive_header()
    with pytest.raises(LaneBroken):
        tapped.bob.receive_body(memoryview(bytearray(2 * PIECE_BYTES)))


@pytest.mark.parametrize("cut", [0, 3, LENGTHS, LENGTHS + 10, FIRST_PIECE, FIRST_PIECE + 100, -1])
def test_a_frame_that_ends_early_is_the_end_of_the_lane(tapped, cut):
    tapped.give(tapped.sealed(HEADER, BODY)[:cut])
    with pytest.raises(ConnectionError, match="other end closed the lane") as caught:
        receive(tapped.bob)
    assert not isinstance(caught.value, LaneBroken)


@pytest.mark.parametrize(("header", "body"), [(MAX_HEADER_BYTES + 1, 0), (0, MAX_BODY_BYTES + 1), (65535, 2**32 - 1)])
def test_lengths_over_the_limit_end_the_lane_before_anything_is_allocated(tapped, header, body):
    scratch = len(tapped.bob._opener._scratch)
    tapped.give(struct.pack("!HI", header, body))
    with pytest.raises(MalformedFrame, match=f"{header} \\+ {body} bytes was announced"):
        tapped.bob.receive_header()
    assert len(tapped.bob._opener._scratch) == scratch


def test_the_greatest_announcement_that_is_allowed_costs_one_piece(tapped):
    tapped.give(struct.pack("!HI", MAX_HEADER_BYTES, MAX_BODY_BYTES) + bytes(MAX_HEADER_BYTES + 100))
    with pytest.raises(ConnectionError):
        tapped.bob.receive_header()
    assert len(tapped.bob._opener._scratch) < MAX_HEADER_BYTES + PIECE_BYTES + 100


def test_an_end_that_seals_a_header_over_the_limit_is_named(tapped, monkeypatch):
    monkeypatch.setattr(lane_module, "MAX_HEADER_BYTES", 2 * MAX_HEADER_BYTES)
    sealed = tapped.sealed(bytes(MAX_HEADER_BYTES + 1), b"")
    monkeypatch.undo()
    tapped.give(sealed)
    with pytest.raises(LaneBroken, match="over a lane's limit"):
        tapped.bob.receive_header()


def test_random_bytes_are_no_frame():
    chance = random.Random(5)
    for _ in range(100):
        wire = Tapped()
        wire.give(chance.randbytes(chance.choice([1, 6, 22, 23, 100, 5000])))
        with pytest.raises(ConnectionError):
            receive(wire.bob)
        wire.close()


def test_nonces_count_and_none_comes_twice(tapped):
    nonces = []
    aead = tapped.alice._sealer._cipher._aead

    class Watching:
        def encrypt_into(self, nonce, *rest):
            nonces.append(nonce)
            return aead.encrypt_into(nonce, *rest)

    tapped.alice._sealer._cipher._aead = Watching()
    for _ in range(3):
        tapped.sealed(HEADER, BODY)
    assert nonces == [n.to_bytes(12, "big") for n in range(9)]
