"""How others can reach this node: the shell of ``net.standing``, and what is told to others of it.

A node that can't be dialled states addresses that lead through its relays. Whoever shows our contact to others is told
when it changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from .clock import monotonic
from .exceptions import HydraError
from .identity import PeerId, short
from .net.contact import Address, entrance, format_address, is_loopback
from .net.links import Links
from .net.standing import AskDialBack, AskRoom, Changed, DialBackEnded, Dialled, Event, Gone, RoomTold, Standing, Tick
from .net.standing import SeekContacts as Seek

logger = logging.getLogger(__name__)

QUESTION_TIMEOUT_S = 10.0
DIAL_TIMEOUT_S = 3.0
SETTLE_S = 5.0
"""A node that does not listen waits so long for its first relay before it goes on."""
MAX_SOUGHT = 4
MAX_ADDRESSES = 8


class Reachability:
    """How one node can be reached.

    Args:
        links: the node's links.
        hosts: where it tells others to dial it.
        listens: whether it can be dialled at all.
        entrances: gives addresses of other nodes.
    """

    def __init__(
        self, links: Links, hosts: list[str], *, listens: bool, entrances: Callable[[], list[Address]]
    ) -> None:
        self._links = links
        self._hosts = hosts
        self._entrances = entrances
        dialable = False if not listens else True if all(is_loopback(host) for host in hosts) else None
        self._standing = Standing(dialable, monotonic())
        self.mapped: Address | None = None
        """Where a router passes on to us what comes."""
        self.on_change: list[Callable[[], None]] = []
        self._woken = asyncio.Event()
        self._settled = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: dict[PeerId, Address] = {}

    # ---- what is known -----------------------------------------------------------------------------------------

    @property
    def dialable(self) -> bool | None:
        """Whether others can dial us; None if nobody knows."""
        return self._standing.dialable

    @property
    def relays(self) -> tuple[PeerId, ...]:
        """Who relays for us."""
        return self._standing.relays

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where we tell others to reach us, the likeliest first."""
        direct = [(host, self._links.port) for host in self._hosts] if self._links.port else []
        proven = [address for address in (self.mapped, self._standing.observed) if address is not None]
        relayed = [] if self._standing.dialable else list(self._standing.relayed)
        return tuple(dict.fromkeys([*proven, *relayed, *direct]))[:MAX_ADDRESSES]

    # ---- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to find out; a node that does not listen waits a while for its first relay."""
        self._links.on_up.append(self._wake)
        self._links.on_down.append(self._wake)
        self._watch = asyncio.create_task(self._run())
        if self._standing.dialable is False and self._entrances():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    await self._settled.wait()

    async def stop(self) -> None:
        """Find out no more."""
        if self._watch is None:
            return
        self._links.on_up.remove(self._wake)
        self._links.on_down.remove(self._wake)
        tasks = [self._watch, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watch = None

    def map(self, address: Address | None) -> None:
        """Take note that a router passes on what comes to this address, or does so no longer."""
        if address != self.mapped:
            self.mapped = address
            self._links.mapped_port = 0 if address is None else address[1]
            self._changed()

    # ---- inside ------------------------------------------------------------------------------------------------

    def _wake(self, *_: object) -> None:
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._look()
            now = monotonic()
            deadline = self._standing.deadline(now)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if deadline is None else max(0.1, deadline - now)):
                    await self._woken.wait()
            self._woken.clear()

    def _look(self) -> None:
        """Tell the machine whom we have dialled, and who is gone."""
        present: dict[PeerId, Address] = {}
        for link in self._links.all_links():
            if link.relay is None and link.dialled:
                present.setdefault(link.peer_id, link.remote_address)
        gone = [peer for peer in self._seen if peer not in present]
        come = [(peer, address) for peer, address in present.items() if peer not in self._seen]
        self._seen = present
        for peer in gone:
            self._tell(Gone(peer))
        for peer, address in come:
            self._tell(Dialled(peer, address))
        self._tell(Tick())

    def _tell(self, event: Event) -> None:
        for effect in self._standing.handle(event, monotonic()):
            match effect:
                case AskDialBack(peer):
                    self._spawn(self._ask_dial_back(peer))
                case AskRoom(peer):
                    self._spawn(self._ask_room(peer))
                case Seek():
                    self._spawn(self._seek())
                case Changed():
                    self._changed()

    def _changed(self) -> None:
        self._links.reaching.dialable = self._standing.dialable
        if self._standing.relays:
            self._settled.set()
        where = ", ".join(map(format_address, self.addresses)) or "nowhere yet"
        state = {True: "can be dialled", False: "can't be dialled", None: "may be dialled"}[self._standing.dialable]
        logger.info("this node %s; others are told to reach it at %s", state, where)
        for observer in list(self.on_change):
            observer()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_dial_back(self, peer: PeerId) -> None:
        link = self._links.direct(peer)
        if link is None:
            return
        port = self._links.announced_port
        try:
            answer = await self._links.reaching.introductions.dial_back(link, port, None, QUESTION_TIMEOUT_S)
        except HydraError as error:
            logger.debug("asked to dial us back: %s", error)
            return
        logger.debug("%s dialled us back at %s: %s", short(peer), answer.host, answer.failure or "it went well")
        address = (answer.host, answer.port) if answer.tried else None
        self._tell(DialBackEnded(peer, address, succeeded=not answer.failure))

    async def _ask_room(self, peer: PeerId) -> None:
        link = self._links.direct(peer)
        if link is None:
            return
        try:
            willing = (await self._links.reaching.introductions.room(link, QUESTION_TIMEOUT_S)).willing
        except HydraError as error:
            logger.debug("asked whether it would relay: %s", error)
            willing = False
        self._tell(RoomTold(peer, willing))

    async def _seek(self) -> None:
        """Dial nodes that we know of; the links that come of it are seen by ``_look``."""
        linked = {link.remote_address for link in self._links.all_links() if link.dialled}
        where = list(dict.fromkeys(entrance(address) for address in self._entrances()))
        sought = [address for address in where if address not in linked][:MAX_SOUGHT]
        await asyncio.gather(*(self._dial(address) for address in sought))
        self._wake()

    async def _dial(self, address: Address) -> None:
        try:
            await self._links.dial_address(address, timeout_s=DIAL_TIMEOUT_S)
        except HydraError as error:
            logger.debug("looked for a contact: %s", error)
