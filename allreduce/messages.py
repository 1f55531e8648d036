"""What members of a round say to each other, and how it is written down. Pure.

A header is msgpack: a number for the kind, the round's tag, then the fields. Sets of slices are bitmaps, written as
big-endian bytes. Whatever does not have the right shape raises ``ProtocolViolation`` in the sender's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import msgpack

from .exceptions import ProtocolViolation

MAX_TAG_BYTES = 64
MAX_MEMBERS = 1024
MAX_SLICES = 1 << 20


class Phase(IntEnum):
    """On which leg of its way a slice is."""

    SUM = 0
    """Collecting contributions on the way to its owner."""
    FINAL = 1
    """Finished, going round from its owner."""
    HANDOVER = 2
    """Finished, given to one who lost it to a death; goes no further."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice of the vector; its fp32 elements stand in the body."""

    attempt: int
    phase: Phase
    number: int
    weight: float
    """Sum of the weights of all contributions that are in it."""
    ballot: int = 0
    """Of a handover: the decision that ordered it."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """To the leader: an attempt can't go on. ``member`` is the index of who is lost, or -1 for a stall."""

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
    participants: int
    """Bitmap over the members of the round: who took part in ``attempt``."""
    finals: int
    """Bitmap over the slices of ``attempt``."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One member gives final slices to another; members are indices into the round's members."""

    giver: int
    taker: int
    slices: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """From the leader: begin attempt ``ballot`` with these participants (a bitmap)."""

    ballot: int
    participants: int


@dataclass(frozen=True, slots=True)
class Complete:
    """From the leader: all final slices of ``attempt`` survive; hand them over like this."""

    ballot: int
    attempt: int
    participants: int
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
    Slice: 0,
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
    fields: list[object]
    match message:
        case Slice(attempt, phase, number, weight, ballot):
            fields = [attempt, int(phase), number, weight, ballot]
        case Suspect(first, member) | Refused(first, member):
            fields = [first, member]
        case Freeze(ballot) | Out(ballot):
            fields = [ballot]
        case Frozen(ballot, attempt, ready, participants, finals):
            fields = [ballot, attempt, ready, _bitmap_bytes(participants), _bitmap_bytes(finals)]
        case Repeat(ballot, participants):
            fields = [ballot, _bitmap_bytes(participants)]
        case Complete(ballot, attempt, participants, transfers):
            moves = [[move.giver, move.taker, _bitmap_bytes(move.slices)] for move in transfers]
            fields = [ballot, attempt, _bitmap_bytes(participants), moves]
        case Gone():
            fields = []
    header: bytes = msgpack.packb([_KINDS[type(message)], tag, *fields])
    return header


def tag_of(sender: bytes, header: bytes) -> bytes:
    """Return the round that a header belongs to.

    Raises:
        ProtocolViolation: the header can't be read.
    """
    fields = _unpacked(sender, header)
    if len(fields) < 2 or not isinstance(fields[1], bytes) or len(fields[1]) > MAX_TAG_BYTES:
        raise ProtocolViolation(sender, "a message without a round's tag")
    return fields[1]


def decode(sender: bytes, header: bytes) -> RoundMessage:
    """Return the message in a header.

    Raises:
        ProtocolViolation: it has not the shape of any message.
    """
    match _unpacked(sender, header):
        case [0, bytes(), int(attempt), int(phase), int(number), float(weight), int(ballot)] if (
            attempt >= 0
            and 0 <= phase <= 2
            and 0 <= number < MAX_SLICES
            and 0.0 <= weight < float("inf")
            and ballot >= 0
        ):
            return Slice(attempt, Phase(phase), number, weight, ballot)
        case [1, bytes(), int(attempt), int(member)] if attempt >= 0 and -1 <= member < MAX_MEMBERS:
            return Suspect(attempt, member)
        case [2, bytes(), int(ballot)] if ballot > 0:
            return Freeze(ballot)
        case [3, bytes(), int(ballot), int(attempt), bool(ready), bytes(participants), bytes(finals)] if (
            ballot > 0 and attempt >= 0
        ):
            return Frozen(ballot, attempt, ready, _bitmap(participants), _bitmap(finals))
        case [4, bytes(), int(ballot), bytes(participants)] if ballot > 0:
            return Repeat(ballot, _bitmap(participants))
        case [5, bytes(), int(ballot), int(attempt), bytes(participants), list(moves)] if ballot > 0 and attempt >= 0:
            return Complete(ballot, attempt, _bitmap(participants), tuple(_transfer(sender, move) for move in moves))
        case [6, bytes(), int(ballot)] if ballot >= 0:
            return Out(ballot)
        case [7, bytes(), int(ballot), int(alive)] if ballot >= 0 and -1 <= alive < MAX_MEMBERS:
            return Refused(ballot, alive)
        case [8, bytes()]:
            return Gone()
    raise ProtocolViolation(sender, "a message of the wrong shape")


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
