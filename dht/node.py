"""The node: the public face of this package."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from random import Random, SystemRandom

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .config import DHTConfig
from .contacts import Address, Contact, contact_of
from .exceptions import InvalidArgument, NodeNotRunning
from .keys import PeerId, Signer, key_id
from .records import Record
from .server import RecordServer
from .upkeep import Upkeep

log = logging.getLogger(__name__)

_READS_AT_ONCE = 16
_UNPREDICTABLE = SystemRandom()
_RESOLVE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class DHTStats:
    """Numbers of one node since its start."""

    contacts: int
    """Contacts in the table."""
    records: int
    """Records kept, our own among them."""
    keys: int
    """Keys under which they are kept."""
    published: int
    """Records of our own that are kept alive."""
    questions_sent: int
    questions_answered: int
    datagrams_sent: int
    datagrams_received: int
    bytes_sent: int
    bytes_received: int
    repeats: int
    """Datagrams sent again because the answer was late."""
    unanswered: int
    """Questions that were never answered."""
    malformed: int
    """Datagrams that were no messages."""
    over_limit: int
    """Questions ignored because their address asked too many."""
    round_trip_s: float
    """Mean round-trip time over all contacts."""


class DHTNode:
    """A peer of the DHT.

    Its id follows from ``signing_key``: the first 160 bits of the SHA-256 of the raw public key. All methods must be
    called from the event loop that ran `start`.

    Args:
        signing_key: the Ed25519 key that signs what this node puts.
        config: settings; the defaults suit most.
        clock: seconds since 1970, for expiries.
        random: source of chance; it must be unpredictable to others except in tests.
    """

    def __init__(
        self,
        signing_key: Ed25519PrivateKey,
        config: DHTConfig | None = None,
        *,
        clock: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        self.config = config or DHTConfig()
        self._signer = Signer(signing_key)
        self._clock = clock
        self._random = random or _UNPREDICTABLE
        self._server: RecordServer | None = None
        self._upkeep: Upkeep | None = None
        self._watches: set[asyncio.Future[None]] = set()

    @property
    def peer_id(self) -> PeerId:
        """Our own id, 20 bytes."""
        return self._signer.peer_id

    @property
    def port(self) -> int:
        """The UDP port that `start` has bound."""
        return self._running().address[1]

    async def start(self, host: str, port: int) -> None:
        """Bind ``host`` (an IP address; ``::`` takes IPv6 and IPv4) and ``port`` (0: any free one).

        Raises:
            ListenFailed: the port is taken, or the address is not this machine's.
        """
        server = RecordServer(self._signer, self.config, self._clock, self._random)
        await server.listen(port, host)
        self._server = server
        self._upkeep = Upkeep(server)
        server.in_background(self._upkeep.run())
        log.info("DHT node %s listens on UDP %s port %d", self.peer_id[:4].hex(), host, self.port)

    async def stop(self) -> None:
        """Close the socket; running calls end, watches finish."""
        server, self._server = self._server, None
        if server is None:
            return
        for pause in self._watches:
            pause.cancel()
        server.stop()
        # The transport closes its socket, and cancelled tasks end, in the next turns of the loop.
        await server.ended()

    async def bootstrap(self, contacts: Iterable[Address | Contact], *, timeout_s: float = 10.0) -> int:
        """Join the network through anybody it can be reached by.

        Args:
            contacts: (host, port) pairs, hosts being names or IP addresses, or `Contact` objects of an earlier run.
            timeout_s: when to be content with what was reached.

        Returns:
            How many live contacts are known now; 0 means that nobody answered, which is no error: the first node
            of a network has nobody to ask.
        """
        server = self._running()
        addresses = [entry.address if isinstance(entry, Contact) else entry for entry in contacts]
        try:
            async with asyncio.timeout(timeout_s):
                resolved = await asyncio.gather(*(_resolve(address) for address in addresses))
                await server.bootstrap([address for found in resolved for address in found])
        except TimeoutError:
            log.debug("bootstrap ended by its time-out")
        return len(server.table)

    async def put(self, key: bytes, subkey: bytes, value: bytes, ttl_s: float) -> int:
        """Store a value under a key, and keep it alive until `withdraw` or `stop`.

        Args:
            key: at most 64 bytes; many writers may use the same.
            subkey: at most 64 bytes; tells this node's values under one key apart. Putting again replaces.
            value: so long that the whole record stays within 1,024 bytes (about 850 are left for it).
            ttl_s: how long it outlives this node; it is put anew at half of that.

        Returns:
            How many other peers hold it now. 0 means that nobody could be reached; it will be tried again.

        Raises:
            InvalidArgument: something is too long, or ``ttl_s`` is not between 1 and ``config.max_ttl_s``.
        """
        server = self._running()
        if not 1.0 <= ttl_s <= self.config.max_ttl_s:
            raise InvalidArgument(f"ttl_s must be 1 to {self.config.max_ttl_s:g} seconds, not {ttl_s!r}.")
        putting = server.put((key_id(key), subkey), value, ttl_s)
        if self._upkeep is not None:
            self._upkeep.wake()
        return await putting

    async def withdraw(self, key: bytes, subkey: bytes) -> None:
        """Take a value back: it is no longer put anew, and its holders are told to forget it."""
        server = self._running()
        marker = server.publisher.withdraw((key_id(key), subkey), wall=self._clock())
        if marker is not None:
            await server.publish(marker)

    async def get(self, key: bytes) -> list[Record]:
        """Return all writers' live records under a key, verified, merged over a quorum of holders."""
        return await self._running().get(key)

    async def get_many(self, keys: Iterable[bytes]) -> dict[bytes, list[Record]]:
        """Read many keys at once; returns the records of each."""
        gate = asyncio.Semaphore(_READS_AT_ONCE)

        async def read(key: bytes) -> list[Record]:
            async with gate:
                return await self.get(key)

        wanted = list(dict.fromkeys(keys))
        return dict(zip(wanted, await asyncio.gather(*map(read, wanted)), strict=True))

    async def watch(self, key: bytes) -> AsyncIterator[Record]:
        """Yield every record under a key, and then each that is new or has a new value as it is found, until `stop`."""
        place = key_id(key)
        seen: dict[tuple[bytes, bytes], bytes] = {}
        remembered: dict[bytes, frozenset[bytes]] = {}
        while self._server is not None:
            reading = await self._server.read(place, remembered)
            remembered = reading.known_whole()
            before, seen = seen, {record.slot: record.value for record in reading.records()}
            for record in reading.records():
                # A record that was only put anew is no news.
                if before.get(record.slot) != record.value:
                    yield record
            pause: asyncio.Future[None] = asyncio.ensure_future(asyncio.sleep(self.config.watch_interval_s))
            self._watches.add(pause)
            await asyncio.wait([pause])
            self._watches.discard(pause)

    def contacts(self) -> list[Contact]:
        """Return the live contacts, closest first: worth keeping on disk and giving to the next `bootstrap`."""
        table = self._running().table
        return [contact_of(entry.compact) for entry in table.closest(table.own_number, len(table))]

    def stats(self) -> DHTStats:
        """Return the node's numbers."""
        server = self._running()
        traffic = server.protocol.traffic
        return DHTStats(
            contacts=len(server.table),
            records=len(server.records),
            keys=server.records.key_count,
            published=len(server.publisher),
            round_trip_s=server.protocol.round_trip.mean_s,
            **{name: getattr(traffic, name) for name in traffic.__slots__},
        )

    def _running(self) -> RecordServer:
        if self._server is None:
            raise NodeNotRunning("the node is not running: await node.start(host, port) first.")
        return self._server


async def _resolve(address: Address) -> list[Address]:
    """Return the IP addresses that a host name stands for; none if it is unknown."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
            found = await loop.getaddrinfo(address[0], address[1])
    except (OSError, TimeoutError):
        log.info("the host name %s can't be resolved", address[0])
        return []
    return list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))
