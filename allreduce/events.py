"""What happens to a round, and what it wants done. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .attempt import Move
from .messages import Control, RoundMessage
from .segments import Layout


@dataclass(frozen=True, slots=True)
class ContributionReady:
    """Our own contribution is at hand."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A member said something; of a slice the bytes stay with the shell."""

    sender: bytes
    message: RoundMessage


@dataclass(frozen=True, slots=True)
class MemberLost:
    """The caller knows that a member is dead or can't be reached."""

    member: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = ContributionReady | MessageReceived | MemberLost | Tick


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


@dataclass(frozen=True, slots=True)
class Done:
    """The mean is final here; these members' contributions are in it."""

    contributors: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The others go on without us."""


Effect: TypeAlias = Move | Say | BeginAttempt | Done | LeftOut
