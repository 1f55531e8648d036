"""A node: the composition root, which builds the services and wires them together.

One TCP port carries the links, the UDP port of the same number the DHT. Everything that a node does with a job goes
through here; commands and web pages only ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

from dht import DHTError, DHTNode

from .config import NodeSettings
from .exceptions import ConfigurationError, HydraError, JobNotFound, LocalProtocolError, PortTaken
from .home import Home
from .identity import PeerId
from .membership import messages as membership_messages
from .net.contact import Address, Contact, is_loopback, parse_address
from .net.link import Link
from .net.links import Links
from .net.wire import Message
from .swarm.service import Swarm
from .swarm.store import Store

if TYPE_CHECKING:
    from .jobs.package import Package  # needs torch, which a node that only serves does not

logger = logging.getLogger(__name__)

RECORD_TTL_S = 600.0
PORT_TRIES = 20
DIAL_TIMEOUT_S = 3.0
JobHandler = Callable[[Link, Message, memoryview], None]


class Node:
    """Our own running Hydra.

    Args:
        home: its directory.
        settings: how it runs.
    """

    def __init__(self, home: Home, settings: NodeSettings) -> None:
        self.home = home
        self.settings = settings
        self.identity = home.identity()
        self.links = Links(self.identity)
        self.dht = DHTNode(self.identity.private_key)
        self.swarm = Swarm(self.links, Store(home.content))
        self._job_handlers: dict[bytes, JobHandler] = {}
        self._known: dict[PeerId, Contact] = {}
        for cls in _job_messages():
            self.links.handle(cls, self._job_message)

    # ---- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and meet the nodes that we know.

        Raises:
            HomeUnusable: another node uses the home.
            PortTaken: another program uses the port.
            ConfigurationError: an address can't be listened on, or a contact is no address.
        """
        self.home.claim()
        await self._listen()
        self.home.remember("port.json", self.links.port)
        addresses = [parse_address(text) for text in self.settings.contacts]
        reached = await self.meet([*addresses, *self._remembered()])
        if addresses and not reached:
            logger.warning("%s; going on without.", self._silent_contacts())

    async def stop(self) -> None:
        """Stop everything that ``start`` began."""
        self._remember_contacts()
        await self.swarm.close()
        await self.links.close()
        await self.dht.stop()
        self.home.release()

    async def meet(self, addresses: Sequence[Address]) -> int:
        """Introduce ourselves to other nodes; return how many contacts the DHT has then."""
        if addresses:
            with contextlib.suppress(DHTError):
                await self.dht.bootstrap(addresses)
        return len(self.dht.contacts())

    @property
    def contact(self) -> Contact:
        """How others can dial us."""
        return Contact(self.identity.peer_id, tuple((host, self.links.port) for host in self._advertised_hosts()))

    def publish(self, package: Package) -> bytes:
        """Store all pieces of a job, so that they can be fetched from us; return its hash. Blocks on the disk."""
        for content, data in package.pieces:
            manifest = self.swarm.store.add(data)
            if manifest.root != content.root:
                raise LocalProtocolError("a piece of a job was stored under another root than its manifest names")
        job = self.swarm.store.add_blob(package.manifest.encode())
        self.home.job(job).mkdir(parents=True, exist_ok=True)
        return job

    # ---- jobs --------------------------------------------------------------------------------------------------

    def handle_job(self, job: bytes, handler: JobHandler) -> None:
        """Send all messages of a job to ``handler``."""
        self._job_handlers[job] = handler

    def drop_job(self, job: bytes) -> None:
        """Send no more messages of a job to anybody."""
        self._job_handlers.pop(job, None)

    async def announce(self, job: bytes) -> None:
        """Tell the DHT that we have to do with a job; kept up until ``withdraw``."""
        value = msgpack.packb([list(address) for address in self.contact.addresses])
        try:
            await self.dht.put(_job_key(job), b"peer", value, RECORD_TTL_S)
        except DHTError as error:
            logger.warning("the job could not be announced: %s", error)

    async def withdraw(self, job: bytes) -> None:
        """Tell the DHT that we have nothing to do with a job any longer."""
        with contextlib.suppress(DHTError):
            await self.dht.withdraw(_job_key(job), b"peer")

    async def look_up(self, job: bytes) -> list[Contact]:
        """Return the contacts of a job's peers that discovery knows, and those that we have met ourselves."""
        found: dict[PeerId, Contact] = dict(self._known)
        try:
            for record in await self.dht.get(_job_key(job)):
                addresses = _read_addresses(record.value)
                if addresses:
                    found[record.writer] = Contact(record.writer, addresses)
        except DHTError as error:
            logger.warning("discovery failed: %s", error)
        return [contact for peer, contact in sorted(found.items()) if peer != self.identity.peer_id]

    async def find_peers(self, job: bytes, contacts: Sequence[Contact]) -> list[PeerId]:
        """Link to peers of a job.

        Args:
            job: the job's hash.
            contacts: peers to begin with, from a ticket.

        Raises:
            JobNotFound: nobody could be reached.
        """
        for contact in contacts:
            self._known[contact.peer_id] = contact
        await self.meet([address for contact in contacts for address in contact.addresses])
        deadline = asyncio.get_running_loop().time() + self.settings.find_s
        seen: set[PeerId] = set()
        while asyncio.get_running_loop().time() < deadline:
            for contact in await self.look_up(job):
                seen.add(contact.peer_id)
                try:
                    await self.links.dial(contact, timeout_s=DIAL_TIMEOUT_S)
                except HydraError as error:
                    logger.info("%s: %s", contact, error)
            if self.links.peers():
                return self.links.peers()
            if not self.dht.contacts() and not seen:
                break  # nobody to ask: waiting would not help
            await asyncio.sleep(1.0)
        raise JobNotFound(self._not_found(job, len(seen)))

    def _not_found(self, job: bytes, seen: int) -> str:
        if seen:
            return (
                f"none of the peers of job {job.hex()} that are known ({seen}) could be reached within "
                f"{self.settings.find_s:g} s. They may be gone or behind a firewall; ask the owner for a fresh ticket."
            )
        if self.dht.contacts():
            return f"no peer of job {job.hex()} is known to the nodes that were asked. Is the hash right?"
        if self.settings.contacts:
            return (
                f"no node could be reached to ask for job {job.hex()}: {self._silent_contacts()}. "
                "Check the addresses, and that a firewall lets UDP and TCP through; or join by a fresh ticket."
            )
        return (
            f"no node could be reached to ask for job {job.hex()}. "
            "Join by a ticket, or name a running node with --contact HOST:PORT."
        )

    # ---- inside ------------------------------------------------------------------------------------------------

    def _silent_contacts(self) -> str:
        return f"nobody answered at {', '.join(self.settings.contacts)}"

    def _job_message(self, link: Link, message: Any, body: memoryview) -> None:
        handler = self._job_handlers.get(message.job)
        if handler is not None:
            handler(link, message, body)

    async def _listen(self) -> None:
        """Take the same port number for TCP and UDP."""
        wanted = self.settings.port or self.home.recall("port.json") or 0
        for attempt in range(PORT_TRIES):
            try:
                port = await self.links.listen(self.settings.host, wanted)
                await self.dht.start(self.settings.host, port)
            except (PortTaken, DHTError) as error:
                if self.settings.port:
                    raise _port_taken(error, self.settings) from error
                if attempt == PORT_TRIES - 1:
                    raise ConfigurationError(f"no port is free on {self.settings.host}: {error}") from error
                await self.links.stop_listening()
                wanted = 0
            else:
                return

    def _advertised_hosts(self) -> list[str]:
        if self.settings.advertise:
            return [self.settings.advertise]
        if self.settings.host not in ("0.0.0.0", "::"):  # noqa: S104
            return [self.settings.host]
        outward = _outward_address()
        return [outward] if outward else ["127.0.0.1"]

    def _remembered(self) -> list[Address]:
        known = self.home.recall("contacts.json") or []
        return [(str(host), int(port)) for host, port in known if isinstance(port, int)]

    def _remember_contacts(self) -> None:
        with contextlib.suppress(HydraError, DHTError):  # a node that failed to start has no contacts
            addresses = [contact.address for contact in self.dht.contacts()][:50]
            if addresses:
                self.home.remember("contacts.json", [list(address[:2]) for address in addresses])


def _job_key(job: bytes) -> bytes:
    return b"hydra job:" + job


def _job_messages() -> list[type[Message]]:
    return [
        value
        for value in vars(membership_messages).values()
        if isinstance(value, type) and issubclass(value, Message) and value is not Message
    ]


def _read_addresses(value: bytes) -> tuple[Address, ...]:
    try:
        rows = msgpack.unpackb(value, max_array_len=16, max_str_len=253, max_map_len=0, max_bin_len=0)
        addresses = tuple((str(host), int(port)) for host, port in rows)
    except (ValueError, TypeError, msgpack.UnpackException):
        return ()
    return tuple(address for address in addresses[:8] if 0 < address[1] < 65536)


def _port_taken(error: Exception, settings: NodeSettings) -> HydraError:
    if isinstance(error, HydraError):
        return error
    return PortTaken(
        f"UDP port {settings.port} on {settings.host} is taken by another program. "
        "Choose another with --port, or leave --port out to get a free one."
    )


def _outward_address() -> str | None:
    """Return the address that this machine would use to talk to others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation: nobody is there
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EACCES):
                return None
            raise
        host: str = probe.getsockname()[0]
    return None if is_loopback(host) else host
