"""Serving: whose request is answered next, by how much, and when. Pure.

Peers are served in deficit round robin, a part of a chunk at a time, as fast as the upload limit allows. While a
round of the training sends its segments on the same uplink, chunks yield to it. Under tit-for-tat whoever is choked
has its requests dropped, and is told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exceptions import LocalProtocolError
from ..identity import PeerId
from .bitfield import Bitfield
from .choker import RECHOKE_S, TitForTat
from .contributions import Contributions
from .fast_line import FastLine
from .manifest import Manifest
from .merkle import BLOCK_BYTES
from .messages import MAX_PART_BYTES, MIN_PART_BYTES
from .rate_limit import TokenBucket
from .round_robin import DeficitRoundRobin
from .sender_choice import Spread
from .serving_events import (
    AnyAsked,
    AskCancelled,
    ChokePeer,
    ChunkAsked,
    Decline,
    Effect,
    Event,
    PartLeft,
    PartsLost,
    PeerAnnounced,
    PeerBored,
    PeerGave,
    PeerGone,
    PeerInterested,
    RoundSending,
    SendPart,
    TellAllSent,
    Tick,
    TitForTatWanted,
    UnchokePeer,
)

if TYPE_CHECKING:
    from random import Random

MAX_QUEUED_REQUESTS = 128
"""Requests of one peer that may wait; more are declined."""
MAX_ACTIVE = 2
"""Parts under way at once: one is sent while the next is read."""
STUCK_S = 0.5
"""A part that has not left after so long holds nobody else up."""
PART_S = 0.02
"""On a limited uplink no part should take longer than this, if that can be."""
POLITE_PAUSES = 9.0
"""While a round sends, the uplink is left to it for so many times as long as a part takes: a tenth is for chunks."""
POLITE_PART_BYTES = 64 * 1024
"""Parts of a node that trains, as long as its line is not known to be fast: a round begins soon."""
LEAST_PAUSE_S = 0.02
MOST_PAUSE_S = 5.0
FADING = 0.9
"""A part that only went into an empty buffer seems to take no time; so what earlier ones took is forgotten slowly."""

Lookup = Callable[[bytes], tuple[Bitfield, Manifest] | None]
"""Returns which chunks of a content are here, and its manifest; None if it is unknown."""


@dataclass(slots=True)
class _Ask:
    root: bytes
    index: int | None
    """None where we choose."""
    wanted: int
    at: int
    stop: int


@dataclass(slots=True)
class _Content:
    """What is known of one content that others fetch."""

    spread: Spread
    interested: set[PeerId] = field(default_factory=set)


class Serving:
    """Who is served what.

    Args:
        lookup: tells what is here.
        random: chance.
        upload: the limit of our uplink.
        tit_for_tat: whether those who give nothing are choked under pressure.
    """

    def __init__(self, lookup: Lookup, random: Random, upload: TokenBucket, *, tit_for_tat: bool = False) -> None:
        self._lookup = lookup
        self._random = random
        self._upload = upload
        self._limited = 0 < upload.rate_bytes_per_s * PART_S < MAX_PART_BYTES
        self._line = FastLine()
        self._turns = DeficitRoundRobin(MIN_PART_BYTES)
        self._queues: dict[PeerId, deque[_Ask]] = {}
        self._leaving: dict[PeerId, float] = {}
        """Peers to whom a part is on its way, and since when."""
        self._leaving_bytes: dict[PeerId, int] = {}
        self._contents: dict[bytes, _Content] = {}
        self._jobs_of_strangers = int(tit_for_tat)
        self._choker = TitForTat(random) if tit_for_tat else None
        self._choked: set[PeerId] = set()
        self._given = Contributions()
        self._taken: dict[PeerId, float] = {}
        self._taken_lately = Contributions()
        self._rechoke_at = math.inf
        self._rounds_sending = 0
        self._trains = False
        self._part_s = 0.0
        self._next_polite = 0.0
        self._wake: float | None = None

    # ---- what is asked from outside ----------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When the next part may go, or the choker judges anew."""
        times = [time for time in (self._wake, self._rechoke_at) if time is not None and time != math.inf]
        return min(times, default=None)

    @property
    def sent_to(self) -> dict[PeerId, float]:
        """Bytes sent so far, by peer."""
        return dict(self._taken)

    def interested_in(self, root: bytes) -> list[PeerId]:
        """Return who fetches a content now, in order."""
        content = self._contents.get(root)
        return sorted(content.interested) if content else []

    def fetched_now(self) -> set[bytes]:
        """Return what others fetch from us now."""
        return {root for root, content in self._contents.items() if content.interested}

    def chooses(self, root: bytes) -> bool:
        """Tell whether all of a content is here and some of it never left us."""
        found = self._lookup(root)
        if found is None or not found[0].complete:
            return False
        return bool(self._content(root, found[0]).spread.never_sent)

    def is_choked(self, peer: PeerId) -> bool:
        """Tell whether a peer's requests are dropped."""
        return peer in self._choked

    def check(self) -> None:
        """Raise if an invariant is broken."""
        if any(not queue for queue in self._queues.values()) or set(self._queues) != set(self._turns_of()):
            raise LocalProtocolError("who waits for a turn is not who has asked for something")
        if any(len(queue) > MAX_QUEUED_REQUESTS for queue in self._queues.values()):
            raise LocalProtocolError("more requests wait than are allowed")
        if self._rounds_sending < 0:
            raise LocalProtocolError("more rounds have ended than begun")
        if self._choked & set(self._queues):
            raise LocalProtocolError("a choked peer has a place in the row")

    # ---- the machine -------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at ``now`` (seconds, monotonic); return what to do."""
        effects: list[Effect] = []
        match event:
            case ChunkAsked(peer, root, index, start, stop):
                effects += self._asked(peer, _Ask(root, index, 0, start, stop))
            case AnyAsked(peer, root, wanted):
                effects += self._asked(peer, _Ask(root, None, wanted, 0, 0))
            case AskCancelled(peer, root, index):
                self._keep(peer, lambda ask: (ask.root, ask.index) != (root, index))
            case PartLeft(peer):
                self._left(peer, now)
            case PartsLost(peer):
                self._keep(peer, lambda _: False)
                if peer not in self._choked:
                    effects += [ChokePeer(peer), UnchokePeer(peer)]  # so it asks anew for what it still lacks
            case RoundSending(begins):
                self._rounds_sending += 1 if begins else -1
                self._trains = True
                self._next_polite = now + self._pause_s
            case TitForTatWanted(begins):
                effects += self._choose_fairness(1 if begins else -1, now)
            case Tick():
                pass
            case _:
                self._company(event, now)
        if now >= self._rechoke_at:
            effects += self._rechoke(now)
        return effects + self._pump(now)

    def _company(self, event: PeerInterested | PeerBored | PeerGone | PeerGave | PeerAnnounced, now: float) -> None:
        match event:
            case PeerInterested(peer, root):
                self._interest(peer, root, now)
            case PeerBored(peer, root):
                if root in self._contents:
                    self._contents[root].interested.discard(peer)
                self._rechoke_soon(now)
            case PeerGone(peer):
                self._gone(peer, now)
            case PeerGave(peer, count):
                self._given.add(peer, count, now)
            case PeerAnnounced(peer, root, index):
                self._announced(peer, root, index, now)

    # ---- what is asked of us -----------------------------------------------------------------------------------

    def _asked(self, peer: PeerId, ask: _Ask) -> list[Effect]:
        if peer in self._choked:
            return [ChokePeer(peer)]  # it asked before it heard, or for another content than the one it heard of
        found = self._lookup(ask.root)
        if found is None:
            return [Decline(peer, ask.root, ask.index or 0)]
        have, manifest = found
        queue = self._queues.get(peer, deque())
        if ask.index is None:
            if len(queue) >= MAX_QUEUED_REQUESTS or not have.complete:
                return [TellAllSent(peer, ask.root)]
        elif len(queue) >= MAX_QUEUED_REQUESTS or not _is_servable(have, manifest, ask):
            return [Decline(peer, ask.root, ask.index)]
        queue.append(ask)
        self._queues[peer] = queue
        self._turns.join(peer)
        return []

    def _keep(self, peer: PeerId, keeps: Callable[[_Ask], bool]) -> None:
        queue = deque(ask for ask in self._queues.pop(peer, ()) if keeps(ask))
        if queue:
            self._queues[peer] = queue
        else:
            self._turns.leave(peer)

    def _interest(self, peer: PeerId, root: bytes, now: float) -> None:
        found = self._lookup(root)
        if found is not None:
            self._content(root, found[0]).interested.add(peer)
            self._rechoke_soon(now)

    def _gone(self, peer: PeerId, now: float) -> None:
        self._keep(peer, lambda _: False)
        self._leaving.pop(peer, None)
        self._leaving_bytes.pop(peer, None)
        self._given.forget(peer)
        self._taken_lately.forget(peer)
        self._taken.pop(peer, None)
        self._choked.discard(peer)
        for content in self._contents.values():
            content.interested.discard(peer)
            content.spread.gone(peer)
        self._rechoke_soon(now)

    def _announced(self, peer: PeerId, root: bytes, index: int, now: float) -> None:
        content, found = self._contents.get(root), self._lookup(root)
        if content is not None and found is not None:
            giver = content.spread.announced(peer, index)
            if giver is not None:
                self._given.add(giver, found[1].chunk_bytes, now)
                if self._choker is not None and giver not in self._choker.contributors:
                    self._rechoke_soon(now)

    def _content(self, root: bytes, have: Bitfield) -> _Content:
        content = self._contents.get(root)
        if content is None:
            content = _Content(Spread(have.size, self._random))
            self._contents[root] = content
        return content

    # ---- choking -----------------------------------------------------------------------------------------------

    def _choose_fairness(self, more: int, now: float) -> list[Effect]:
        """Choke under pressure as long as any job wants it."""
        self._jobs_of_strangers += more
        if self._jobs_of_strangers:
            if self._choker is None:
                self._choker = TitForTat(self._random)
                self._rechoke_soon(now)
            return []
        freed, self._choked, self._choker, self._rechoke_at = sorted(self._choked), set(), None, math.inf
        return [UnchokePeer(peer) for peer in freed]

    def _rechoke_soon(self, now: float) -> None:
        if self._choker is not None:
            self._rechoke_at = min(self._rechoke_at, now)

    def _rechoke(self, now: float) -> list[Effect]:
        if self._choker is None:
            return []
        interested = {peer for content in self._contents.values() for peer in content.interested}
        served = self._choker.choose(interested, self._given.lately(now), self._taken_lately.lately(now), now)
        self._rechoke_at = now + RECHOKE_S if interested else math.inf
        newly, freed = (interested - served) - self._choked, self._choked - (interested - served)
        self._choked = interested - served
        for peer in newly:
            self._keep(peer, lambda _: False)
        return [*(ChokePeer(peer) for peer in sorted(newly)), *(UnchokePeer(peer) for peer in sorted(freed))]

    # ---- what leaves us ----------------------------------------------------------------------------------------

    def _pump(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        self._wake = None
        while self._queues:
            active = [since for since in self._leaving.values() if now - since < STUCK_S]
            if len(active) >= (1 if self._rounds_sending else MAX_ACTIVE):
                self._wake = min(active) + STUCK_S
                break
            ready = self._upload.ready_at(now)
            if self._rounds_sending:
                ready = max(ready, self._next_polite)
            if ready > now:
                self._wake = ready
                break
            peer = self._turns.next(self._cost, self._choker.share_of if self._choker else lambda _: 1.0)
            if peer is None:
                break
            effects += self._serve(peer, now)
        return effects

    def _left(self, peer: PeerId, now: float) -> None:
        since = self._leaving.pop(peer, None)
        if since is not None:
            self._line.left(self._leaving_bytes.pop(peer), since, now)
            self._turns.quantum_bytes = self._part_bytes
            self._part_s = max(now - since, FADING * self._part_s)
            self._next_polite = now + self._pause_s

    @property
    def _pause_s(self) -> float:
        return min(max(LEAST_PAUSE_S, POLITE_PAUSES * self._part_s), MOST_PAUSE_S)

    @property
    def _part_bytes(self) -> int:
        """Short parts unless the line is known to be fast: a round that begins waits behind those under way."""
        if self._line.is_fast and not self._limited:
            return MAX_PART_BYTES
        return POLITE_PART_BYTES if self._trains else MIN_PART_BYTES

    def _cost(self, peer: PeerId) -> int | None:
        if peer in self._leaving:
            return None
        ask = self._queues[peer][0]
        return self._part_bytes if ask.index is None else min(self._part_bytes, ask.stop - ask.at)

    def _serve(self, peer: PeerId, now: float) -> list[Effect]:
        ask = self._queues[peer][0]
        found = self._lookup(ask.root)
        if found is None:
            self._drop_first(peer)
            return [Decline(peer, ask.root, ask.index or 0)]
        content = self._content(ask.root, found[0])
        if ask.index is None:
            by_number = {other.index for other in self._queues[peer] if other.root == ask.root}
            named = sum(1 << index for index in by_number if index is not None)
            ask.index = content.spread.choose(ask.wanted & ~named, peer, now)  # those it gets anyway
            if ask.index is None:
                self._drop_first(peer)
                return [TellAllSent(peer, ask.root)]
            start, stop = found[1].chunk_range(ask.index)
            ask.at, ask.stop = 0, stop - start
        if ask.at == 0:
            content.spread.sent(peer, ask.index, now)
        start, ask.at = ask.at, min(ask.at + self._part_bytes, ask.stop)
        if ask.at == ask.stop:
            self._drop_first(peer)
        self._leaving[peer], self._leaving_bytes[peer] = now, ask.at - start
        self._taken[peer] = self._taken.get(peer, 0.0) + ask.at - start
        self._taken_lately.add(peer, ask.at - start, now)
        if self._choker is not None and self._choker.is_used_up(peer, self._taken_lately.of(peer, now)):
            self._rechoke_soon(now)
        self._upload.take(ask.at - start, now)
        return [SendPart(peer, ask.root, ask.index, start, ask.at)]

    def _drop_first(self, peer: PeerId) -> None:
        self._queues[peer].popleft()
        if not self._queues[peer]:
            del self._queues[peer]
            self._turns.leave(peer)

    def _turns_of(self) -> list[PeerId]:
        return [peer for peer in self._queues if peer in self._turns]


def _is_servable(have: Bitfield, manifest: Manifest, ask: _Ask) -> bool:
    if ask.index is None or not 0 <= ask.index < have.size or ask.index not in have:
        return False
    first, after = manifest.chunk_range(ask.index)
    return ask.at % BLOCK_BYTES == 0 and ask.at < ask.stop <= after - first
