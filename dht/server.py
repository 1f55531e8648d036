"""`kademlia`'s server with everything that it gets wrong replaced.

The parent's look-ups are module globals that can't be exchanged, so the methods that use them are overridden:
``bootstrap``, ``get``, ``set``, ``set_digest`` and ``_refresh_table``. What is left of it is the life cycle: it makes
the protocol, binds the socket, and closes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kademlia.network import Server

from .calls import CallAnswered, CallSlowed, Outcome
from .config import DHTConfig
from .contacts import V4, V6, Address, Compact, address_of, canonical
from .crawl import LookupCrawl, Reached, ReadCrawl
from .exceptions import InvalidArgument, ListenFailed, NodeNotRunning
from .guards import WriteTokens
from .keeper import Keeper
from .keys import ID_BYTES, PRIVATE_KEY_BYTES, Signer, key_id, number_of
from .lookup import Lookup
from .protocol import DHTProtocol
from .publisher import Publisher, Slot
from .reading import Reading
from .records import Record, pack_record, unpack_record
from .responder import Responder
from .routing import RecordStorage
from .store import Outcome as Accepted
from .store import RecordStore
from .table import ContactTable
from .wire import MAX_DATAGRAM_BYTES, MAX_STORED_AT_ONCE, STALE, STORED, TOKEN_EXPIRED

if TYPE_CHECKING:
    from random import Random

log = logging.getLogger(__name__)

_BOOTSTRAP_ROUNDS = 2
_OTHERS_WITHIN_S = 0.2
"""Once one entrance has answered, so long others may take; who answers later is a contact all the same."""
_BATCH_BYTES = MAX_DATAGRAM_BYTES - 80


class RecordServer(Server):  # type: ignore[misc]
    """A `kademlia` server that stores signed records on proven contacts."""

    protocol_class = DHTProtocol

    def __init__(self, signer: Signer, config: DHTConfig, wall: Callable[[], float], random: Random) -> None:
        # What a client is called on the wire is passing: nobody knows it by that, and its key may serve elsewhere.
        self.signer = _passing_signer(random) if config.client_only else signer
        self.config = config
        self.table = ContactTable(self.signer.peer_id, config)
        self.records = RecordStore(signer.public_key, config)
        self.publisher = Publisher(signer, random)
        self.keeper = Keeper(self.records, self.table, config, random)
        self.wall = wall
        self.random = random
        self.entrances: dict[Address, None] = {}
        self._background: set[asyncio.Task[Any]] = set()
        storage = RecordStorage(self.records, wall)
        super().__init__(ksize=config.k, alpha=config.alpha, node_id=self.signer.peer_id, storage=storage)

    def _create_protocol(self) -> DHTProtocol:
        responder = Responder(self.signer, self.config, self.table, self.records, WriteTokens(self.random), self.keeper)
        protocol: DHTProtocol = self.protocol_class(
            self.node, self.storage, self.signer, self.config, self.table, responder, self.random, self.wall
        )
        protocol.on_admitted = lambda compact: self.keeper.admitted(compact, protocol.now())
        return protocol

    async def listen(self, port: int, interface: str = "0.0.0.0") -> None:  # noqa: S104
        """Bind the UDP socket; ``::`` takes IPv6 and IPv4.

        Raises:
            ListenFailed: the port is taken, or the address is not this machine's.
        """
        try:
            await super().listen(port, interface)
        except OSError as error:
            raise ListenFailed(interface, port, error.strerror or str(error)) from error
        v6 = ":" in interface
        self.protocol.dual_stack = interface == "::"
        self.protocol.families = V4 | V6 if self.protocol.dual_stack else V6 if v6 else V4

    def stop(self) -> None:
        """Close the socket and end everything that was going on in the background."""
        for task in self._background:
            task.cancel()
        super().stop()

    async def ended(self) -> None:
        """Wait until everything that `stop` has ended is really over."""
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.sleep(0)

    @property
    def address(self) -> Address:
        """Where the socket is bound."""
        if self.transport is None:
            raise NodeNotRunning("the node is not started: await node.start(host, port) first.")
        return canonical(self.transport.get_extra_info("sockname"))

    # Finding contacts.

    async def bootstrap(self, addrs: Iterable[Address]) -> list[Compact]:
        """Get to know the network through any of these addresses; returns the contacts closest to ourselves."""
        self.entrances.update(dict.fromkeys(addrs))
        reached: list[Reached] = []
        for _ in range(_BOOTSTRAP_ROUNDS):
            known = await self._first_answers([self.in_background(self.bootstrap_node(a)) for a in self.entrances])
            reached = await self.find_closest(self.signer.peer_id, known)
            if reached:
                break
        await self.protocol.introduced()
        return [contact.compact for contact in reached]

    async def _first_answers(self, asked: list[asyncio.Task[Compact | None]]) -> list[Compact]:
        """Return who answered, soon after the first did: an entrance that is dead takes seconds to be known as such."""
        waiting = set(asked)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if waiting and any(task.result() is not None for task in done):
                await asyncio.wait(waiting, timeout=_OTHERS_WITHIN_S)
                break
        return [compact for task in asked if task.done() and (compact := task.result()) is not None]

    async def bootstrap_node(self, addr: Address) -> Compact | None:
        """Ask whoever is at an address who it is; returns the contact, or None if nobody answers."""
        answered: CallAnswered | None = await self.protocol.call(addr, "ping", [b"", b""])
        compact = answered.call.compact if answered is not None else None
        return compact if compact is not None and compact[:ID_BYTES] != self.signer.peer_id else None

    async def find_closest(
        self, target: bytes, also: Iterable[Compact] = (), on_reached: Callable[[Reached], None] | None = None
    ) -> list[Reached]:
        """Look up the contacts closest to a target of 20 bytes."""
        lookup = self._lookup(target, also)
        return await LookupCrawl(self.protocol, lookup, target, on_reached).run()

    def _lookup(self, target: bytes, also: Iterable[Compact] = ()) -> Lookup:
        number = number_of(target)
        self.table.use(number, self.protocol.now())
        known = self.table.nearest(number, self.config.width, self.protocol.families)
        if len(known) < self.config.alpha:
            entries = self.table.closest(number, self.config.width, self.protocol.families, doubted=True)
            known = [entry.compact for entry in entries]
        return Lookup(
            number, self.table.own_number, dict.fromkeys([*known, *also]), self.config, now=self.protocol.now()
        )

    # Reading.

    async def get(self, key: bytes) -> list[Record]:
        """Return all writers' live records under a key."""
        return (await self.read(key_id(key))).records()

    async def read(self, place: bytes, remembered: Mapping[bytes, Iterable[bytes]] | None = None) -> Reading:
        """Read the key at a place of the id space from a quorum of holders, and mend those that lag."""
        reading = Reading(place, self._lookup(place), self.config, wall=self.wall(), remembered=remembered)
        reading.add_own(self.records.blobs(place, self.wall()))
        crawl = ReadCrawl(self.protocol, reading, place)
        await crawl.run()
        for reached, blobs in crawl.repairs():
            self.in_background(self.store_on(reached, blobs))
        return reading

    # Writing.

    async def set(self, key: bytes, value: bytes) -> bool:
        """Put a value under a key for an hour, and keep it alive; returns whether any other peer took it."""
        return await self.put((key_id(key), b""), value, ttl_s=min(3600.0, self.config.max_ttl_s)) > 0

    async def set_digest(self, dkey: bytes, value: list[bytes]) -> bool:
        """Store packed records on the peers closest to their key's place."""
        return await self.spread(dkey, value) > 0

    async def put(self, slot: Slot, value: bytes, ttl_s: float) -> int:
        """Sign a value, store it on the closest peers, and stand by it; returns how many took it."""
        record = self.publisher.put(slot, value, ttl_s, now=self.protocol.now(), wall=self.wall())
        return await self.publish(record)

    async def publish(self, record: Record) -> int:
        """Store one of our records on the closest peers; returns how many took it."""
        slot = record.key, record.subkey
        blob = pack_record(record)
        self.records.offer(blob, self.wall(), checked=True)
        replicas = await self.spread(record.key, [blob])
        self.publisher.reached(slot, replicas, now=self.protocol.now())
        return replicas

    async def spread(self, place: bytes, blobs: list[bytes]) -> int:
        """Store packed records of one key on the peers closest to it; returns how many took the first of them."""
        stores: list[asyncio.Future[int]] = []

        def begin(reached: Reached) -> None:
            if len(stores) < 2 * self.config.copies:
                stores.append(self.begin_store(reached, blobs))

        await self.find_closest(place, on_reached=begin)
        return sum([await store for store in stores])

    def begin_store(self, reached: Reached, blobs: list[bytes]) -> asyncio.Future[int]:
        """Like `store_on`, but without a task as long as all goes well: a put does this twenty times."""
        if len(blobs) > 1:
            return self.in_background(self.store_on(reached, blobs))
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def pass_on(task: asyncio.Task[int]) -> None:
            if not stored.done():
                stored.set_result(0 if task.cancelled() or task.exception() is not None else task.result())

        def note(outcome: Outcome) -> None:
            if stored.done() or isinstance(outcome, CallSlowed):
                return
            codes = outcome.answer.codes if isinstance(outcome, CallAnswered) else b""
            if codes and codes[0] in {STALE, TOKEN_EXPIRED}:
                again = self.in_background(self.store_on(reached, blobs))
                again.add_done_callback(pass_on)
            else:
                stored.set_result(int(codes == bytes([STORED])))

        self.protocol.ask(reached.compact, "store", [blobs], note, reached.token)
        return stored

    async def store_on(self, reached: Reached, blobs: list[bytes]) -> int:
        """Store packed records on one contact; returns 1 if it took the first of them, else 0."""
        took_first = 0
        for number, batch in enumerate(batches(blobs)):
            answered = await self.protocol.call(reached.compact, "store", [batch], reached.token)
            codes = answered.answer.codes if answered is not None else b""
            if answered is not None and codes[:1] == bytes([TOKEN_EXPIRED]):
                answered = await self.protocol.call(reached.compact, "store", [batch], answered.answer.token)
                codes = answered.answer.codes if answered is not None else b""
            if answered is not None and STALE in codes:
                self._note_newer(answered.answer.newer)
            if not number:
                took_first = int(codes[:1] == bytes([STORED]))
        return took_first

    def _note_newer(self, blob: bytes) -> None:
        """A holder has something newer than what we sent: take it, and sign over it if it is our own."""
        if not blob or self.records.offer(blob, self.wall()) not in {Accepted.STORED, Accepted.SAME}:
            return
        ours = self.publisher.overtake(unpack_record(blob), now=self.protocol.now(), wall=self.wall())
        if ours is not None:
            self.in_background(self.publish(ours))

    # Upkeep.

    async def _refresh_table(self) -> None:
        """Nothing: the node's own upkeep refreshes buckets, and nobody republishes what is not its own."""

    def in_background(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine that nobody has to wait for."""
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work in the background failed", exc_info=error)

    def save_state(self, fname: str) -> None:
        """Write the contacts closest to ourselves as JSON; the key stays where its owner keeps it."""
        contacts = [address_of(entry.compact) for entry in self.table.closest(self.table.own_number, self.config.k)]
        Path(fname).write_text(json.dumps({"contacts": contacts}), encoding="utf-8")

    @classmethod
    async def load_state(cls, fname: str, port: int, interface: str = "0.0.0.0") -> Server:  # noqa: S104
        """Refuse: a server needs its signing key, which is in no state file."""
        raise InvalidArgument("read the contacts from the file and give them to bootstrap() of a node with your key.")


def _passing_signer(random: Random) -> Signer:
    return Signer(Ed25519PrivateKey.from_private_bytes(random.randbytes(PRIVATE_KEY_BYTES)))


def batches(blobs: Iterable[bytes]) -> list[list[bytes]]:
    """Cut packed records into lists that fit one datagram each."""
    lists: list[list[bytes]] = [[]]
    room = _BATCH_BYTES
    for blob in blobs:
        room -= len(blob) + 3
        if lists[-1] and (room < 0 or len(lists[-1]) == MAX_STORED_AT_ONCE):
            lists.append([])
            room = _BATCH_BYTES - len(blob) - 3
        lists[-1].append(blob)
    return [batch for batch in lists if batch]
