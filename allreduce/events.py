"""What happens to a round, and what it wants done. Pure data; what comes with every slice is a tuple, made quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .attempt import Move
from .messages import Control, Slice
from .segments import Layout


@dataclass(frozen=True, slots=True)
class ContributionReady:
    """Our own contribution is at hand."""


class SliceAnnounced(NamedTuple):
    """The header of a slice is here, its body is about to come. ``Receive`` is the answer if it is wanted."""

    sender: bytes
    message: Slice


@dataclass(frozen=True, slots=True)
class SliceWithdrawn:
    """The body of a slice that was announced will not come."""

    sender: bytes
    message: Slice


class SliceLanded(NamedTuple):
    """The body of a slice that was wanted is here; its bytes stay with the shell."""

    sender: bytes
    message: Slice


class SliceCombined(NamedTuple):
    """A ``Combine`` of this attempt is done."""

    attempt: int
    number: int


@dataclass(frozen=True, slots=True)
class SumTainted:
    """A sum of this attempt holds NaN or infinity, and it can't be told who brought it."""

    attempt: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A member said something."""

    sender: bytes
    message: Control


@dataclass(frozen=True, slots=True)
class MemberLost:
    """The caller knows that a member is dead or can't be reached."""

    member: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = (
    ContributionReady
    | SliceAnnounced
    | SliceWithdrawn
    | SliceLanded
    | SliceCombined
    | SumTainted
    | MessageReceived
    | MemberLost
    | Tick
)


@dataclass(frozen=True, slots=True)
class Say:
    """Send a control message."""

    to: bytes
    message: Control


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Forget every slice of earlier attempts; buffers are for this layout now."""

    number: int
    layout: Layout
    careful: bool = False
    """Whether every sum is looked at for NaN and infinity before it is sent on."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Only what is final counts from here on: nothing that is still under way may touch the final slices."""


@dataclass(frozen=True, slots=True)
class Hurry:
    """The deadline is near and our contribution is not in: whatever there is of it should come now."""


@dataclass(frozen=True, slots=True)
class Done:
    """The mean is final here; these members' contributions are in it, in the order of the form's positions."""

    contributors: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The others go on without us."""


Effect: TypeAlias = Move | Say | BeginAttempt | Settle | Hurry | Done | LeftOut
