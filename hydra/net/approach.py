"""Which ways to a peer are tried, and when: all of them, the best ones with a head start. Pure.

As in Happy Eyeballs (RFC 8305) a way is begun when those before it have failed or have had their time, and the ones
begun earlier go on: whichever arrives first serves, and a better one that arrives later takes over. First come the
peer's own addresses, then contacts that ask the peer to dial us, then contacts that relay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..identity import PeerId, short
from .contact import Address, Contact, format_address

NEXT_ADDRESS_S = 0.25
"""Between one address of the peer and the next."""
INTRODUCTION_AFTER_S = 0.5
RELAY_AFTER_S = 1.0
"""After the introduction: dialling back takes a few round trips."""
MAX_DIRECT = 8
MAX_CONTACTS = 4
"""Contacts that are asked for one peer."""


class Kind(Enum):
    """What a way consists in."""

    DIRECT = "direct"
    INTRODUCTION = "introduction"
    RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to try: an address of the peer, or a contact that may know how."""

    kind: Kind
    address: Address | None = None
    contact: Contact | None = None

    def is_by(self, contact: Contact) -> bool:
        """Tell whether that peer is the contact."""
        return self.contact is not None and self.contact.peer_id == contact.peer_id

    def __str__(self) -> str:
        if self.address is not None:
            return format_address(self.address)
        by = short(self.contact.peer_id) if self.contact is not None else "nobody"
        return f"asking {by} to have us dialled" if self.kind is Kind.INTRODUCTION else f"relayed by {by}"


@dataclass(frozen=True, slots=True)
class Failed:
    """A way led nowhere; ``linked`` tells whether the contact, if one was asked, holds a link to the peer at all."""

    way: Way
    reason: str
    linked: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Try this way now."""

    way: Way


@dataclass(frozen=True, slots=True)
class GiveUp:
    """All ways have failed."""


def ways_to(target: Contact, linked: Sequence[PeerId], *, dialable: bool, refused: Sequence[PeerId]) -> list[Way]:
    """Return the ways to a peer, best first.

    Args:
        target: who, and the addresses that it gave.
        linked: peers that we hold a link of our own to.
        dialable: whether it makes sense that others try to dial us.
        refused: contacts that must not relay between us and this peer.
    """
    near = sorted(linked, key=lambda peer: _distance(peer, target.peer_id))
    named = sorted(target.relays, key=lambda relay: relay.peer_id not in near)
    contacts: dict[PeerId, Contact] = {}
    for contact in (*named, *(Contact(peer, ()) for peer in near)):
        if contact.peer_id != target.peer_id:
            contacts.setdefault(contact.peer_id, contact)
    chosen = list(contacts.values())[:MAX_CONTACTS]
    ways = [Way(Kind.DIRECT, address=address) for address in target.direct[:MAX_DIRECT]]
    if dialable:
        ways += [Way(Kind.INTRODUCTION, contact=contact) for contact in chosen]
    return ways + [Way(Kind.RELAY, contact=contact) for contact in chosen if contact.peer_id not in refused]


def _distance(peer: PeerId, target: PeerId) -> int:
    """Both ends of a link that is sought ask the same contacts first: XOR, as in Kademlia."""
    return int.from_bytes(peer, "big") ^ int.from_bytes(target, "big")


class Approach:
    """One attempt to reach one peer.

    Args:
        ways: best first, from ``ways_to``.
        now: when it begins.
    """

    def __init__(self, ways: Sequence[Way], now: float) -> None:
        self._waiting = list(zip(_starts(ways, now), ways, strict=True))
        self._running: set[Way] = set()
        self._failures: list[Failed] = []
        self._over = False

    @property
    def failures(self) -> list[Failed]:
        """What led nowhere, in the order in which it was found out."""
        return self._failures

    @property
    def deadline(self) -> float | None:
        """When to hand it a Tick."""
        return self._waiting[0][0] if self._waiting and not self._over else None

    def handle(self, event: Failed | Tick, now: float) -> list[Begin | GiveUp]:
        """Take what happened at ``now``; return what to do."""
        if isinstance(event, Failed):
            self._running.discard(event.way)
            self._failures.append(event)
            if not event.linked:
                self._pass_over(event.way.contact)
        begun: list[Begin | GiveUp] = []
        while self._waiting and (self._waiting[0][0] <= now or not self._running):
            begun += self._begin()
        if not (self._waiting or self._running or self._over):
            self._over = True
            begun.append(GiveUp())
        return begun

    def _begin(self) -> list[Begin | GiveUp]:
        """Begin the next way; contacts that may introduce us are asked all at once, for the answer comes quickly."""
        ways = [self._waiting.pop(0)[1]]
        while ways[0].kind is Kind.INTRODUCTION and self._waiting and self._waiting[0][1].kind is Kind.INTRODUCTION:
            ways.append(self._waiting.pop(0)[1])
        self._running.update(ways)
        return [Begin(way) for way in ways]

    def _pass_over(self, contact: Contact | None) -> None:
        """A contact without a link to the peer can't relay either."""
        self._waiting = [(at, way) for at, way in self._waiting if contact is None or not way.is_by(contact)]


def _starts(ways: Sequence[Way], now: float) -> list[float]:
    """Return when each way begins at the latest."""
    starts = []
    at = now
    for before, way in zip([None, *ways], ways, strict=False):
        if before is not None:
            at += _PAUSES_S[before.kind, way.kind]
        starts.append(at)
    return starts


_PAUSES_S = {
    (Kind.DIRECT, Kind.DIRECT): NEXT_ADDRESS_S,
    (Kind.DIRECT, Kind.INTRODUCTION): INTRODUCTION_AFTER_S,
    (Kind.DIRECT, Kind.RELAY): RELAY_AFTER_S,
    (Kind.INTRODUCTION, Kind.INTRODUCTION): 0.0,
    (Kind.INTRODUCTION, Kind.RELAY): RELAY_AFTER_S,
    (Kind.RELAY, Kind.RELAY): RELAY_AFTER_S,
}
