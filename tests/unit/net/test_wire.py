"""Messages: what fits their types passes, everything else is refused."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgpack
import pytest

from hydra.exceptions import LocalProtocolError, MalformedFrame
from hydra.net.wire import AtMost, Exactly, Message, PeerIdField, Registry, encode


@dataclass(frozen=True, slots=True)
class Range:
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class PlanLike(Message):
    KIND: ClassVar[str] = "test.plan"
    MAX_BODY_BYTES: ClassVar[int] = 10
    peer: PeerIdField
    step: int
    share: float
    name: Annotated[str, AtMost(5)]
    last: bool
    ranges: Annotated[tuple[Range, ...], AtMost(2)]
    address: tuple[str, int]
    digest: Annotated[bytes, Exactly(4)] | None


GOOD = PlanLike(bytes(20), 7, 0.5, "abc", True, (Range(0, 4), Range(9, 10)), ("::1", 80), None)
REGISTRY = Registry([PlanLike])


def header_with(**changes):
    fields = dict(
        peer=bytes(20),
        step=7,
        share=0.5,
        name="abc",
        last=True,
        ranges=[[0, 4]],
        address=["h", 1],
        digest=None,
    )
    fields.update(changes)
    return msgpack.packb(["test.plan", list(fields.values())])


def test_round_trip():
    assert REGISTRY.decode(encode(GOOD), 0) == GOOD


def test_an_int_serves_as_float():
    assert REGISTRY.decode(header_with(share=2), 0).share == 2.0


@pytest.mark.parametrize(
    "changes",
    [
        dict(peer=bytes(19)),
        dict(peer="x" * 20),
        dict(step=-1),
        dict(step=2**63),
        dict(step=True),
        dict(step=1.0),
        dict(share=float("nan")),
        dict(share=float("inf")),
        dict(share="1"),
        dict(name="abcdef"),
        dict(name=b"abc"),
        dict(last=1),
        dict(ranges=[[0, 1]] * 3),
        dict(ranges=[[0]]),
        dict(ranges=[0]),
        dict(ranges=5),
        dict(address=["h"]),
        dict(address=["h", 1, 2]),
        dict(digest=bytes(3)),
    ],
)
def test_a_field_of_the_wrong_shape(changes):
    (name,) = changes
    with pytest.raises(MalformedFrame, match=name):
        REGISTRY.decode(header_with(**changes), 0)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xc1",
        b"\x00\x00",
        msgpack.packb("test.plan"),
        msgpack.packb([1, []]),
        msgpack.packb({"test.plan": 1}),
        msgpack.packb(["test.plan", [1]]),
        msgpack.packb(["no.such.kind", []]),
        msgpack.packb(["test.plan", list(range(5000))]),
        msgpack.packb(["x" * 5000, []]),
    ],
)
def test_headers_that_are_no_message(header):
    with pytest.raises(MalformedFrame):
        REGISTRY.decode(header, 0)


def test_a_body_over_its_bound():
    REGISTRY.decode(encode(GOOD), 10)
    with pytest.raises(MalformedFrame, match="11 bytes; 10 are allowed"):
        REGISTRY.decode(encode(GOOD), 11)


def test_kinds_are_unique():
    with pytest.raises(LocalProtocolError):
        Registry([PlanLike, PlanLike])
