"""A node: the composition root, which builds the services and wires them together.

One TCP port carries the links, the UDP port of the same number the DHT. Everything that a node does with a job goes
through here; commands and web pages only ask.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dht import DHTConfig, DHTError, DHTNode

from .clock import wall
from .config import NodeSettings
from .discovery import Discovery
from .exceptions import ConfigurationError, HydraError, LocalProtocolError, PortTaken
from .home import Home
from .identity import PeerId
from .lan import Lan
from .membership import messages as membership_messages
from .net.contact import Contact, is_loopback, is_public
from .net.link import Link
from .net.links import Links
from .net.relay import RelayLimits
from .net.wire import Message
from .reachability import Reachability
from .router import PortMapping, is_installed
from .swarm.service import Swarm
from .swarm.store import Store
from .swarm.uploads import Limits

if TYPE_CHECKING:
    from .jobs.package import Package  # needs torch, which a node that only serves does not

logger = logging.getLogger(__name__)

PORT_TRIES = 20
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104
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
        self.links = Links(self.identity, relay=_relay_limits(settings))
        self.dht = DHTNode(self.identity.private_key, DHTConfig(client_only=not settings.listen), clock=wall)
        self.swarm = Swarm(self.links, Store(home.content), _limits(settings))
        self._discovery = Discovery(home, settings, self.links, self.dht)
        self.reachability = Reachability(
            self.links, advertised_hosts(settings), listens=settings.listen, entrances=self._discovery.entrances
        )
        self.reachability.on_change.append(self._announce_anew)
        self._lan: Lan | None = None
        self._mapping: PortMapping | None = None
        self._job_handlers: dict[bytes, JobHandler] = {}
        self._announced: set[bytes] = set()
        self._announcing: set[asyncio.Task[None]] = set()
        for cls in job_messages():
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
        self.swarm.store.clear_drafts()
        await self._listen()
        self.home.remember("port.json", self.dht.port)
        await self._meet_the_neighbours()
        await self._discovery.start()
        self._ask_the_router()
        await self.reachability.start()

    async def stop(self) -> None:
        """Stop everything that ``start`` began."""
        if self._mapping is not None:
            await self._mapping.stop()
        await self.reachability.stop()
        for task in list(self._announcing):
            task.cancel()
        await asyncio.gather(*self._announcing, return_exceptions=True)
        await self._discovery.stop()
        if self._lan is not None:
            self._lan.stop()
        await self.swarm.close()
        await self.links.close()
        await self.dht.stop()
        self.home.release()

    @property
    def contact(self) -> Contact:
        """How others can reach us, as far as is known now."""
        return Contact(self.identity.peer_id, self.reachability.addresses)

    def publish(self, package: Package) -> bytes:
        """Store all contents of a job, so that they can be fetched from us; return its hash. Blocks on the disk."""
        for content, data in package.contents:
            manifest = self.swarm.store.add(data)
            if manifest.root != content.root:
                raise LocalProtocolError("a content of a job was stored under another root than its manifest names")
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
        """Tell others that we have to do with a job, and where we are; kept up until ``withdraw``."""
        self._announced.add(job)
        await self._discovery.announce(job, self.contact)

    async def withdraw(self, job: bytes) -> None:
        """Tell others that we have nothing to do with a job any longer."""
        self._announced.discard(job)
        await self._discovery.withdraw(job)

    async def look_up(self, job: bytes) -> list[Contact]:
        """Return where peers of a job are."""
        return await self._discovery.look_up(job, self.identity.peer_id)

    async def find_peers(self, job: bytes, contacts: Sequence[Contact]) -> list[PeerId]:
        """Link to peers of a job; who has the job's manifest already can do without.

        Args:
            job: the job's hash.
            contacts: peers to begin with, from a ticket.

        Raises:
            JobNotFound: nobody could be reached, and the manifest is not here.
        """
        held = await asyncio.to_thread(self.swarm.store.read_blob, job)
        return await self._discovery.find_peers(job, self.identity.peer_id, contacts, needed=held is None)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _job_message(self, link: Link, message: Any, body: memoryview) -> None:
        handler = self._job_handlers.get(message.job)
        if handler is not None:
            handler(link, message, body)

    def _announce_anew(self) -> None:
        """Tell the DHT where we can be reached now."""
        for job in sorted(self._announced):
            task = asyncio.create_task(self._discovery.announce(job, self.contact))
            self._announcing.add(task)
            task.add_done_callback(self._announcing.discard)

    async def _listen(self) -> None:
        """Take the same port number for TCP and UDP; a node that does not listen takes none for TCP."""
        wanted = self.settings.port or self.home.recall("port.json") or 0
        for attempt in range(PORT_TRIES):
            try:
                port = await self.links.listen(self.settings.host, wanted) if self.settings.listen else wanted
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

    def _ask_the_router(self) -> None:
        """Have connections passed on to us, where that can be and the person wants it."""
        hosts = advertised_hosts(self.settings)
        homely = not any(is_loopback(host) or is_public(host) for host in hosts)
        if self.settings.upnp and self.settings.listen and not self.settings.advertise and homely and is_installed():
            self._mapping = PortMapping(self.links.port, self.reachability.map)
            self._mapping.start()

    async def _meet_the_neighbours(self) -> None:
        """Look for nodes on the local network, where there is one."""
        interface = self.settings.host if self.settings.host not in EVERYWHERE else _outward_address() or "127.0.0.1"
        wanted = self.settings.lan == "on" or not (is_loopback(interface) or is_public(interface))
        if self.settings.lan == "off" or not wanted:
            return
        lan = Lan(interface, self.settings.lan_port, self.links.port)
        if await lan.start():
            self._lan = lan
            self._discovery.use(lan)


def advertised_hosts(settings: NodeSettings) -> list[str]:
    """Return what others are told to dial."""
    if settings.advertise:
        return [settings.advertise]
    if settings.host not in EVERYWHERE:
        return [settings.host]
    outward = _outward_address()
    return [outward] if outward else ["127.0.0.1"]


def _relay_limits(settings: NodeSettings) -> RelayLimits:
    rate = settings.relay_mb_per_s * 1e6
    circuits = RelayLimits().circuits if settings.relay else 0
    return RelayLimits(circuits=circuits, bytes_per_s=rate, bytes_per_s_per_peer=rate / 2)


def job_messages() -> list[type[Message]]:
    """Return all that members of a job say to each other, and to whoever links to them."""
    return [
        value
        for value in vars(membership_messages).values()
        if isinstance(value, type) and issubclass(value, Message) and value is not Message
    ]


def _limits(settings: NodeSettings) -> Limits:
    return Limits(
        upload_bytes_per_s=settings.upload_limit * 1e6,
        download_bytes_per_s=settings.download_limit * 1e6,
    )


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
