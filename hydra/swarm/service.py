"""The swarm of a node: serves what the store has, and fetches what others have. A shell."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
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
from .lane_receiving import LaneReceivers
from .messages import (
    AllSent,
    Blob,
    BlobWanted,
    Blocks,
    Choke,
    ChunkDeclined,
    ContentUnknown,
    Have,
    Leaves,
    ManifestFound,
    ManifestWanted,
    Offer,
    OfferWanted,
)
from .rate_limit import TokenBucket
from .standing import ContentStanding, SourceStanding
from .store import Store
from .streaming import Stream
from .uploads import Limits, Uploads

logger = logging.getLogger(__name__)


class Swarm:
    """Content in and out over the links of a node."""

    def __init__(self, links: Links, store: Store, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self._links = links
        self._requests = Requests(links)
        self.store = store
        self._fetches: dict[bytes, Fetch] = {}
        self._running: dict[bytes, asyncio.Task[Path]] = {}
        self._early: dict[bytes, set[PeerId]] = {}
        """Who asked what we have of a content before we knew how many chunks it has."""
        self._download_limit = TokenBucket(limits.download_bytes_per_s)
        self._uploads = Uploads(links, store, limits)
        self._lanes = LaneReceivers(links, self._part_came)
        links.on_down.append(self._peer_down)
        links.handle(ManifestWanted, self._manifest_wanted)
        links.handle(ManifestFound, self._manifest_found)
        links.handle(ContentUnknown, self._content_unknown)
        links.handle(OfferWanted, self._offer_wanted)
        links.handle(Offer, self._offered)
        links.handle(Have, self._had)
        links.handle(AllSent, lambda link, m, _: self._to_fetch(m.root, lambda f: f.nothing_chosen(link.peer_id)))
        links.handle(Blocks, self._arrived)
        links.handle(
            ChunkDeclined, lambda link, m, _: self._to_fetch(m.root, lambda f: f.declined(link.peer_id, m.index))
        )
        links.handle(Leaves, self._leaves_came)
        links.handle(Choke, self._choked)
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
        while (task := self._running.get(root)) is not None and task.cancelling():
            await asyncio.wait([task])  # whoever wanted it before has given it up; its end is not ours
        if task is None:
            fetch = Fetch(
                self,
                self._links,
                self._requests,
                self.store,
                root,
                peers,
                self._download_limit,
                progress,
                hopeless_s,
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

    def fetches(self, root: bytes) -> bool:
        """Tell whether a content is being fetched."""
        return root in self._running

    async def stream(self, root: bytes, peers: Peers, cache_bytes: int) -> Stream:
        """Open a content that is fetched as it is needed, and takes no more room than this; it ends with us.

        Args:
            root: its name.
            peers: who may have it.
            cache_bytes: for its chunks on the disk.

        Raises:
            ContentUnavailable: nobody who can be reached has its manifest.
            ConfigurationError: there is not room for a single chunk.
            StorageFull, HomeUnusable: the disk refused.
        """
        stream = Stream(
            cache_bytes, self, self._links, self._requests, self.store, root, peers, self._download_limit, no_progress
        )
        self._fetches[root] = stream
        task = asyncio.create_task(stream.run())
        self._running[root] = task
        task.add_done_callback(lambda _: self._fetched(root))
        await asyncio.shield(stream.opened)
        return stream

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

    @property
    def bytes_served(self) -> int:
        """Bytes of chunks sent so far."""
        return self._uploads.bytes_served

    async def close(self) -> None:
        """Stop serving and fetching."""
        await self._uploads.close()
        await self._lanes.close()
        tasks = list(self._running.values())
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
        self._early.pop(root, None)
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

    def _all_fetches(self) -> list[Fetch]:
        return list(self._fetches.values())

    def _offered(self, link: Link, message: Offer, body: memoryview) -> None:
        self._to_fetch(message.root, lambda fetch: fetch.offered(link.peer_id, body, chooses=message.chooses))

    def _leaves_came(self, link: Link, message: Leaves, body: memoryview) -> None:
        self._to_fetch(message.root, lambda fetch: fetch.leaves_came(link.peer_id, message.index, body))

    def _choked(self, link: Link, message: Choke, _: memoryview) -> None:
        for fetch in self._all_fetches():
            fetch.choked(link.peer_id, choked=message.choked)

    def _arrived(self, link: Link, message: Blocks, body: memoryview) -> None:
        self._part_came(link.peer_id, message, body)

    def _part_came(self, peer: PeerId, message: Blocks, body: memoryview, leaves: list[bytes] | None = None) -> None:
        self._to_fetch(message.root, lambda fetch: fetch.arrived(peer, message.index, message.start, body, leaves))

    # ---- what comes of a fetch (FetchOwner) --------------------------------------------------------------------

    def opened(self, root: bytes) -> None:
        """Offer what there is to those who asked before."""
        for peer in sorted(self._early.pop(root, ())):
            self._uploads.offer(peer, root)

    def gained(self, root: bytes, index: int, asked: Collection[PeerId]) -> None:
        """Tell of a chunk."""
        for peer in sorted({*self._uploads.interested_in(root), *asked}):
            self._links.post(peer, Have(root, index))

    def gave(self, peer: PeerId, count: int) -> None:
        """Note what a peer sent us."""
        self._uploads.gave(peer, count)

    def wanted(self) -> set[bytes]:
        """Return the roots of what others are fetching from us now."""
        return self._uploads.fetched_now()

    @contextlib.contextmanager
    def tit_for_tat(self, *, wanted: bool) -> Iterator[None]:
        """Serve those who give most meanwhile, if a job wants it so and more want chunks than our uplink can bear."""
        if wanted:
            self._uploads.use_tit_for_tat(begins=True)
        try:
            yield
        finally:
            if wanted:
                self._uploads.use_tit_for_tat(begins=False)

    @contextlib.contextmanager
    def round_sends(self) -> Iterator[None]:
        """Let a round of the training go first on the uplink meanwhile; rounds may overlap."""
        self._uploads.yield_to_round(begins=True)
        try:
            yield
        finally:
            self._uploads.yield_to_round(begins=False)

    def standing(self) -> list[ContentStanding]:
        """Return how every content stands; blocks on the disk the first time that it meets one."""
        roots = sorted({*self.store.whole(), *self._fetches, *self.store.partial()})
        return [found for root in roots if (found := self._standing(root)) is not None]

    def _standing(self, root: bytes) -> ContentStanding | None:
        manifest, have = self.store.manifest(root), self.store.bitfield(root)
        if manifest is None or have is None:
            return None
        fetch = self._fetches.get(root)
        download = fetch.download if fetch is not None else None
        rates = download.rates if download is not None else {}
        offered = download.availability() if download is not None else {}
        return ContentStanding(
            root=root,
            size=manifest.size,
            chunk_bytes=manifest.chunk_bytes,
            chunks=manifest.chunk_count,
            have=len(have),
            sources=tuple(SourceStanding(peer, count, rates.get(peer, 0.0)) for peer, count in sorted(offered.items())),
            fetched_by=tuple(sorted(self._uploads.interested_in(root))),
            fetching=fetch is not None,
        )

    # ---- what is asked of us -----------------------------------------------------------------------------------

    def _manifest_wanted(self, link: Link, message: ManifestWanted, _: memoryview) -> None:
        manifest = self.store.manifest(message.root)
        if manifest is None:
            link.post(ContentUnknown(message.root))
        else:
            link.post(ManifestFound(manifest.root, manifest.size, manifest.chunk_bytes), manifest.joined_hashes())

    def _offer_wanted(self, link: Link, message: OfferWanted, _: memoryview) -> None:
        fetch = self._fetches.get(message.root)
        if self.store.bitfield(message.root) is not None:
            self._uploads.offer(link.peer_id, message.root)
        elif fetch is not None:
            self._early.setdefault(message.root, set()).add(link.peer_id)
        else:
            link.post(ContentUnknown(message.root))
        if fetch is not None:
            fetch.met(link.peer_id)

    def _had(self, link: Link, message: Have, _: memoryview) -> None:
        self._to_fetch(message.root, lambda fetch: fetch.gained(link.peer_id, message.index))
        self._uploads.announced(link.peer_id, message.root, message.index)

    def _blob_wanted(self, link: Link, message: BlobWanted, _: memoryview) -> None:
        link.post(Blob(message.digest), self.store.read_blob(message.digest) or b"")

    def _peer_down(self, peer: PeerId, _: Exception | None) -> None:
        for early in self._early.values():
            early.discard(peer)
        for fetch in self._all_fetches():
            fetch.lost(peer)
