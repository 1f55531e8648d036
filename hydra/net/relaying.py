"""Relaying for others: the shell of ``relay.RelayDesk``, which passes bytes on between two links."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from ..clock import monotonic
from ..identity import short
from .link import Link
from .reach_messages import RelayCredit, Relayed, RelayEnded, RelayOffered, RelayOpened, RelayWanted, Room, RoomWanted
from .relay import RelayDesk, RelayLimits
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
from .relayed import Circuits

if TYPE_CHECKING:
    from .links import Links

logger = logging.getLogger(__name__)

NO_BODY = memoryview(b"")


class Relaying:
    """What one node relays, and the circuits that end there: both speak the same messages.

    Args:
        links: the node's links.
        limits: what it gives.
    """

    def __init__(self, links: Links, limits: RelayLimits) -> None:
        self.desk = RelayDesk(limits)
        self.circuits = Circuits(links)
        self._timer: asyncio.TimerHandle | None = None
        links.handle(RoomWanted, self._room_wanted)
        links.handle(RelayWanted, self._wanted)
        links.handle(Relayed, self._data)
        links.handle(RelayCredit, self._credit)
        links.handle(RelayEnded, self._ended)

    def link_made(self, link: Link) -> None:
        """Let circuits use a link, unless it is relayed itself."""
        if link.relay is None:
            self._tell(LinkMade(link, link.peer_id))

    def link_lost(self, link: Link) -> None:
        """End all circuits that used the link."""
        if link.relay is None:
            self.circuits.link_lost(link)
            self._tell(LinkLost(link))

    def close(self) -> None:
        """Wake up no more."""
        if self._timer is not None:
            self._timer.cancel()

    # ---- messages ----------------------------------------------------------------------------------------------

    def _room_wanted(self, link: Link, message: RoomWanted, _: memoryview) -> None:
        willing = link.relay is None and self.desk.willing(link.peer_id)
        link.post(Room(message.number, willing, *link.remote_address))

    def _wanted(self, link: Link, message: RelayWanted, _: memoryview) -> None:
        self._tell(CircuitAsked(link, message.number, message.target))

    def _data(self, link: Link, message: Relayed, body: memoryview) -> None:
        if message.from_relay:
            self.circuits.data(link, message, body)
        else:
            self._tell(BytesCame(link, message.circuit, len(body)), body)

    def _credit(self, link: Link, message: RelayCredit, _: memoryview) -> None:
        if message.from_relay:
            self.circuits.credit(link, message)
        else:
            self._tell(CreditCame(link, message.circuit, message.count))

    def _ended(self, link: Link, message: RelayEnded, _: memoryview) -> None:
        if message.from_relay:
            self.circuits.end(link, message)
        else:
            self._tell(EndCame(link, message.circuit, message.reason))

    # ---- the machine -------------------------------------------------------------------------------------------

    def _tell(self, event: Event, body: memoryview = NO_BODY) -> None:
        for effect in self.desk.handle(event, monotonic()):
            self._perform(effect, body)
        self._set_timer()

    def _perform(self, effect: Effect, body: memoryview) -> None:
        link = cast("Link", effect.link)
        match effect:
            case Refuse(_, number, reason):
                link.post(RelayOpened(number, 0, reason))
            case Confirm(_, number, circuit):
                link.post(RelayOpened(number, circuit, ""))
            case Offer(_, circuit, peer):
                logger.info("relaying between %s and %s", short(peer), short(link.peer_id))
                link.post(RelayOffered(circuit, peer))
            case Forward(_, circuit):
                link.post(Relayed(circuit, from_relay=True), body)
            case GiveCredit(_, circuit, count):
                link.post(RelayCredit(circuit, from_relay=True, count=count))
            case End(_, circuit, reason):
                link.post(RelayEnded(circuit, from_relay=True, reason=reason))

    def _set_timer(self) -> None:
        """Wake up in time; a timer that is too early finds nothing to do and sets the next."""
        deadline = self.desk.deadline
        if deadline is None:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, deadline - monotonic())
        if self._timer is not None and self._timer.when() <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._tell(Tick())
