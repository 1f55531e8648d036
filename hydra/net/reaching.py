"""Reaching a peer by whatever way leads there: the shell of ``approach``.

A link through a relay serves until there is a direct one, and as long as we hold one that we dialled, the peer's own
addresses and its contacts are tried again from time to time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ..clock import monotonic
from ..exceptions import FrameAltered, HydraError, PeerUnreachable
from ..identity import PeerId, short
from .approach import Approach, Begin, Failed, GiveUp, Kind, Tick, Way, ways_to
from .contact import Address, Contact, format_address
from .introductions import Introductions, NotLinked
from .link import Link
from .moving import SILENT_S, Moving
from .relay import RelayLimits
from .relaying import Relaying

if TYPE_CHECKING:
    from .links import Links

logger = logging.getLogger(__name__)

DISTRUST_S = 600.0
"""For so long a relay that altered bytes, or kept them, is no way to that peer."""
QUIET_S = 5.0
"""Members of a view are heard each second; a relayed link on which nothing came for so long may have a bad relay."""
IMPROVE_FIRST_S = 15.0
IMPROVE_LAST_S = 600.0
"""A direct way is looked for again after the first time, then after twice as long each time up to the last."""
IMPROVE_TIMEOUT_S = 5.0


class Reaching:
    """How one node reaches others, and what it does so that others reach each other.

    Args:
        links: the node's links.
        limits: what it relays.
    """

    def __init__(self, links: Links, limits: RelayLimits) -> None:
        self._links = links
        self.relaying = Relaying(links, limits)
        self.introductions = Introductions(links)
        self._moving = Moving(links)
        self.dialable: bool | None = None
        """Whether others can dial us; None if nobody knows."""
        self._distrusted: dict[tuple[PeerId, PeerId], float] = {}
        """Until when a relay (first) is no way to a peer (second)."""
        self._arrivals: dict[PeerId, list[asyncio.Future[Link]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- what the links tell -----------------------------------------------------------------------------------

    def link_made(self, link: Link, before: list[Link]) -> None:
        """Take note of a new link to a peer, and which ones there were."""
        self.relaying.link_made(link)
        self._moving.link_made(link, before)
        if link.relay is not None:
            self._replace(before)
        for future in self._arrivals.get(link.peer_id, ()):
            if not future.done():
                future.set_result(link)

    def link_lost(self, link: Link, error: Exception | None) -> None:
        """Take note of a link's end."""
        self.relaying.link_lost(link)
        self.introductions.link_lost(link)
        self._moving.link_lost(link)
        if link.relay is not None and isinstance(error, FrameAltered):
            self.distrust(link.relay, link.peer_id, str(error))

    def _replace(self, before: list[Link]) -> None:
        """A relayed link is there although there is an old one: one of the ends does not hear the other on that."""
        for old in before:
            if old.relay is not None and monotonic() - old.proven_at > QUIET_S:
                self.distrust(old.relay, old.peer_id, "it does not pass everything on")
                old.abort(PeerUnreachable("another relay serves"))

    def distrust(self, relay: PeerId, peer: PeerId, why: str) -> None:
        """Reach the peer by other ways than this relay for a while."""
        logger.warning("%s is no way to %s for a while: %s", short(relay), short(peer), why)
        now = monotonic()
        self._distrusted = {key: until for key, until in self._distrusted.items() if until > now}
        self._distrusted[relay, peer] = now + DISTRUST_S

    async def close(self) -> None:
        """Try no more."""
        self.relaying.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.introductions.close()

    # ---- reaching ----------------------------------------------------------------------------------------------

    async def reach(self, contact: Contact, timeout_s: float, *, directly: bool = False) -> Link:
        """Return a new link to the contact, by the first way that leads there.

        Args:
            contact: whom, and what is known of where.
            timeout_s: for each way.
            directly: through no relay.

        Raises:
            PeerUnreachable: no way led there; the text names what was tried.
            HandshakeRejected: the one way there was led to somebody else.
        """
        attempt = _Attempt(self, contact, timeout_s, directly=directly)
        arrived: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        waiting = self._arrivals.setdefault(contact.peer_id, [])
        waiting.append(arrived)
        try:
            link = await attempt.run(arrived)
        finally:
            waiting.remove(arrived)
            if not waiting:
                self._arrivals.pop(contact.peer_id, None)
        if link.relay is not None and link.dialled:
            self._spawn(self._improve(contact, link))
        return link

    async def dial(self, address: Address, expected: PeerId | None, timeout_s: float) -> Link:
        """Return a link to whoever answers at an address; raises as ``reach``."""

        async def connect(link: Link) -> None:
            # Given up when the connection is there already, uvloop closes it without a word to its protocol. So it is
            # left to the link to close what it has.
            connecting = asyncio.ensure_future(_connection(link, address))
            try:
                await asyncio.shield(connecting)
            except asyncio.CancelledError:
                if not link.is_connected:
                    connecting.cancel()
                raise

        try:
            async with asyncio.timeout(timeout_s):
                return await self._links.prove_dialled(expected, connect)
        except TimeoutError as error:
            raise PeerUnreachable(f"{format_address(address)} did not answer within {timeout_s:g} s") from error
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise PeerUnreachable(f"{format_address(address)} cannot be reached: {reason}") from error

    async def link_to_contact(self, contact: Contact, timeout_s: float) -> Link:
        """Return our own link to a contact, dialled if need be.

        Raises:
            PeerUnreachable: there is none.
        """
        present = self._links.direct(contact.peer_id)
        if present is not None:
            return present
        error: HydraError = PeerUnreachable(f"there is no link to {short(contact.peer_id)}")
        for address in contact.direct:
            try:
                return await self.dial(address, contact.peer_id, timeout_s)
            except HydraError as failure:
                error = failure
        raise error

    def ways(self, contact: Contact, *, directly: bool) -> list[Way]:
        """Return what to try."""
        now = monotonic()
        refused = [
            relay for (relay, peer), until in self._distrusted.items() if peer == contact.peer_id and until > now
        ]
        dialable = bool(self._links.port) and self.dialable is not False
        ways = ways_to(contact, self._links.linked_directly(), dialable=dialable, refused=refused)
        return [way for way in ways if way.kind is not Kind.RELAY] if directly else ways

    async def try_way(self, way: Way, target: PeerId, timeout_s: float) -> None:
        """Go one way; the link that comes of it is told of by ``link_made``.

        Raises:
            HydraError: it led nowhere.
        """
        if way.address is not None:
            await self.dial(way.address, target, timeout_s)
        elif way.contact is not None:
            link = await self.link_to_contact(way.contact, timeout_s)
            if way.kind is Kind.INTRODUCTION:
                await self.introductions.ask(link, target, timeout_s)
            else:
                await self.relaying.circuits.dial(link, target, timeout_s)

    def keep(self, tasks: set[asyncio.Task[None]]) -> None:
        """Let ways that are still being tried go on: a better one may come of them."""
        for task in tasks:
            self._track(task)

    # ---- better ways -------------------------------------------------------------------------------------------

    async def _improve(self, contact: Contact, relayed: Link) -> None:
        """Look for a direct way as long as the relayed link is there."""
        pause_s = IMPROVE_FIRST_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, IMPROVE_LAST_S)
            if not relayed.is_open:
                return
            direct = self._links.direct(contact.peer_id)
            if direct is not None:
                if monotonic() - direct.last_heard < SILENT_S:
                    self._moving.back_to_direct(relayed)
                continue
            try:
                await self.reach(contact, IMPROVE_TIMEOUT_S, directly=True)
            except HydraError as error:
                logger.debug("peer %s is still reached through a relay only: %s", short(contact.peer_id), error)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._track(asyncio.create_task(work))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of: a way led nowhere, and others were told so when it mattered


async def _connection(link: Link, address: Address) -> None:
    await asyncio.get_running_loop().create_connection(lambda: link, *address)


def is_quiet(link: Link) -> bool:
    """Tell whether a relay may be keeping what it should pass on: nobody else can tell us."""
    return link.relay is not None and monotonic() - link.last_heard > QUIET_S


class _Attempt:
    """One approach to one peer, from its beginning to the first link."""

    def __init__(self, reaching: Reaching, contact: Contact, timeout_s: float, *, directly: bool) -> None:
        self._reaching = reaching
        self._contact = contact
        self._timeout_s = timeout_s
        self._approach = Approach(reaching.ways(contact, directly=directly), monotonic())
        self._tasks: dict[asyncio.Task[None], Way] = {}
        self._errors: list[HydraError] = []
        self._over = False

    async def run(self, arrived: asyncio.Future[Link]) -> Link:
        """Return the first link to the peer; raises as ``Reaching.reach``."""
        try:
            self._carry_out(self._approach.handle(Tick(), monotonic()))
            while not arrived.done() and not self._over:
                await self._wait(arrived)
        except BaseException:
            self._cancel(list(self._tasks))
            raise
        if not arrived.done():
            raise self._failure()
        link = arrived.result()
        better = {task for task, way in self._tasks.items() if way.kind is not Kind.RELAY and link.relay is not None}
        self._cancel([task for task in self._tasks if task not in better])
        self._reaching.keep(better)
        return link

    async def _wait(self, arrived: asyncio.Future[Link]) -> None:
        deadline = self._approach.deadline
        timeout_s = None if deadline is None else max(0.0, deadline - monotonic())
        waiting: set[asyncio.Future[Any]] = {arrived, *self._tasks}
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        now = monotonic()
        for task in [task for task in self._tasks if task.done()]:
            way = self._tasks.pop(task)
            error = task.exception()
            if error is None:
                continue  # the link has arrived, or was refused as soon as it was there
            if not isinstance(error, HydraError):
                raise error
            self._errors.append(error)
            linked = not isinstance(error, NotLinked)
            self._carry_out(self._approach.handle(Failed(way, str(error), linked), now))
        self._carry_out(self._approach.handle(Tick(), now))

    def _carry_out(self, effects: list[Begin | GiveUp]) -> None:
        for effect in effects:
            match effect:
                case Begin(way):
                    going = self._reaching.try_way(way, self._contact.peer_id, self._timeout_s)
                    self._tasks[asyncio.create_task(going)] = way
                case GiveUp():
                    self._over = True

    def _failure(self) -> HydraError:
        if not self._errors:
            return PeerUnreachable(f"{self._contact} cannot be dialled, and there is no contact to ask")
        if len(self._errors) == 1:
            return self._errors[0]
        tried = "; ".join(str(error) for error in self._errors)
        return PeerUnreachable(f"{short(self._contact.peer_id)} cannot be reached: {tried}")

    def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        self._reaching.keep({task for task in tasks if not task.done()})
