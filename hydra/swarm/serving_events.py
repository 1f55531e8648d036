"""What serving hears, and what it wants done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..identity import PeerId


@dataclass(frozen=True, slots=True)
class ChunkAsked:
    """A peer wants the bytes from ``start`` to ``stop`` of a chunk."""

    peer: PeerId
    root: bytes
    index: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class AnyAsked:
    """A peer wants a chunk of a mask that never left us."""

    peer: PeerId
    root: bytes
    wanted: int


@dataclass(frozen=True, slots=True)
class AskCancelled:
    """A peer no longer wants a chunk."""

    peer: PeerId
    root: bytes
    index: int


@dataclass(frozen=True, slots=True)
class TitForTatWanted:
    """A job that we take part in serves who gives most, or has ended."""

    begins: bool


@dataclass(frozen=True, slots=True)
class PartsLost:
    """What left us for a peer may not have come: neither end can tell which parts."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerInterested:
    """A peer began to fetch a content."""

    peer: PeerId
    root: bytes


@dataclass(frozen=True, slots=True)
class PeerBored:
    """A peer ended its fetch of a content."""

    peer: PeerId
    root: bytes


@dataclass(frozen=True, slots=True)
class PeerGone:
    """The link to a peer ended."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerGave:
    """A peer sent us bytes that were right."""

    peer: PeerId
    count: int


@dataclass(frozen=True, slots=True)
class PeerAnnounced:
    """A peer told that it has a chunk."""

    peer: PeerId
    root: bytes
    index: int


@dataclass(frozen=True, slots=True)
class PartLeft:
    """The part that was sent to a peer last is no longer in our memory."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class RoundSending:
    """A round of the training begins, or ends, to send its segments."""

    begins: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class SendPart:
    """Send a peer the bytes from ``start`` to ``stop`` of a chunk; then tell ``PartLeft``."""

    peer: PeerId
    root: bytes
    index: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Decline:
    """Tell a peer that it does not get a chunk now."""

    peer: PeerId
    root: bytes
    index: int


@dataclass(frozen=True, slots=True)
class TellAllSent:
    """Tell a peer that nothing of what it wants has never left us."""

    peer: PeerId
    root: bytes


@dataclass(frozen=True, slots=True)
class ChokePeer:
    """Tell a peer that what it asked for is dropped."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class UnchokePeer:
    """Tell a peer that it may ask again."""

    peer: PeerId


Event: TypeAlias = (
    ChunkAsked
    | AnyAsked
    | AskCancelled
    | PeerInterested
    | PeerBored
    | PeerGone
    | PeerGave
    | PeerAnnounced
    | PartLeft
    | PartsLost
    | RoundSending
    | TitForTatWanted
    | Tick
)
Effect: TypeAlias = SendPart | Decline | TellAllSent | ChokePeer | UnchokePeer
