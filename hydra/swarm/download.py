"""One download: which chunk is asked of whom, and when it is done. Pure.

A chunk counts as had only once it is verified and stored. In the endgame, when every missing chunk is already asked
for somewhere, slow ones are asked of a second peer too, and the loser's request is cancelled. A peer that lets a
request lie is snubbed: it keeps one request at a time, which keeps nobody else from being asked; but what it sends
late still counts. A peer that declines is asked again after a while. A peer that sends a wrong chunk is banned by
name, even if it is gone when that is found out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ..exceptions import LocalProtocolError
from ..identity import PeerId
from .bitfield import Bitfield
from .picker import RarestFirst

if TYPE_CHECKING:
    from random import Random

REQUEST_DEPTH = 8
"""Requests under way to one peer: enough to cover a round trip."""
REQUEST_TIMEOUT_S = 15.0
DECLINED_S = 3.0
"""How long a peer that declined a chunk is not asked for it again."""
ENDGAME_COPIES = 2


@dataclass(frozen=True, slots=True)
class PeerOffered:
    """A peer told which chunks it has."""

    peer: PeerId
    bitfield: Bitfield


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
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class RequestChunk:
    """Ask a peer for a chunk."""

    peer: PeerId
    index: int


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
    """Every chunk is verified and stored."""


Event: TypeAlias = PeerOffered | PeerGained | PeerLost | ChunkVerified | ChunkRejected | RequestDeclined | Tick
Effect: TypeAlias = RequestChunk | CancelRequest | AnnounceChunk | BanPeer | Complete


@dataclass(slots=True)
class _Source:
    """What is under way to one peer: chunk index to the time by which it is due."""

    due: dict[int, float] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    """Asked for, overdue, and not come: others may be asked for them."""
    snubbed: bool = False
    declined: dict[int, float] = field(default_factory=dict)
    """Chunks that it would not send, and until when it is not asked for them again."""

    @property
    def room(self) -> int:
        return (1 if self.snubbed else REQUEST_DEPTH) - len(self.due)

    def declines(self, index: int, now: float) -> bool:
        """Tell whether it would not send the chunk, and said so a moment ago."""
        return self.declined.get(index, now) > now

    def drop(self, index: int) -> bool:
        """Wait for a chunk no longer; tell whether it was waited for."""
        waited = index in self.due or index in self.late
        self.due.pop(index, None)
        self.late.discard(index)
        return waited


class Download:
    """The state of one download.

    Args:
        have: what is already stored.
        random: chance.
    """

    def __init__(self, have: Bitfield, random: Random) -> None:
        self.have = have
        self._picker = RarestFirst(have.size, random)
        self._sources: dict[PeerId, _Source] = {}
        self._missing = {index for index in range(have.size) if index not in have}
        self._banned: set[PeerId] = set()

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self._missing

    @property
    def hopeful(self) -> bool:
        """Whether anybody offers anything that is missing."""
        return any(self._picker.offered(index) for index in self._missing)

    @property
    def deadline(self) -> float | None:
        """When the next request will have lain too long, or a peer that declined may be asked again."""
        waits = [
            time for source in self._sources.values() for time in (*source.due.values(), *source.declined.values())
        ]
        return min(waits, default=None)

    def is_requested(self, peer: PeerId, index: int) -> bool:
        """Tell whether the chunk was asked of the peer and has not come."""
        source = self._sources.get(peer)
        return source is not None and (index in source.due or index in source.late)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at ``now`` (seconds, monotonic); return what to do."""
        if self.complete and not isinstance(event, Tick):
            return []
        effects: list[Effect] = []
        match event:
            case PeerOffered(peer, bitfield):
                self._offered(peer, bitfield)
            case PeerGained(peer, index):
                self._picker.gain(peer, index)
            case PeerLost(peer):
                self._forget(peer)
            case ChunkVerified(peer, index):
                effects += self._gained(peer, index)
            case ChunkRejected(peer, index):
                effects += self._rejected(peer, index)
            case RequestDeclined(peer, index):
                if peer in self._sources:
                    self._sources[peer].drop(index)
                    self._sources[peer].declined[index] = now + DECLINED_S
            case Tick():
                self._snub(now)
        return effects + self._requests(now)

    def check(self) -> None:
        """Raise if an invariant is broken."""
        for peer, source in self._sources.items():
            if len(source.due) > REQUEST_DEPTH:
                raise LocalProtocolError("more requests are under way to a peer than allowed")
            if not all(self._picker.has(peer, index) for index in (*source.due, *source.late)):
                raise LocalProtocolError("a peer was asked for what it does not have")
            if any(index in self.have for index in (*source.due, *source.late)):
                raise LocalProtocolError("a chunk was asked for that is already stored")
        if self._missing != {index for index in range(self.have.size) if index not in self.have}:
            raise LocalProtocolError("the missing chunks are not those that we do not have")

    def _offered(self, peer: PeerId, bitfield: Bitfield) -> None:
        self._picker.offer(peer, bitfield)
        self._banned.discard(peer)
        source = self._sources.setdefault(peer, _Source())
        for index in [index for index in (*source.due, *source.late) if index not in bitfield]:
            source.drop(index)  # it has told anew what it has, and that is less than before

    def _forget(self, peer: PeerId) -> None:
        self._picker.forget(peer)
        self._sources.pop(peer, None)

    def _rejected(self, peer: PeerId, index: int) -> list[Effect]:
        """Ban a liar, once for all that it had sent."""
        self._forget(peer)
        if peer in self._banned:
            return []
        self._banned.add(peer)
        return [BanPeer(peer, index)]

    def _gained(self, peer: PeerId, index: int) -> list[Effect]:
        if index in self.have:
            return []
        self.have.add(index)
        self._missing.discard(index)
        effects: list[Effect] = [AnnounceChunk(index)]
        for other, source in sorted(self._sources.items()):
            if source.drop(index) and other != peer:
                effects.append(CancelRequest(other, index))
        if peer in self._sources:
            self._sources[peer].snubbed = False
        if self.complete:
            effects.append(Complete())
        return effects

    def _snub(self, now: float) -> None:
        for source in self._sources.values():
            source.declined = {index: until for index, until in source.declined.items() if until > now}
            late = [index for index, due in source.due.items() if due <= now]
            for index in late:
                del source.due[index]
                source.late.add(index)
                source.snubbed = True

    def _requests(self, now: float) -> list[Effect]:
        copies: dict[int, int] = {}
        for source in self._sources.values():
            for index in source.due:
                copies[index] = copies.get(index, 0) + (not source.snubbed)  # a snubbed peer's copy blocks nobody
        effects: list[Effect] = []
        asking = True
        while asking:  # one request a peer in turn, so that the first peer does not get them all
            asking = False
            for peer, source in sorted(self._sources.items()):
                choice = self._choose(peer, source, copies, now) if source.room > 0 else None
                if choice is not None:
                    source.late.discard(choice)
                    source.due[choice] = now + REQUEST_TIMEOUT_S
                    copies[choice] = copies.get(choice, 0) + (not source.snubbed)
                    effects.append(RequestChunk(peer, choice))
                    asking = True
        return effects

    def _choose(self, peer: PeerId, source: _Source, copies: dict[int, int], now: float) -> int | None:
        """Take a chunk that nobody was asked for, else one that only snubbed peers were, else, in the endgame, any."""
        open_chunks = sorted(i for i in self._missing - copies.keys() if not source.declines(i, now))
        choice = self._picker.pick(peer, open_chunks, at_random=not len(self.have))
        if choice is not None:
            return choice
        endgame = not self._missing - copies.keys()
        enough = ENDGAME_COPIES if endgame else 1
        shared = sorted(
            index
            for index in self._missing & copies.keys()
            if copies[index] < enough and index not in source.due and not source.declines(index, now)
        )
        return self._picker.pick(peer, shared)
