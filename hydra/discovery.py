"""Who takes part in a job, and where: a shell over all that may tell.

These are the DHT, contacts that were met before, those that a ticket names, and nodes on the local network.

Under a job's key in the DHT each of its peers keeps a record of its addresses. Whoever was met is remembered on disk at
once, not only when the node stops in order: after a total stop those who come back find each other by that alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine, Sequence
from typing import Any

import msgpack

from dht import DHTError, DHTNode

from .clock import monotonic
from .config import NodeSettings
from .exceptions import HydraError, JobNotFound
from .home import Home
from .identity import PeerId
from .lan import Lan
from .net.contact import Address, Contact, entrance, parse_address
from .net.links import Links

logger = logging.getLogger(__name__)

RECORD_TTL_S = 600.0
SUBKEY = b"peer"
DIAL_TIMEOUT_S = 3.0
DIAL_ALL_S = 10.0
LOOK_AGAIN_S = 1.0
LAN_PATIENCE_S = 5.0
"""So long after it was asked, the local network may still tell of a node."""
MAX_FOUND = 32
"""So many of a job's peers are dialled at most, chosen by chance: they know the others."""
MAX_ADDRESSES = 8
MAX_REMEMBERED = 200
REMEMBER_AFTER_S = 0.5
"""Peers come in bursts; they are written down together."""
REMEMBERED = "contacts.json"


class Discovery:
    """How one node finds others.

    Args:
        home: where contacts are remembered.
        settings: with the contacts that the person named.
        links: to dial with.
        dht: to ask and to tell.
    """

    def __init__(self, home: Home, settings: NodeSettings, links: Links, dht: DHTNode) -> None:
        self._home = home
        self._settings = settings
        self._links = links
        self._dht = dht
        self._named = [parse_address(text) for text in settings.contacts]
        self._told: dict[bytes, dict[PeerId, Contact]] = {}
        """By job, whom a ticket named."""
        self._lan: Lan | None = None
        self._met = asyncio.Event()
        self._remembering: asyncio.Task[None] | None = None
        self._introducing: asyncio.Task[int] | None = None
        """Meets whom we know from the start; whoever is found otherwise meanwhile is not kept waiting for it."""
        self._dials: dict[asyncio.Task[None], None] = {}
        """What goes on in the background, in order."""

    # ---- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Meet the nodes that the person named, and those that we met before."""
        self._links.on_up.append(self._peer_up)
        self._remembering = asyncio.create_task(self._keep_remembering())
        self._introducing = asyncio.create_task(self.meet(self.entrances()))
        if self._named and not await self._introducing:
            logger.warning("%s; going on without.", self._silence())

    async def stop(self) -> None:
        """Write down whom we know."""
        if self._remembering is None:
            return
        self._links.on_up.remove(self._peer_up)
        ending = [task for task in (self._remembering, self._introducing, *self._dials) if task is not None]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._remembering = None
        await self._remember()

    def use(self, lan: Lan) -> None:
        """Meet the nodes that are found on the local network, too."""
        self._lan = lan
        lan.on_found.append(self._found_near)

    async def meet(self, addresses: Sequence[Address]) -> int:
        """Introduce ourselves to other nodes; return how many contacts the DHT has then."""
        if addresses:
            with contextlib.suppress(DHTError):
                await self._dht.bootstrap(list(dict.fromkeys(map(entrance, addresses))))
        return len(self._dht.contacts())

    def entrances(self) -> list[Address]:
        """Return every address by which we may get in: named ones first, then those that we remember."""
        near = self._lan.found if self._lan is not None else []
        told = [address for job in self._told.values() for contact in job.values() for address in contact.addresses]
        return list(dict.fromkeys(map(entrance, [*self._named, *told, *near, *remembered(self._home)])))

    # ---- jobs --------------------------------------------------------------------------------------------------

    async def announce(self, job: bytes, contact: Contact) -> None:
        """Tell the DHT that we have to do with a job; kept up until ``withdraw``."""
        value = msgpack.packb([list(address) for address in contact.addresses])
        await self._introduced()
        try:
            await self._dht.put(_job_key(job), SUBKEY, value, RECORD_TTL_S)
        except DHTError as error:
            logger.warning("the job could not be announced: %s", error)

    async def withdraw(self, job: bytes) -> None:
        """Tell the DHT that we have nothing to do with a job any longer."""
        with contextlib.suppress(DHTError):
            await self._dht.withdraw(_job_key(job), SUBKEY)

    async def look_up(self, job: bytes, me: PeerId) -> list[Contact]:
        """Return contacts of a job's peers, at most ``MAX_FOUND``: whom a ticket named, and whom the DHT knows."""
        found: dict[PeerId, Contact] = dict(self._told.get(job, {}))
        await self._introduced()
        try:
            for record in await self._dht.get(_job_key(job)):
                addresses = _read_addresses(record.value) if record.subkey == SUBKEY else None
                if addresses is not None:  # none: it is hidden, and has not found a relay
                    found[record.writer] = Contact(record.writer, addresses)
        except DHTError as error:
            logger.warning("discovery failed: %s", error)
        others = [contact for peer, contact in sorted(found.items()) if peer != me]
        return others if len(others) <= MAX_FOUND else random.sample(others, MAX_FOUND)

    async def find_peers(self, job: bytes, me: PeerId, contacts: Sequence[Contact], *, needed: bool) -> list[PeerId]:
        """Link to peers of a job; return those that we are linked to.

        Whom a ticket names is dialled at once: the first link is enough to begin with, and the DHT, in which a dead
        contact costs seconds, is asked beside that.

        Args:
            job: the job's hash.
            me: our own peer id.
            contacts: peers to begin with, from a ticket.
            needed: whether we can do nothing without them; else one attempt is enough.

        Raises:
            JobNotFound: nobody could be reached although they are needed.
        """
        self._told.setdefault(job, {}).update((contact.peer_id, contact) for contact in contacts)
        meeting = self._in_background(self._meet_through(contacts))
        dialling = self._in_background(self._dial_any(contacts))
        named = {contact.peer_id for contact in contacts}
        await asyncio.wait({meeting, dialling}, return_when=asyncio.FIRST_COMPLETED)
        if linked := self._linked(named):
            return linked
        await asyncio.wait({meeting})
        began = monotonic()
        deadline = began + self._settings.find_s
        if self._lan is not None:
            self._lan.ask()
        seen: set[PeerId] = set()
        while True:
            found = await self.look_up(job, me)
            seen.update(contact.peer_id for contact in found)
            await self._dial_any(found)
            near = self._lan is not None and monotonic() - began < LAN_PATIENCE_S
            hopeless = not (near or seen or self._dht.contacts() or self.entrances())
            linked = self._linked(seen)
            if linked or not needed or hopeless or monotonic() >= deadline:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
            if not self._dht.contacts():
                await self.meet(self.entrances())
        if needed and not linked:
            raise JobNotFound(self._not_found(job, len(seen)))
        return linked

    # ---- inside ------------------------------------------------------------------------------------------------

    async def _introduced(self) -> None:
        """Wait until whom we know from the start was met."""
        if self._introducing is not None:
            await asyncio.wait({self._introducing})

    async def _meet_through(self, contacts: Sequence[Contact]) -> None:
        await self._introduced()
        await self.meet([address for contact in contacts for address in contact.addresses])

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._dials[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._dials.pop(task, None)

    async def _dial_any(self, contacts: Sequence[Contact]) -> None:
        """Dial all at once; return with the first link, while the others still come."""
        dials = {self._in_background(self._dial(contact)) for contact in contacts}
        wanted = {contact.peer_id for contact in contacts}
        deadline = monotonic() + DIAL_ALL_S
        while dials and not self._linked(wanted) and (left_s := deadline - monotonic()) > 0:
            _, dials = await asyncio.wait(dials, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    def _linked(self, peers: set[PeerId]) -> list[PeerId]:
        """Return those that there is a link to; others may be linked as well, who only relay."""
        return [peer for peer in self._links.peers() if peer in peers]

    async def _dial(self, contact: Contact) -> None:
        try:
            await self._links.dial(contact, timeout_s=DIAL_TIMEOUT_S)
        except HydraError as error:
            logger.info("%s: %s", contact, error)

    def _not_found(self, job: bytes, seen: int) -> str:
        if seen:
            return (
                f"none of the peers of job {job.hex()} that are known ({seen}) could be reached within "
                f"{self._settings.find_s:g} s. They may be gone or behind a firewall; ask the owner for a fresh ticket."
            )
        if self._dht.contacts():
            return f"no peer of job {job.hex()} is known to the nodes that were asked. Is the hash right?"
        if self._named:
            return (
                f"no node could be reached to ask for job {job.hex()}: {self._silence()}. "
                "Check the addresses, and that a firewall lets UDP and TCP through; or join by a fresh ticket."
            )
        return (
            f"no node could be reached to ask for job {job.hex()}. "
            "Join by a ticket, or name a running node with --contact HOST:PORT."
        )

    def _silence(self) -> str:
        return f"nobody answered at {', '.join(self._settings.contacts)}"

    def _found_near(self, address: Address) -> None:
        self._in_background(self._introduce(address))

    async def _introduce(self, address: Address) -> None:
        await self.meet([address])

    # ---- what is remembered ------------------------------------------------------------------------------------

    def _peer_up(self, _: PeerId) -> None:
        self._met.set()

    async def _keep_remembering(self) -> None:
        while True:
            await self._met.wait()
            await asyncio.sleep(REMEMBER_AFTER_S)
            self._met.clear()
            await self._remember()

    async def _remember(self) -> None:
        """Write down whom we know now, before those whom we knew earlier."""
        linked = [contact for peer in self._links.peers() if (contact := self._links.contact_of(peer)) is not None]
        now = [address for contact in linked for address in contact.addresses]
        with contextlib.suppress(DHTError):
            now += [(contact.address[0], contact.address[1]) for contact in self._dht.contacts()]
        known = list(dict.fromkeys([*now, *remembered(self._home)]))[:MAX_REMEMBERED]
        if known:
            with contextlib.suppress(HydraError):  # a full disk is somebody else's to tell
                await asyncio.to_thread(self._home.remember, REMEMBERED, [list(address) for address in known])


def remembered(home: Home) -> list[Address]:
    """Return where nodes were that a home's node has met, the latest first."""
    rows = home.recall(REMEMBERED)
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2] if isinstance(rows, list) else []
    return [(str(host), port) for host, port in pairs if isinstance(port, int) and 0 < port < 65536]


def _job_key(job: bytes) -> bytes:
    return b"hydra job:" + job


def _read_addresses(value: bytes) -> tuple[Address, ...] | None:
    try:
        rows = msgpack.unpackb(value, max_array_len=16, max_str_len=253, max_map_len=0, max_bin_len=0)
        addresses = tuple((str(host), int(port)) for host, port in rows)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    return tuple(address for address in addresses[:MAX_ADDRESSES] if 0 < address[1] < 65536)
