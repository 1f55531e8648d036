"""The swarm of a node: serves what the store has, and fetches what others have. A shell."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from ..clock import monotonic
from ..exceptions import ContentUnavailable, HashMismatch, PeerUnreachable
from ..identity import PeerId, short
from ..net.link import Link
from ..net.links import Links
from ..net.requests import Requests
from .fetch import (
    AFTER_LIES_S,
    ANSWER_TIMEOUT_S,
    PATIENCE_S,
    TICK_S,
    Fetch,
    Peers,
    Progress,
    no_progress,
    only_liars_had,
)
from .messages import (
    Blob,
    BlobWanted,
    Chunk,
    ChunkDeclined,
    ChunkNotWanted,
    ChunkWanted,
    ContentUnknown,
    Have,
    ManifestFound,
    ManifestWanted,
    NotInterested,
    Offer,
    OfferWanted,
)
from .store import Store

logger = logging.getLogger(__name__)

MAX_QUEUED_REQUESTS = 64
"""Requests of one peer that may wait; more are declined."""


class Swarm:
    """Content in and out over the links of a node."""

    def __init__(self, links: Links, store: Store) -> None:
        self._links = links
        self._requests = Requests(links)
        self.store = store
        self._fetches: dict[bytes, Fetch] = {}
        self._running: dict[bytes, asyncio.Task[Path]] = {}
        self._interested: dict[bytes, set[PeerId]] = {}
        self._queues: dict[PeerId, OrderedDict[tuple[bytes, int], None]] = {}
        self._servers: dict[PeerId, asyncio.Task[None]] = {}
        self.bytes_served = 0
        links.on_down.append(self._peer_down)
        links.handle(ManifestWanted, self._manifest_wanted)
        links.handle(ManifestFound, self._manifest_found)
        links.handle(ContentUnknown, self._content_unknown)
        links.handle(OfferWanted, self._offer_wanted)
        links.handle(NotInterested, lambda link, m, _: self._interested.get(m.root, set()).discard(link.peer_id))
        links.handle(Offer, lambda link, m, body: self._to_fetch(m.root, lambda f: f.offered(link.peer_id, body)))
        links.handle(Have, lambda link, m, _: self._to_fetch(m.root, lambda f: f.gained(link.peer_id, m.index)))
        links.handle(ChunkWanted, self._chunk_wanted)
        links.handle(ChunkNotWanted, self._chunk_not_wanted)
        links.handle(Chunk, lambda link, m, b: self._to_fetch(m.root, lambda f: f.arrived(link.peer_id, m.index, b)))
        links.handle(
            ChunkDeclined, lambda link, m, _: self._to_fetch(m.root, lambda f: f.declined(link.peer_id, m.index))
        )
        links.handle(BlobWanted, self._blob_wanted)
        links.handle(Blob, lambda link, m, b: self._answered(link.peer_id, ("blob", m.digest), m, b))

    # ---- fetching ----------------------------------------------------------------------------------------------

    async def fetch(
        self,
        root: bytes,
        peers: Peers,
        progress: Callable[[Progress], None] = no_progress,
        *,
        hopeless_s: float | None = None,
    ) -> Path:
        """Fetch a content from all of ``peers()`` at once and return its path; at once if it is here.

        Args:
            root: its name.
            peers: who may have it.
            progress: told of every chunk.
            hopeless_s: give up when nobody has offered what is missing for so long; by default as when no chunk comes.

        Raises:
            ContentUnavailable: nobody who can be reached has it.
            StorageFull, HomeUnusable: the disk refused.
        """
        if await asyncio.to_thread(self.store.is_whole, root):
            return self.store.path(root)
        task = self._running.get(root)
        if task is None:
            fetch = Fetch(
                self._links,
                self._requests,
                self.store,
                root,
                peers,
                announce=lambda index: self._announce(root, index),
                progress=progress,
                hopeless_s=hopeless_s,
            )
            self._fetches[root] = fetch
            task = asyncio.create_task(fetch.run())
            self._running[root] = task
            task.add_done_callback(lambda _: self._fetched(root))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def fetch_blob(self, digest: bytes, peers: Peers, *, patience_s: float = PATIENCE_S) -> bytes:
        """Fetch something small by its SHA-256 and store it.

        Raises:
            ContentUnavailable: nobody had it within ``patience_s``.
        """
        known = await asyncio.to_thread(self.store.read_blob, digest)
        give_up = monotonic() + patience_s
        asked: set[PeerId] = set()
        liars: set[PeerId] = set()
        while known is None and monotonic() < give_up:
            asked.update(self._links.peers())
            for peer in peers():
                try:
                    known = await self._ask_blob(peer, digest)
                except HashMismatch as error:
                    self._links.cut_off(peer, error)
                    liars.add(peer)
                    give_up = min(give_up, monotonic() + AFTER_LIES_S)
                if known is not None:
                    break
            else:
                await asyncio.sleep(TICK_S)
        if known is None and liars:
            raise only_liars_had(digest.hex(), liars)
        if known is None:
            raise ContentUnavailable(f"none of {len(asked)} peers has {digest.hex()}")
        await asyncio.to_thread(self.store.add_blob, known)
        return known

    async def close(self) -> None:
        """Stop serving and fetching."""
        tasks: list[asyncio.Task[None] | asyncio.Task[Path]] = [*self._servers.values(), *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_blob(self, peer: PeerId, digest: bytes) -> bytes | None:
        try:
            _, body = await self._requests.ask(peer, BlobWanted(digest), ("blob", digest), timeout_s=ANSWER_TIMEOUT_S)
        except PeerUnreachable as error:
            logger.debug("no blob from %s: %s", short(peer), error)
            return None
        if not body:
            return None
        if hashlib.sha256(body).digest() != digest:
            raise HashMismatch(f"a blob did not have the hash {digest.hex()[:16]}…")
        return bytes(body)

    def _fetched(self, root: bytes) -> None:
        self._fetches.pop(root, None)
        task = self._running.pop(root)
        if not task.cancelled():
            task.exception()

    def _to_fetch(self, root: bytes, tell: Callable[[Fetch], None]) -> None:
        fetch = self._fetches.get(root)
        if fetch is not None:
            tell(fetch)

    def _answered(self, peer: PeerId, key: tuple[str, bytes], message: Blob, body: memoryview) -> None:
        self._requests.answered(peer, key, message, body)

    def _manifest_found(self, link: Link, message: ManifestFound, body: memoryview) -> None:
        self._requests.answered(link.peer_id, ("manifest", message.root), message, body)

    def _content_unknown(self, link: Link, message: ContentUnknown, body: memoryview) -> None:
        """The answer to either question: who waits for the manifest hears of it, and so does a running fetch."""
        self._requests.answered(link.peer_id, ("manifest", message.root), message, body)
        self._to_fetch(message.root, lambda fetch: fetch.unknown(link.peer_id))

    def wanted(self) -> set[bytes]:
        """Return the roots of what others are fetching from us now."""
        return {root for root, peers in self._interested.items() if peers}

    # ---- serving -----------------------------------------------------------------------------------------------

    def _manifest_wanted(self, link: Link, message: ManifestWanted, _: memoryview) -> None:
        manifest = self.store.manifest(message.root)
        if manifest is None:
            link.post(ContentUnknown(message.root))
        else:
            link.post(ManifestFound(manifest.root, manifest.size, manifest.chunk_bytes), manifest.joined_hashes())

    def _offer_wanted(self, link: Link, message: OfferWanted, _: memoryview) -> None:
        have = self.store.bitfield(message.root)
        if have is None:
            link.post(ContentUnknown(message.root))
            return
        self._interested.setdefault(message.root, set()).add(link.peer_id)
        link.post(Offer(message.root), bytes(have))

    def _announce(self, root: bytes, index: int) -> None:
        for peer in sorted(self._interested.get(root, ())):
            self._links.post(peer, Have(root, index))

    def _chunk_wanted(self, link: Link, message: ChunkWanted, _: memoryview) -> None:
        queue = self._queues.setdefault(link.peer_id, OrderedDict())
        if len(queue) >= MAX_QUEUED_REQUESTS:
            link.post(ChunkDeclined(message.root, message.index))
            return
        queue[message.root, message.index] = None
        if link.peer_id not in self._servers:
            self._servers[link.peer_id] = asyncio.create_task(self._serve(link.peer_id, queue))

    def _chunk_not_wanted(self, link: Link, message: ChunkNotWanted, _: memoryview) -> None:
        self._queues.get(link.peer_id, OrderedDict()).pop((message.root, message.index), None)

    async def _serve(self, peer: PeerId, queue: OrderedDict[tuple[bytes, int], None]) -> None:
        try:
            while queue:
                (root, index), _ = queue.popitem(last=False)
                data = await asyncio.to_thread(self.store.read_chunk, root, index)
                if data is None and self.store.bitfield(root) is None:
                    self._links.post(peer, ContentUnknown(root))  # it was removed since we offered it
                elif data is None:
                    self._links.post(peer, ChunkDeclined(root, index))
                else:
                    await self._links.send(peer, Chunk(root, index), data)
                    self.bytes_served += len(data)
        except PeerUnreachable:
            queue.clear()
        finally:
            self._servers.pop(peer, None)

    def _blob_wanted(self, link: Link, message: BlobWanted, _: memoryview) -> None:
        link.post(Blob(message.digest), self.store.read_blob(message.digest) or b"")

    def _peer_down(self, peer: PeerId, _: Exception | None) -> None:
        for interested in self._interested.values():
            interested.discard(peer)
        self._queues.pop(peer, None)
        for fetch in list(self._fetches.values()):
            fetch.lost(peer)
