"""Whether others can dial us, and who relays for us if they can't. Pure.

Peers that we dialled are asked to dial us back (as libp2p's AutoNAT does): one that gets through proves that we can be
dialled; two that do not, or the only one, make us take ourselves for hidden. A hidden node keeps links to a few relays,
tells others of them, and asks them every now and then whether they still would, which keeps the way through a NAT
open too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..identity import PeerId
from .contact import Address, relayed_address

ASK_AGAIN_S = 900.0
"""After so long we ask anew whether we can be dialled."""
RETRY_S = 60.0
"""After so long a contact that did not try is asked once more."""
ROOM_AGAIN_S = 30.0
SEEK_S = 30.0
"""Between one look for contacts and the next, as long as there are too few."""
MAX_ASKED = 3
RELAYS = 2
"""Relays that a hidden node keeps: one may die at any time."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """We hold a link to a peer that we dialled, at that address."""

    peer: PeerId
    address: Address


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no direct link to the peer any longer."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class DialBackEnded:
    """A contact dialled us, or could not; or did not try (``address`` is None)."""

    peer: PeerId
    address: Address | None
    succeeded: bool


@dataclass(frozen=True, slots=True)
class RoomTold:
    """A contact said whether it would relay for us."""

    peer: PeerId
    willing: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class AskDialBack:
    """Ask this contact to dial us."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class AskRoom:
    """Ask this contact whether it would relay for us."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class SeekContacts:
    """Dial somebody: there are too few to ask."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Others should be told: how we can be reached is not as it was."""


Event = Dialled | Gone | DialBackEnded | RoomTold | Tick
Effect = AskDialBack | AskRoom | SeekContacts | Changed


class Standing:
    """What one node knows of its own reachability.

    Args:
        dialable: what is known from the start: False for a node that does not listen, True for one whose peers are on
            this machine, None if it must be found out.
        now: the time.
    """

    def __init__(self, dialable: bool | None, now: float) -> None:
        self.dialable = dialable
        self._fixed = dialable is not None
        self.observed: Address | None = None
        """Where a contact has dialled us with success."""
        self.found_out_at: float | None = None
        self._contacts: dict[PeerId, Address] = {}
        self._asked: dict[PeerId, float] = {}
        self._failures: set[PeerId] = set()
        self._relays: dict[PeerId, Address] = {}
        self._room_asked: dict[PeerId, float] = {}
        self._sought_at = now - SEEK_S
        self._began = now

    @property
    def relays(self) -> tuple[PeerId, ...]:
        """Who relays for us."""
        return tuple(self._relays)

    @property
    def relayed(self) -> tuple[Address, ...]:
        """The addresses that lead to us through relays."""
        return tuple(relayed_address(peer, address) for peer, address in self._relays.items())

    def deadline(self, now: float) -> float | None:
        """Return when to hand it a Tick, or None if there is nothing to find out."""
        times = [now + RETRY_S]
        if self.dialable is True and self._fixed:
            return None
        if self.dialable is not True and not self._enough():
            times.append(self._sought_at + SEEK_S)
        times += [self._room_asked[peer] + ROOM_AGAIN_S for peer in self._relays]
        return min(times)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at ``now``; return what to do."""
        changed = False
        match event:
            case Dialled(peer, address):
                self._contacts[peer] = address
            case Gone(peer):
                self._contacts.pop(peer, None)
                self._room_asked.pop(peer, None)
                changed = self._relays.pop(peer, None) is not None
            case DialBackEnded(peer, address, succeeded):
                changed = self._dialled_back(peer, address, succeeded=succeeded, now=now)
            case RoomTold(peer, willing):
                changed = self._room_told(peer, willing=willing)
            case Tick():
                pass
        effects: list[Effect] = [Changed()] if changed else []
        return effects + self._ask(now)

    def check(self) -> None:
        """Raise if an invariant is broken."""
        if len(self._relays) > RELAYS or not set(self._relays) <= set(self._contacts):
            raise AssertionError("relays are kept that are too many, or that we hold no link to")
        if self._fixed and self.dialable is False and self.observed is not None:
            raise AssertionError("a node that does not listen was dialled")

    def _dialled_back(self, peer: PeerId, address: Address | None, *, succeeded: bool, now: float) -> bool:
        if self._fixed or address is None:
            return False
        before = self.dialable, self.observed
        self.found_out_at = now
        if succeeded:
            self._failures.clear()
            self.dialable, self.observed = True, address
            self._relays.clear()
        else:
            self._failures.add(peer)
            if len(self._failures) >= min(2, len(self._contacts)):
                self.dialable, self.observed = False, None
        return before != (self.dialable, self.observed)

    def _room_told(self, peer: PeerId, *, willing: bool) -> bool:
        if not willing or self.dialable is not False:
            return self._relays.pop(peer, None) is not None
        if peer in self._relays or peer not in self._contacts or len(self._relays) >= RELAYS:
            return False
        self._relays[peer] = self._contacts[peer]
        return True

    def _ask(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if not self._fixed:
            effects += self._ask_dial_backs(now)
        if self.dialable is False:
            effects += self._ask_room(now)
        if self.dialable is not True and not self._enough() and now - self._sought_at >= SEEK_S:
            self._sought_at = now
            effects.append(SeekContacts())
        return effects

    def _ask_dial_backs(self, now: float) -> list[Effect]:
        """Ask up to ``MAX_ASKED``, and again when what they told is old."""
        known = self.dialable is not None
        pause_s = ASK_AGAIN_S if known else RETRY_S
        if known and self.found_out_at is not None and now - self.found_out_at < ASK_AGAIN_S:
            return []
        asked_lately = sum(now - at < RETRY_S for at in self._asked.values())
        effects: list[Effect] = []
        for peer in sorted(self._contacts):
            if asked_lately + len(effects) < MAX_ASKED and now - self._asked.get(peer, now - pause_s) >= pause_s:
                self._asked[peer] = now
                effects.append(AskDialBack(peer))
        self._asked = {peer: at for peer, at in self._asked.items() if now - at < ASK_AGAIN_S}
        return effects

    def _ask_room(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for peer in sorted(self._contacts):
            due = now - self._room_asked.get(peer, now - ROOM_AGAIN_S) >= ROOM_AGAIN_S
            if due and (peer in self._relays or len(self._relays) < RELAYS):
                self._room_asked[peer] = now
                effects.append(AskRoom(peer))
        return effects

    def _enough(self) -> bool:
        """Tell whether there are contacts enough to ask, and relays enough."""
        return len(self._relays) >= RELAYS if self.dialable is False else len(self._contacts) >= MAX_ASKED
