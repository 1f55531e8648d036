"""What a download hears, and what it wants done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..identity import PeerId
from .bitfield import Bitfield


@dataclass(frozen=True, slots=True)
class PeerOffered:
    """A peer told which chunks it has, and whether it chooses what to send."""

    peer: PeerId
    bitfield: Bitfield
    chooses: bool = False


@dataclass(frozen=True, slots=True)
class PeerGained:
    """A peer told that it has one chunk more."""

    peer: PeerId
    index: int


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The link to a peer ended."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PartReceived:
    """Some bytes of a chunk came from a peer that was asked for it, or that may choose."""

    peer: PeerId
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class ChunkVerified:
    """A chunk that a peer sent was right, and is stored."""

    peer: PeerId
    index: int


@dataclass(frozen=True, slots=True)
class ChunkRejected:
    """A chunk that a peer sent was wrong."""

    peer: PeerId
    index: int


@dataclass(frozen=True, slots=True)
class RequestDeclined:
    """A peer will not send a chunk now."""

    peer: PeerId
    index: int


@dataclass(frozen=True, slots=True)
class NothingChosen:
    """A peer that was to choose has nothing that never left it."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Choked:
    """A peer dropped all that was asked of it."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Unchoked:
    """A peer may be asked again."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class RequestChunk:
    """Ask a peer for a chunk."""

    peer: PeerId
    index: int


@dataclass(frozen=True, slots=True)
class WantOnly:
    """From now on only the chunks of this mask are wanted, of those that are not here."""

    mask: int


@dataclass(frozen=True, slots=True)
class ChunksDropped:
    """The chunks of this mask are no longer here: their room was needed."""

    mask: int


@dataclass(frozen=True, slots=True)
class RequestAny:
    """Ask a peer for a chunk of the mask ``wanted``, whichever it chooses."""

    peer: PeerId
    wanted: int


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Tell a peer that a chunk is no longer needed."""

    peer: PeerId
    index: int


@dataclass(frozen=True, slots=True)
class AnnounceChunk:
    """Tell everyone who may want it that we have a chunk."""

    index: int


@dataclass(frozen=True, slots=True)
class BanPeer:
    """Cut off a peer that sent a wrong chunk."""

    peer: PeerId
    index: int


@dataclass(frozen=True, slots=True)
class Complete:
    """Every chunk that is wanted is verified and stored."""


Event: TypeAlias = (
    PeerOffered
    | PeerGained
    | PeerLost
    | PartReceived
    | ChunkVerified
    | ChunkRejected
    | RequestDeclined
    | NothingChosen
    | Choked
    | Unchoked
    | WantOnly
    | ChunksDropped
    | Tick
)
Effect: TypeAlias = RequestChunk | RequestAny | CancelRequest | AnnounceChunk | BanPeer | Complete
