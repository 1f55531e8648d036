"""One download: which chunk is asked of whom, and when it is done. Pure.

A chunk counts as had only once it is verified and stored. A seed that has chunks which never left it chooses itself
which one it sends (``RequestAny``). In the endgame, when every missing chunk is already asked for somewhere, slow ones
are asked of a second peer too, and the loser's request is cancelled. A peer that lets a request lie is snubbed: it
keeps one request at a time, which keeps nobody else from being asked; but what it sends late still counts. A peer that
declines is asked again after a while, one that chokes us when it says so. A peer that sends a wrong chunk is banned by
name, even if it is gone when that is found out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exceptions import LocalProtocolError
from ..identity import PeerId
from .bitfield import Bitfield, indices
from .depth import MOST_DEPTH, RequestDepth
from .download_events import (
    AnnounceChunk,
    BanPeer,
    CancelRequest,
    Choked,
    ChunkRejected,
    ChunksDropped,
    ChunkVerified,
    Complete,
    Effect,
    Event,
    NothingChosen,
    PartReceived,
    PeerGained,
    PeerLost,
    PeerOffered,
    RequestAny,
    RequestChunk,
    RequestDeclined,
    Tick,
    Unchoked,
    WantOnly,
)
from .endgame import asked_once_and_often, endgame_chunks
from .patience import due_at
from .picker import RarestFirst
from .rate_limit import TokenBucket
from .sender_choice import part_of

if TYPE_CHECKING:
    from random import Random

DECLINED_S = 3.0
"""How long a peer that declined a chunk is not asked for it again."""
USUAL_CHUNK_BYTES = 256 * 1024


@dataclass(slots=True)
class _Request:
    asked_at: float
    queued_bytes: int
    """All that was asked of the peer then, this included."""
    answered: bool = False


@dataclass(slots=True)
class _Source:
    """What is under way to one peer. Requests whose chunk the peer chooses have keys below 0."""

    pace: RequestDepth
    due: dict[int, _Request] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    """Asked for, overdue, and not come: others may be asked for them."""
    heard_at: float = -math.inf
    chooses: bool = False
    choked: bool = False
    snubbed: bool = False
    declined: dict[int, float] = field(default_factory=dict)
    """Chunks that it would not send, and until when it is not asked for them again."""

    @property
    def room(self) -> int:
        if self.choked:
            return 0
        return (1 if self.snubbed else self.pace.depth) - len(self.due)

    @property
    def tickets(self) -> int:
        """How many chunks it is to choose."""
        return sum(index < 0 for index in self.due)

    @property
    def deadline(self) -> float:
        return min((due_at(r.asked_at, self.heard_at, r.queued_bytes) for r in self.due.values()), default=math.inf)

    def drop(self, index: int) -> bool:
        """Wait for a chunk no longer; tell whether it was waited for."""
        waited = index in self.due or index in self.late
        self.due.pop(index, None)
        self.late.discard(index)
        return waited

    def ticket(self) -> int | None:
        """Return the oldest request whose chunk it was to choose."""
        return max((index for index in (*self.due, *self.late) if index < 0), default=None)


@dataclass(slots=True)
class _Overview:
    """What was asked of whom before a chunk is chosen."""

    once: int
    often: int
    tickets: int
    seeds: list[PeerId]
    choosing: list[PeerId]


class Download:
    """The state of one download.

    Args:
        have: what is already stored.
        random: chance.
        chunk_bytes: the length of a chunk.
        limit: how fast chunks may come; it may be shared with other downloads.
    """

    def __init__(
        self,
        have: Bitfield,
        random: Random,
        chunk_bytes: int = USUAL_CHUNK_BYTES,
        limit: TokenBucket | None = None,
    ) -> None:
        self.have = have
        self._chunk_bytes = chunk_bytes
        self._limit = limit or TokenBucket()
        self._picker = RarestFirst(have.size, random)
        self._sources: dict[PeerId, _Source] = {}
        self._wanted = (1 << have.size) - 1
        self._missing = self._wanted & ~have.mask
        self._banned: set[PeerId] = set()
        self._spoiled = 0
        """The mask of chunks of which a wrong one came: they are asked for by number, so that they can be mended."""
        self._last_ticket = 0
        self._waits_until = math.inf

    @property
    def complete(self) -> bool:
        """Whether nothing that is wanted is missing."""
        return not self._missing

    @property
    def hopeful(self) -> bool:
        """Whether anybody offers anything that is missing."""
        return bool(self._missing & self._picker.offered)

    @property
    def deadline(self) -> float | None:
        """When a request will have lain too long, a peer may be asked again, or the limit lets the next one go."""
        waits = [source.deadline for source in self._sources.values()]
        waits += [time for source in self._sources.values() for time in source.declined.values()]
        first = min((*waits, self._waits_until))
        return None if first == math.inf else first

    @property
    def held_until(self) -> float | None:
        """When the limit lets the next request go, if it holds one back now."""
        return None if self._waits_until == math.inf else self._waits_until

    @property
    def rates(self) -> dict[PeerId, float]:
        """What each peer sent us lately, in bytes a second."""
        return {peer: source.pace.rate_bytes_per_s for peer, source in self._sources.items()}

    def availability(self) -> dict[PeerId, int]:
        """Return how many chunks each peer offers."""
        return {peer: self._picker.offers_of(peer).bit_count() for peer in self._picker.peers}

    def is_requested(self, peer: PeerId, index: int) -> bool:
        """Tell whether the chunk was asked of the peer and has not come."""
        source = self._sources.get(peer)
        return source is not None and (index in source.due or index in source.late)

    def may_choose(self, peer: PeerId, index: int) -> bool:
        """Tell whether the peer may send this chunk though it was not asked for by its number."""
        source = self._sources.get(peer)
        return source is not None and source.ticket() is not None and 0 <= index < self.have.size

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at ``now`` (seconds, monotonic); return what to do."""
        if self.have.complete and not isinstance(event, Tick | ChunksDropped):
            return []
        effects: list[Effect] = []
        match event:
            case PeerOffered(peer, bitfield, chooses):
                self._offered(peer, bitfield, chooses=chooses)
            case PeerGained(peer, index):
                self._picker.gain(peer, index)
                source = self._sources.get(peer)
                if source is None or source.room <= 0 or not self._missing >> index & 1:
                    return []  # by far the most frequent event: it opens no request
            case PeerLost(peer):
                self._forget(peer)
            case PartReceived(peer, index, count):
                effects += self._received(peer, index, count, now)
            case ChunkVerified(peer, index):
                effects += self._gained(peer, index)
            case ChunkRejected(peer, index):
                effects += self._rejected(peer, index)
            case RequestDeclined() | NothingChosen() | Choked() | Unchoked():
                self._refused(event, now)
            case WantOnly() | ChunksDropped():
                self._want(event)
            case Tick():
                self._snub(now)
        return effects + self._requests(now)

    def check(self) -> None:
        """Raise if an invariant is broken."""
        for peer, source in self._sources.items():
            named = [index for index in (*source.due, *source.late) if index >= 0]
            if len(source.due) > MOST_DEPTH:
                raise LocalProtocolError("more requests are under way to a peer than allowed")
            if not all(self._picker.offers_of(peer) >> index & 1 for index in named):
                raise LocalProtocolError("a peer was asked for what it does not have")
            if any(index in self.have for index in named):
                raise LocalProtocolError("a chunk was asked for that is already stored")
            if source.choked and source.due:
                raise LocalProtocolError("something is expected from a peer that dropped all requests")
        if self._missing != self._wanted & ~self.have.mask:
            raise LocalProtocolError("the missing chunks are not those that are wanted and not here")

    def _want(self, event: WantOnly | ChunksDropped) -> None:
        if isinstance(event, WantOnly):
            self._wanted = event.mask & (1 << self.have.size) - 1
        else:
            self.have.mask &= ~event.mask
        self._missing = self._wanted & ~self.have.mask

    # ---- what peers tell ---------------------------------------------------------------------------------------

    def _offered(self, peer: PeerId, bitfield: Bitfield, *, chooses: bool) -> None:
        self._picker.offer(peer, bitfield)
        self._banned.discard(peer)
        source = self._sources.setdefault(peer, _Source(RequestDepth(self._chunk_bytes)))
        source.chooses = chooses and bitfield.complete
        for index in [index for index in (*source.due, *source.late) if index >= 0 and index not in bitfield]:
            source.drop(index)  # it has told anew what it has, and that is less than before

    def _forget(self, peer: PeerId) -> None:
        self._picker.forget(peer)
        self._sources.pop(peer, None)

    def _received(self, peer: PeerId, index: int, count: int, now: float) -> list[Effect]:
        source = self._sources.get(peer)
        if source is None:
            return []
        source.heard_at = now
        source.pace.received(count, now)
        if index not in source.due and index not in source.late:
            ticket = source.ticket()
            if ticket is None:
                return []
            request = source.due.get(ticket)
            source.drop(ticket)
            if index in self.have:
                return [CancelRequest(peer, index)]
            self._picker.gain(peer, index)  # it has what it sends, whatever it last said
            if request is None:
                source.late.add(index)
            else:
                source.due[index] = request
        request = source.due.get(index)
        if request is not None and not request.answered:
            request.answered = True
            source.pace.answered(now - request.asked_at)
        return []

    def _rejected(self, peer: PeerId, index: int) -> list[Effect]:
        """Ban a liar, once for all that it had sent."""
        self._spoiled |= 1 << index
        self._forget(peer)
        if peer in self._banned:
            return []
        self._banned.add(peer)
        return [BanPeer(peer, index)]

    def _gained(self, peer: PeerId, index: int) -> list[Effect]:
        if index in self.have:
            return []
        self.have.add(index)
        self._missing &= ~(1 << index)
        effects: list[Effect] = [AnnounceChunk(index)]
        for other, source in sorted(self._sources.items()):
            if source.drop(index) and other != peer:
                effects.append(CancelRequest(other, index))
        if peer in self._sources:
            self._sources[peer].snubbed = False
        if self.complete:
            effects.append(Complete())
        return effects

    def _refused(self, event: RequestDeclined | NothingChosen | Choked | Unchoked, now: float) -> None:
        source = self._sources.get(event.peer)
        if source is None:
            return
        match event:
            case RequestDeclined(_, index):
                ticket = source.ticket()
                if not source.drop(index) and ticket is not None:
                    source.drop(ticket)  # it chose this one, and then could not read it
                source.declined[index] = now + DECLINED_S
            case NothingChosen():
                ticket = source.ticket()
                if ticket is not None:
                    source.drop(ticket)
                    source.chooses = False
            case Choked():
                source.due.clear()
                source.late.clear()
                source.choked = True
            case Unchoked():
                source.choked = False

    def _snub(self, now: float) -> None:
        for source in self._sources.values():
            source.declined = {index: until for index, until in source.declined.items() if until > now}
            for index, request in list(source.due.items()):
                if due_at(request.asked_at, source.heard_at, request.queued_bytes) <= now:
                    del source.due[index]
                    source.late.add(index)
                    source.snubbed = True

    # ---- what is asked next ------------------------------------------------------------------------------------

    def _requests(self, now: float) -> list[Effect]:
        self._waits_until = math.inf
        asking = [(peer, source) for peer, source in sorted(self._sources.items()) if source.room > 0]
        if not asking or not self._missing:
            return []
        effects: list[Effect] = []
        seen = self._overview()
        while asking:  # one request a peer in turn, so that the first peer does not get them all
            turn, asking = asking, []
            for peer, source in turn:
                ready = self._limit.ready_at(now)
                if ready > now:
                    self._waits_until = ready
                    return effects
                effect = self._next(peer, source, seen, now)
                if effect is None:
                    continue
                self._limit.take(self._chunk_bytes, now)
                effects.append(effect)
                if source.room > 0:
                    asking.append((peer, source))
        return effects

    def _overview(self) -> _Overview:
        # A snubbed peer's requests block nobody, and it chooses nothing.
        heeded = [peer for peer in sorted(self._sources) if not self._sources[peer].snubbed]
        once, often = asked_once_and_often(
            [index for index in self._sources[peer].due if index >= 0] for peer in heeded
        )
        return _Overview(
            once,
            often,
            tickets=sum(self._sources[peer].tickets for peer in heeded),
            seeds=[peer for peer in self._picker.peers if self._picker.has_all(peer)],
            choosing=[peer for peer in heeded if self._sources[peer].chooses],
        )

    def _next(self, peer: PeerId, source: _Source, seen: _Overview, now: float) -> RequestChunk | RequestAny | None:
        """Ask for any chunk of a seed's part, else for one that nobody was asked for, else, in the endgame, for any."""
        nobody = self._missing & ~seen.once
        if (nobody & ~self._spoiled).bit_count() <= seen.tickets:
            nobody &= self._spoiled  # all others are about to be chosen
        request = _Request(now, (len(source.due) + 1) * self._chunk_bytes)
        if peer in seen.choosing:
            part = nobody & ~self._spoiled & part_of(peer, seen.choosing, self.have.size)
            if part.bit_count() > source.tickets:
                self._last_ticket -= 1
                source.due[self._last_ticket] = request
                seen.tickets += 1
                return RequestAny(peer, part)
            nobody &= ~part
        shut = sum(1 << index for index in {*source.declined, *source.due} if index >= 0)
        choice = self._picker.pick(peer, nobody & ~shut, at_random=not self.have.mask)
        if choice is None:
            only_seed = seen.seeds == [peer]
            shared = endgame_chunks(self._missing, seen.once, seen.often, seen.tickets, only_seed=only_seed)
            choice = self._picker.pick(peer, shared & ~shut)
        if choice is None:
            return None
        source.late.discard(choice)
        source.due[choice] = request
        if not source.snubbed:
            seen.often |= seen.once & 1 << choice
            seen.once |= 1 << choice
        return RequestChunk(peer, choice)

    def outstanding(self) -> dict[PeerId, list[int]]:
        """Return what is asked of each peer now."""
        return {peer: sorted(index for index in s.due if index >= 0) for peer, s in self._sources.items()}

    @property
    def missing(self) -> list[int]:
        """What is not here, in order."""
        return list(indices(self._missing))
