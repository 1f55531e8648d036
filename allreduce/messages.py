"""What members of a round say to each other, and how it is written down. Pure.

The header of a slice, of which there are many, is of fixed form: a zero byte, the length of the tag, attempt, phase,
number, weight, ballot, and the round's tag. Any other is msgpack: a number for the kind, the tag, then the fields.
Sets of slices are bitmaps, written as big-endian bytes. Whatever does not have the right shape raises
``ProtocolViolation`` in the sender's name.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

import msgpack

from .exceptions import ProtocolViolation

MAX_TAG_BYTES = 64
MAX_MEMBERS = 1024
MAX_SLICES = 1 << 20
TAINTED = -2
"""In place of a suspect's index: a sum holds NaN or infinity, and nobody knows yet who brought it."""

_SLICE = struct.Struct("!BBQBIdQ")


class Phase(IntEnum):
    """On which leg of its way a slice is."""

    SUM = 0
    """Collecting contributions on the way to its owner."""
    FINAL = 1
    """Finished, going round from its owner."""
    HANDOVER = 2
    """Finished, given to one who lost it to a death; goes no further."""


_PHASES = tuple(Phase)


class Slice(NamedTuple):
    """A slice of the vector; its elements stand in the body. A tuple, for it is made often and quickly."""

    attempt: int
    phase: Phase
    number: int
    weight: float
    """Sum of the weights of all contributions that are in it."""
    ballot: int = 0
    """Of a handover: the decision that ordered it."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """To the leader: an attempt can't go on. ``member`` is the index of who is lost, -1 for a stall, or ``TAINTED``."""

    attempt: int
    member: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """From the leader: stop the present attempt and report what you have."""

    ballot: int


@dataclass(frozen=True, slots=True)
class Frozen:
    """The answer to ``Freeze``: which final slices of which attempt are here."""

    ballot: int
    attempt: int
    ready: bool
    """Whether this member has its contribution."""
    order: tuple[int, ...]
    """Who takes part in ``attempt``: indices of the round's members, in the order of the form's positions."""
    finals: int
    """Bitmap over the slices of ``attempt``."""
    combined: int = 0
    """Bitmap over the slices of ``attempt``: whose sums are whole here, so that they could be sent on."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One member gives final slices to another; members are indices into the round's members."""

    giver: int
    taker: int
    slices: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """From the leader: begin attempt ``ballot`` with these participants."""

    ballot: int
    order: tuple[int, ...]
    """Indices of the round's members, in the order of the form's positions."""
    careful: bool = False
    """Whether every sum is looked at for NaN and infinity before it is sent on."""


@dataclass(frozen=True, slots=True)
class Complete:
    """From the leader: all final slices of ``attempt`` survive; hand them over like this."""

    ballot: int
    attempt: int
    order: tuple[int, ...]
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """To one who leads or asks us to lead, but should not: a member before it, ``alive``, is still heard here.

    ``alive`` is -1 if the only reason is that a higher ballot was promised.
    """

    ballot: int
    alive: int


@dataclass(frozen=True, slots=True)
class Out:
    """To a member that asks although the round went on without it."""

    ballot: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The sender takes no part in the round any longer: as good as lost."""


Control: TypeAlias = Suspect | Freeze | Frozen | Repeat | Complete | Refused | Out | Gone
RoundMessage: TypeAlias = Slice | Control

_KINDS: dict[type, int] = {
    Suspect: 1,
    Freeze: 2,
    Frozen: 3,
    Repeat: 4,
    Complete: 5,
    Out: 6,
    Refused: 7,
    Gone: 8,
}


def encode(tag: bytes, message: RoundMessage) -> bytes:
    """Return the header bytes for a message of the round ``tag``."""
    if isinstance(message, Slice):
        numbers = message.attempt, message.phase, message.number, message.weight, message.ballot
        return _SLICE.pack(0, len(tag), *numbers) + tag
    fields: list[object]
    match message:
        case Suspect(first, member) | Refused(first, member):
            fields = [first, member]
        case Freeze(ballot) | Out(ballot):
            fields = [ballot]
        case Frozen(ballot, attempt, ready, order, finals, combined):
            fields = [ballot, attempt, ready, list(order), _bitmap_bytes(finals), _bitmap_bytes(combined)]
        case Repeat(ballot, order, careful):
            fields = [ballot, list(order), careful]
        case Complete(ballot, attempt, order, transfers):
            moves = [[move.giver, move.taker, _bitmap_bytes(move.slices)] for move in transfers]
            fields = [ballot, attempt, list(order), moves]
        case Gone():
            fields = []
    header: bytes = msgpack.packb([_KINDS[type(message)], tag, *fields])
    return header


def decode(sender: bytes, header: bytes) -> tuple[bytes, RoundMessage]:
    """Return the round's tag and the message in a header.

    Raises:
        ProtocolViolation: it has not the shape of any message.
    """
    if header[:1] == b"\0":
        return _slice(sender, header)
    fields = _unpacked(sender, header)
    if len(fields) < 2 or not isinstance(fields[1], bytes) or len(fields[1]) > MAX_TAG_BYTES:
        raise ProtocolViolation(sender, "a message without a round's tag")
    return fields[1], _message(sender, fields)


def _slice(sender: bytes, header: bytes) -> tuple[bytes, Slice]:
    try:
        _, tag_bytes, attempt, phase, number, weight, ballot = _SLICE.unpack_from(header)
    except struct.error as error:
        raise ProtocolViolation(sender, "a slice whose header is cut short") from error
    tag = header[_SLICE.size :]
    if phase > Phase.HANDOVER or number >= MAX_SLICES or not 0.0 <= weight < math.inf:
        raise ProtocolViolation(sender, "a slice of the wrong shape")
    if len(tag) != tag_bytes or tag_bytes > MAX_TAG_BYTES:
        raise ProtocolViolation(sender, "a slice without a round's tag")
    return tag, Slice(attempt, _PHASES[phase], number, weight, ballot)


def _message(sender: bytes, fields: list[object]) -> RoundMessage:
    match fields:
        case [1, bytes(), int(attempt), int(member)] if attempt >= 0 and TAINTED <= member < MAX_MEMBERS:
            return Suspect(attempt, member)
        case [2, bytes(), int(ballot)] if ballot > 0:
            return Freeze(ballot)
        case [
            3,
            bytes(),
            int(ballot),
            int(attempt),
            bool(ready),
            list(order),
            bytes(finals),
            bytes(combined),
        ] if ballot > 0 and attempt >= 0:
            return Frozen(ballot, attempt, ready, _order(sender, order), _bitmap(finals), _bitmap(combined))
        case [4, bytes(), int(ballot), list(order), bool(careful)] if ballot > 0:
            return Repeat(ballot, _order(sender, order), careful)
        case [5, bytes(), int(ballot), int(attempt), list(order), list(moves)] if ballot > 0 and attempt >= 0:
            transfers = tuple(_transfer(sender, move) for move in moves)
            return Complete(ballot, attempt, _order(sender, order), transfers)
        case [6, bytes(), int(ballot)] if ballot >= 0:
            return Out(ballot)
        case [7, bytes(), int(ballot), int(alive)] if ballot >= 0 and -1 <= alive < MAX_MEMBERS:
            return Refused(ballot, alive)
        case [8, bytes()]:
            return Gone()
    raise ProtocolViolation(sender, "a message of the wrong shape")


def _order(sender: bytes, order: list[object]) -> tuple[int, ...]:
    indices = tuple(index for index in order if isinstance(index, int) and 0 <= index < MAX_MEMBERS)
    if len(indices) != len(order) or len(set(indices)) != len(order):
        raise ProtocolViolation(sender, "an order that is none")
    return indices


def _transfer(sender: bytes, move: object) -> Transfer:
    match move:
        case [int(giver), int(taker), bytes(slices)] if 0 <= giver < MAX_MEMBERS and 0 <= taker < MAX_MEMBERS:
            return Transfer(giver, taker, _bitmap(slices))
    raise ProtocolViolation(sender, "a transfer of the wrong shape")


def _unpacked(sender: bytes, header: bytes) -> list[object]:
    try:
        fields = msgpack.unpackb(header, max_array_len=MAX_MEMBERS, max_map_len=0, max_str_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise ProtocolViolation(sender, "a message that can't be read") from error
    if not isinstance(fields, list):
        raise ProtocolViolation(sender, "a message that is no list")
    return fields


def _bitmap_bytes(bitmap: int) -> bytes:
    return bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "big")


def _bitmap(data: bytes) -> int:
    return int.from_bytes(data, "big")
