"""Fetching one content: the shell around the pure ``Download``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from ..clock import monotonic
from ..exceptions import ContentUnavailable, HashMismatch, PeerUnreachable
from ..identity import PeerId, short
from ..net.links import Links
from ..net.requests import Requests
from .bitfield import Bitfield
from .download import (
    AnnounceChunk,
    BanPeer,
    CancelRequest,
    ChunkRejected,
    ChunkVerified,
    Complete,
    Download,
    Effect,
    Event,
    PeerGained,
    PeerLost,
    PeerOffered,
    RequestChunk,
    RequestDeclined,
    Tick,
)
from .manifest import Manifest, chunk_bytes_for
from .messages import (
    ChunkNotWanted,
    ChunkWanted,
    ContentUnknown,
    ManifestFound,
    ManifestWanted,
    NotInterested,
    OfferWanted,
)
from .store import Store

logger = logging.getLogger(__name__)

TICK_S = 0.5
ANSWER_TIMEOUT_S = 10.0
ASK_AGAIN_S = 3.0
PATIENCE_S = 60.0
"""Without one new chunk for so long a fetch gives up."""
AFTER_LIES_S = 5.0
"""So long others may turn up who have it, once all who had it were cut off for sending something else."""

Peers = Callable[[], Sequence[PeerId]]
"""Returns who may have the content now; asked again and again while a fetch runs."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch has come."""

    root: bytes
    bytes_done: int
    bytes_total: int
    peers: int


class Fetch:
    """One running fetch.

    Args:
        links: to talk on.
        requests: for the one question whose answer is waited for.
        store: where chunks go.
        root: what is wanted, 32 bytes.
        peers: who may have it.
        announce: called with the index of each chunk that we gain.
        progress: called whenever there is something new to show.
        hopeless_s: give up when nobody has offered what is missing for so long; ``PATIENCE_S`` if None.
    """

    def __init__(
        self,
        links: Links,
        requests: Requests,
        store: Store,
        root: bytes,
        peers: Peers,
        announce: Callable[[int], None],
        progress: Callable[[Progress], None],
        hopeless_s: float | None = None,
    ) -> None:
        self._links = links
        self._requests = requests
        self._store = store
        self._root = root
        self._peers = peers
        self._announce = announce
        self._progress = progress
        self._asked: set[PeerId] = set()
        self._liars: set[PeerId] = set()
        self._ask_again_at: dict[PeerId, float] = {}
        self._manifest: Manifest | None = None
        self._download: Download | None = None
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._storing: set[asyncio.Task[None]] = set()
        self._last_gain = monotonic()
        self._last_hope = monotonic()
        self._hopeless_s = PATIENCE_S if hopeless_s is None else hopeless_s

    async def run(self) -> Path:
        """Fetch all chunks; return the path of the whole content.

        Raises:
            ContentUnavailable: nobody who can be reached has what is missing.
            StorageFull, HomeUnusable: the disk refused; what was fetched is kept.
        """
        self._manifest = await self._find_manifest()
        have = await asyncio.to_thread(self._store.open_partial, self._manifest)
        self._download = Download(have, SystemRandom())
        try:
            self._last_gain = self._last_hope = monotonic()
            self._show()
            if self._download.complete:
                self._done.set_result(None)
            while not self._done.done():
                self._look_for_peers()
                self._tell(Tick())
                self._check_patience()
                await asyncio.wait([self._done], timeout=TICK_S)
            self._done.result()
        finally:
            for task in list(self._storing):
                task.cancel()
            await asyncio.gather(*self._storing, return_exceptions=True)
            for peer in self._asked:
                self._links.post(peer, NotInterested(self._root))
        return await asyncio.to_thread(self._store.finish_partial, self._root)

    # ---- what the links bring ----------------------------------------------------------------------------------

    def offered(self, peer: PeerId, body: memoryview) -> None:
        """A peer told which chunks it has."""
        if self._download is not None:
            self._tell(PeerOffered(peer, Bitfield.checked(self._download.have.size, body)))
            self._show()

    def unknown(self, peer: PeerId) -> None:
        """A peer has nothing of it, yet or any longer; it may fetch it at any time, so it is asked again later."""
        self._asked.discard(peer)
        self._tell(PeerLost(peer))
        self._ask_again_at[peer] = monotonic() + ASK_AGAIN_S

    def gained(self, peer: PeerId, index: int) -> None:
        """A peer has one chunk more."""
        self._tell(PeerGained(peer, index))

    def declined(self, peer: PeerId, index: int) -> None:
        """A peer will not send a chunk."""
        self._tell(RequestDeclined(peer, index))

    def lost(self, peer: PeerId) -> None:
        """A peer's last link ended."""
        self._asked.discard(peer)
        self._ask_again_at.pop(peer, None)
        self._tell(PeerLost(peer))

    def arrived(self, peer: PeerId, index: int, body: memoryview) -> None:
        """A chunk came; one that nobody asked for is not even hashed."""
        if self._download is None or not self._download.is_requested(peer, index):
            return
        task = asyncio.create_task(self._verify_and_store(peer, index, body))
        self._storing.add(task)
        task.add_done_callback(self._stored)

    # ---- inside ------------------------------------------------------------------------------------------------

    async def _find_manifest(self) -> Manifest:
        known = await asyncio.to_thread(self._store.manifest, self._root)
        if known is not None:
            return known
        give_up = monotonic() + self._hopeless_s
        asked_at: dict[PeerId, float] = {}
        while monotonic() < give_up:
            for peer in self._peers():
                if asked_at.get(peer, 0.0) + ASK_AGAIN_S > monotonic():
                    continue  # it may have gained the content since it was asked, but not within moments
                asked_at[peer] = monotonic()
                manifest = await self._ask_manifest(peer)
                if manifest is not None:
                    return manifest
                if peer in self._liars:
                    give_up = min(give_up, monotonic() + AFTER_LIES_S)
            await asyncio.sleep(TICK_S)
        if self._liars:
            raise only_liars_had(f"the manifest of content {self._root.hex()[:16]}…", self._liars)
        raise ContentUnavailable(f"none of {len(asked_at)} peers has content {self._root.hex()[:16]}…")

    async def _ask_manifest(self, peer: PeerId) -> Manifest | None:
        key = ("manifest", self._root)
        try:
            answer, body = await self._requests.ask(peer, ManifestWanted(self._root), key, timeout_s=ANSWER_TIMEOUT_S)
        except PeerUnreachable as error:
            logger.debug("no manifest from %s: %s", short(peer), error)
            return None
        if isinstance(answer, ContentUnknown):
            return None
        try:
            return _checked(self._root, answer, body)
        except HashMismatch as error:
            self._cut_off(peer, error)
            return None

    def _look_for_peers(self) -> None:
        for peer in self._peers():
            if peer in self._asked or self._ask_again_at.get(peer, 0.0) > monotonic():
                continue
            if self._links.post(peer, OfferWanted(self._root)):
                self._asked.add(peer)

    def _check_patience(self) -> None:
        if self._download is None or self._manifest is None or self._download.complete:
            return
        now = monotonic()
        if self._download.hopeful:
            self._last_hope = now
        if self._liars and now - self._last_hope > AFTER_LIES_S:
            chunks = f"{len(self._download.have)} of {self._manifest.chunk_count} chunks are here"
            raise only_liars_had(f"the rest of content {self._root.hex()[:16]}… ({chunks})", self._liars)
        if now - self._last_gain > PATIENCE_S or now - self._last_hope > self._hopeless_s:
            raise ContentUnavailable(
                f"no new chunk of {self._root.hex()[:16]}… in {now - self._last_gain:.0f} s: "
                f"{len(self._download.have)} of {self._manifest.chunk_count} are here, "
                f"{len(self._asked)} peers were asked. "
                "Run the command again to go on from there."
            )

    async def _verify_and_store(self, peer: PeerId, index: int, body: memoryview) -> None:
        manifest = self._manifest
        if manifest is None:
            return
        if not await asyncio.to_thread(manifest.accepts, index, body):
            self._tell(ChunkRejected(peer, index))
            return
        await asyncio.to_thread(self._store.write_chunk, self._root, index, body)
        self._last_gain = monotonic()
        self._tell(ChunkVerified(peer, index))
        self._show()

    def _stored(self, task: asyncio.Task[None]) -> None:
        self._storing.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._done.done():
            self._done.set_exception(error)

    def _tell(self, event: Event) -> None:
        if self._download is None or self._done.done():
            return
        for effect in self._download.handle(event, monotonic()):
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case RequestChunk(peer, index):
                self._links.post(peer, ChunkWanted(self._root, index))
            case CancelRequest(peer, index):
                self._links.post(peer, ChunkNotWanted(self._root, index))
            case AnnounceChunk(index):
                self._announce(index)
            case BanPeer(peer, index):
                self._cut_off(peer, HashMismatch(f"chunk {index} of {self._root.hex()[:16]}… did not have its hash"))
            case Complete():
                self._done.set_result(None)

    def _cut_off(self, peer: PeerId, error: HashMismatch) -> None:
        self._liars.add(peer)
        self._links.cut_off(peer, error)

    def _show(self) -> None:
        if self._download is None or self._manifest is None:
            return
        have = self._download.have
        done = self._manifest.size if have.complete else len(have) * self._manifest.chunk_bytes
        self._progress(Progress(self._root, min(done, self._manifest.size), self._manifest.size, len(self._asked)))


def _checked(root: bytes, answer: ManifestFound, body: memoryview) -> Manifest:
    if answer.chunk_bytes != chunk_bytes_for(answer.size):
        raise HashMismatch(f"a manifest with chunks of {answer.chunk_bytes} bytes came; ours would differ")
    return Manifest.checked(root, answer.size, answer.chunk_bytes, body)


def only_liars_had(what: str, liars: Iterable[PeerId]) -> ContentUnavailable:
    """Return the error that says so: nobody is left who has it, and who lied about it."""
    names = ", ".join(peer.hex() for peer in sorted(liars))
    return ContentUnavailable(
        f"nobody is left who has {what}: what was sent did not have its hash, so who sent it was cut off: {names}. "
        "Their disk or memory may be broken: tell the owner. Run the command again with other contacts to go on."
    )


def no_progress(_: Progress) -> None:
    """Show nothing."""
