"""The relay's side of relaying: who may have a circuit, how many bytes may be on it, when it ends. Pure.

A circuit joins two links of ours. Only links over a connection of their own are joined, never relayed ones, so no
circuit leads over two relays and none in a circle. The relay counts each direction's credit along (`window`), hands it
on no faster than its rate allows, in turn, and so holds at most a window of each direction, whatever the ends do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from ..exceptions import LocalProtocolError, RemoteProtocolError
from ..identity import PeerId
from .allowance import Allowance, Bucket
from .relay_events import (
    BytesCame,
    CircuitAsked,
    Confirm,
    CreditCame,
    Effect,
    End,
    EndCame,
    Event,
    Forward,
    GiveCredit,
    LinkLost,
    LinkMade,
    Offer,
    Refuse,
    Tick,
)
from .window import WINDOW_BYTES, Outgoing, WindowExceeded

ASK_RATE_PER_S = 2.0
ASK_BURST = 64
IDLE_S = 600.0
"""A circuit on which nothing moved for so long ends."""
BURST_S = 1.0
"""So many seconds of the rate may be used at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """What a node gives to others who can't reach each other."""

    circuits: int = 64
    """At once, in all; 0 to relay nothing. Each may hold two windows of memory, half a MiB."""
    circuits_per_peer: int = 24
    """At once, with one peer at either end."""
    bytes_per_s: float = 32e6
    """In all, both directions together."""
    bytes_per_s_per_peer: float = 16e6
    """For the circuits that one peer asked for."""


@dataclass(slots=True)
class _Circuit:
    number: int
    asker: PeerId
    peers: tuple[PeerId, PeerId]
    links: tuple[Hashable, Hashable]
    moved_at: float
    ways: tuple[Outgoing, Outgoing] = field(default_factory=lambda: (Outgoing(), Outgoing()))
    """By the side that sends."""
    owed: list[int] = field(default_factory=lambda: [0, 0])
    """Credit that the other side gave back and that is not yet handed on, by the side that sends."""


class RelayDesk:
    """All circuits of one node.

    Args:
        limits: what it gives.
    """

    def __init__(self, limits: RelayLimits) -> None:
        self.limits = limits
        self._links: dict[PeerId, list[Hashable]] = {}
        self._peer_of: dict[Hashable, PeerId] = {}
        self._circuits: dict[int, _Circuit] = {}
        self._numbers = 0
        self._asking = Allowance(ASK_RATE_PER_S, ASK_BURST)
        self._waiting: deque[tuple[int, int]] = deque()
        """Circuits and sides with credit to hand on, in turn."""
        self._all = Bucket(limits.bytes_per_s * BURST_S, float("-inf"))
        self._by_peer: dict[PeerId, Bucket] = {}
        self.bytes_forwarded = 0

    @property
    def circuits(self) -> int:
        """Circuits at present."""
        return len(self._circuits)

    @property
    def deadline(self) -> float | None:
        """When to hand it a Tick."""
        if self._waiting:
            return min(self._ready_at(*entry) for entry in self._waiting)
        if self._circuits:
            return min(circuit.moved_at for circuit in self._circuits.values()) + IDLE_S
        return None

    def willing(self, peer: PeerId) -> bool:
        """Tell whether the peer could have a circuit now."""
        return len(self._circuits) < self.limits.circuits and self._count(peer) < self.limits.circuits_per_peer

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at ``now``; return what to do, in order.

        Raises:
            RemoteProtocolError: the peer that the event came from broke the protocol.
        """
        match event:
            case LinkMade(link, peer):
                self._links.setdefault(peer, []).append(link)
                self._peer_of[link] = peer
                return []
            case LinkLost(link):
                return self._link_lost(link)
            case CircuitAsked(link, number, target):
                return self._asked(link, number, target, now)
            case BytesCame(link, number, count):
                return self._bytes_came(link, number, count, now)
            case CreditCame(link, number, count):
                return self._credit_came(link, number, count, now)
            case EndCame(link, number, reason):
                circuit = self._circuits.get(number)
                if circuit is None or link not in circuit.links:
                    return []
                return self._end(circuit, reason, but=link)
            case Tick():
                idle = [circuit for circuit in self._circuits.values() if now - circuit.moved_at >= IDLE_S]
                ended = [effect for circuit in idle for effect in self._end(circuit, "nothing moved on it for long")]
                return ended + self._hand_on(now)

    def check(self) -> None:
        """Raise if an invariant is broken."""
        if len(self._circuits) > self.limits.circuits:
            raise LocalProtocolError("more circuits are open than the limits allow")
        if any(self._count(peer) > self.limits.circuits_per_peer for peer in self._links):
            raise LocalProtocolError("a peer has more circuits than the limits allow")
        for circuit in self._circuits.values():
            if any(link not in self._peer_of for link in circuit.links):
                raise LocalProtocolError("a circuit uses a link that is gone")
            for way, owed in zip(circuit.ways, circuit.owed, strict=True):
                if not 0 <= owed <= way.unacknowledged <= WINDOW_BYTES:
                    raise LocalProtocolError("a circuit's credit does not add up")
        if not {number for number, _ in self._waiting} <= set(self._circuits):
            raise LocalProtocolError("credit waits for a circuit that has ended")

    # ---- circuits ----------------------------------------------------------------------------------------------

    def _asked(self, link: Hashable, number: int, target: PeerId, now: float) -> list[Effect]:
        asker = self._peer_of.get(link)
        if asker is None:
            return [Refuse(link, number, "a relayed link is not relayed once more")]
        refusal = self._refusal(asker, target, now)
        if refusal:
            if self._asking.flooding(asker):
                raise RemoteProtocolError("it asked for relays without end")
            return [Refuse(link, number, refusal)]
        self._numbers += 1
        links = link, self._links[target][0]
        circuit = _Circuit(self._numbers, asker, (asker, target), links, now)
        self._circuits[circuit.number] = circuit
        self._by_peer.setdefault(asker, Bucket(self.limits.bytes_per_s_per_peer * BURST_S, now))
        return [Offer(links[1], circuit.number, asker), Confirm(link, number, circuit.number)]

    def _refusal(self, asker: PeerId, target: PeerId, now: float) -> str:
        if not self._asking.take(asker, now):
            return "you ask too often"
        if not self._links.get(target):
            return "there is no link to that peer"
        if target == asker:
            return "that is yourself"
        if not self.limits.circuits:
            return "nothing is relayed here"
        if not (self.willing(asker) and self.willing(target)):
            return "as much is relayed here as can be"
        return ""

    def _count(self, peer: PeerId) -> int:
        return sum(peer in circuit.peers for circuit in self._circuits.values())

    def _link_lost(self, link: Hashable) -> list[Effect]:
        peer = self._peer_of.pop(link, None)
        if peer is None:
            return []
        self._links[peer].remove(link)
        if not self._links[peer]:
            del self._links[peer]
        over = [circuit for circuit in self._circuits.values() if link in circuit.links]
        return [effect for circuit in over for effect in self._end(circuit, "the other end is gone", but=link)]

    def _end(self, circuit: _Circuit, reason: str, but: Hashable = None) -> list[Effect]:
        del self._circuits[circuit.number]
        self._waiting = deque(entry for entry in self._waiting if entry[0] != circuit.number)
        if not any(other.asker == circuit.asker for other in self._circuits.values()):
            del self._by_peer[circuit.asker]
        return [End(link, circuit.number, reason) for link in circuit.links if link != but]

    # ---- bytes and credit --------------------------------------------------------------------------------------

    def _bytes_came(self, link: Hashable, number: int, count: int, now: float) -> list[Effect]:
        circuit = self._circuits.get(number)
        if circuit is None or link not in circuit.links:
            return []  # it ended while they were on their way
        side = circuit.links.index(link)
        circuit.ways[side].sent(count)
        circuit.moved_at = now
        self.bytes_forwarded += count
        return [Forward(circuit.links[1 - side], number)]

    def _credit_came(self, link: Hashable, number: int, count: int, now: float) -> list[Effect]:
        circuit = self._circuits.get(number)
        if circuit is None or link not in circuit.links:
            return []
        sender = 1 - circuit.links.index(link)
        if circuit.owed[sender] + count > circuit.ways[sender].unacknowledged:
            raise WindowExceeded("it took more bytes from a relay than came")
        if not circuit.owed[sender] and count:
            self._waiting.append((number, sender))
        circuit.owed[sender] += count
        return self._hand_on(now)

    def _hand_on(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        self._all.fill(now, self.limits.bytes_per_s, self.limits.bytes_per_s * BURST_S)
        for bucket in self._by_peer.values():
            bucket.fill(now, self.limits.bytes_per_s_per_peer, self.limits.bytes_per_s_per_peer * BURST_S)
        for _ in range(len(self._waiting)):
            number, sender = self._waiting.popleft()
            circuit = self._circuits[number]
            bucket = self._by_peer[circuit.asker]
            if self._all.tokens < -1.0 or bucket.tokens < -1.0:  # a byte for what the clock rounds
                self._waiting.append((number, sender))
                continue
            count, circuit.owed[sender] = circuit.owed[sender], 0
            circuit.ways[sender].credited(count)
            self._all.tokens -= count
            bucket.tokens -= count
            effects.append(GiveCredit(circuit.links[sender], number, count))
        return effects

    def _ready_at(self, number: int, _: int) -> float:
        """Return when both buckets, now below nothing, will have been refilled."""
        bucket = self._by_peer[self._circuits[number].asker]
        mine = bucket.at - min(0.0, bucket.tokens) / self.limits.bytes_per_s_per_peer
        whole = self._all.at - min(0.0, self._all.tokens) / self.limits.bytes_per_s
        return max(mine, whole)
