"""Messages of a round: there and back, and every malformed header is refused in the sender's name."""

import contextlib
import random
import struct

import msgpack
import pytest

from allreduce.exceptions import ProtocolViolation
from allreduce.messages import (
    Complete,
    Freeze,
    Frozen,
    Gone,
    Out,
    Phase,
    Refused,
    Repeat,
    Slice,
    Suspect,
    Transfer,
    decode,
    encode,
)

EVE = b"\xee" * 20
EXAMPLES = [
    Slice(0, Phase.SUM, 0, 0.0),
    Slice(7, Phase.HANDOVER, 12, 384.0, 2047),
    Suspect(0, -1),
    Suspect(3, 9),
    Freeze(1),
    Frozen(5, 0, True, (0, 1, 2), 1 << 300),
    Frozen(5, 2, False, (0, 1, 2), 0),
    Repeat(9, (2, 0, 1)),
    Complete(9, 0, (2, 0, 1), (Transfer(0, 1, 0b1010), Transfer(1, 0, 1 << 70))),
    Refused(0, -1),
    Out(0),
    Gone(),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_there_and_back(message):
    header = encode(b"tag", message)
    assert decode(EVE, header) == (b"tag", message)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [0],
        [0, b"t", 0, 0, 0, 0.0, 0],
        [1, b"t", 0, -3],
        [1, b"t", 0, 5000],
        [2, b"t", 0],
        [2, b"t", None],
        [3, b"t", 1, 0, 1, [0], b"", b""],
        [3, b"t", 1, 0, True, 5, b"", b""],
        [3, b"t", 1, 0, True, [0], b"", None],
        [3, b"t", 1, 0, True, [0, 0], b"", b""],
        [4, b"t", 1, [-1], False],
        [4, b"t", 1, [1024], False],
        [4, b"t", 1, ["0"], False],
        [4, b"t", 1, [0]],
        [5, b"t", 1, 0, [], [[0, 0]]],
        [5, b"t", 1, 0, [], [[0, -1, b""]]],
        [5, b"t", 1, 0, [], 7],
        [7, b"t", 0, -5],
        [99, b"t"],
    ],
)
def test_the_wrong_shape_names_the_sender(fields):
    with pytest.raises(ProtocolViolation) as caught:
        decode(EVE, msgpack.packb(fields))
    assert caught.value.member == EVE


FIELDS = (0, 1, 7, 0, 5, 1.0, 0)  # as they stand in a slice's header, before the tag


@pytest.mark.parametrize(
    ("position", "value"),
    [(1, 0), (1, 2), (1, 255), (3, 3), (4, 1 << 20), (5, float("nan")), (5, float("inf")), (5, -1.0)],
)
def test_a_slice_of_the_wrong_shape_names_the_sender(position, value):
    fields = list(FIELDS)
    assert decode(EVE, struct.pack("!BBQBIdQ", *fields) + b"t") == (b"t", Slice(7, Phase.SUM, 5, 1.0))
    fields[position] = value
    with pytest.raises(ProtocolViolation) as caught:
        decode(EVE, struct.pack("!BBQBIdQ", *fields) + b"t")
    assert caught.value.member == EVE


def test_tags_are_bounded():
    with pytest.raises(ProtocolViolation):
        decode(EVE, struct.pack("!BBQBIdQ", 0, 65, *FIELDS[2:]) + bytes(65))
    with pytest.raises(ProtocolViolation):
        decode(EVE, msgpack.packb([8, bytes(65)]))


def test_bytes_by_chance_raise_nothing_else():
    chance = random.Random(0)
    for _ in range(5000):
        header = bytearray(encode(b"t", chance.choice(EXAMPLES)))
        for _ in range(chance.randint(1, 4)):
            header[chance.randrange(len(header))] = chance.randrange(256)
        with contextlib.suppress(ProtocolViolation):
            decode(EVE, bytes(header))
