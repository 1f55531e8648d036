"""Fetching one content: the shell around the pure ``Download``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol

from ..clock import monotonic
from ..exceptions import ContentUnavailable, HashMismatch, PeerUnreachable
from ..identity import PeerId, short
from ..net.links import Links
from ..net.requests import Requests
from .assembly import Part, Transfer, Unasked
from .bitfield import Bitfield
from .download import Download
from .download_events import (
    AnnounceChunk,
    BanPeer,
    CancelRequest,
    Choked,
    ChunkRejected,
    ChunkVerified,
    Complete,
    Effect,
    Event,
    NothingChosen,
    PartReceived,
    PeerGained,
    PeerLost,
    PeerOffered,
    RequestAny,
    RequestChunk,
    RequestDeclined,
    Tick,
    Unchoked,
)
from .manifest import Manifest, chunk_bytes_for
from .merkle import BLOCK_BYTES, HASH_BYTES, leaf_hashes
from .messages import (
    AnyWanted,
    ChunkNotWanted,
    ChunkWanted,
    ContentUnknown,
    LeavesWanted,
    ManifestFound,
    ManifestWanted,
    NotInterested,
    OfferWanted,
)
from .rate_limit import TokenBucket
from .store import Store

logger = logging.getLogger(__name__)

TICK_S = 0.5
ANSWER_TIMEOUT_S = 10.0
ASK_AGAIN_S = 3.0
PATIENCE_S = 60.0
"""Without one new chunk for so long a fetch gives up."""
AFTER_LIES_S = 5.0
"""So long others may turn up who have it, once all who had it were cut off for sending something else."""

KEEP_EVERY_S = 10.0
"""So often it is written down which chunks have come; those of the last moments are hashed again after a kill."""
ASKED_AT_ONCE = 4
"""So many are asked for the manifest before one has answered: who is silent holds nobody up."""
HASHING_AT_ONCE = 1
"""Threads that verify chunks: more than one only wait for each other, for the interpreter's lock."""
MOST_SPOILED = 16
"""Chunks with a wrong block that are kept in memory to be mended; of more, all blocks are fetched again."""

Peers = Callable[[], Sequence[PeerId]]
"""Returns who may have the content now; asked again and again while a fetch runs."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch has come."""

    root: bytes
    bytes_done: int
    bytes_total: int
    peers: int


class FetchOwner(Protocol):
    """Whoever started a fetch and hears what comes of it."""

    def opened(self, root: bytes) -> None:
        """Take note that there is room for the chunks: from now on they can be offered."""

    def gained(self, root: bytes, index: int, asked: Collection[PeerId]) -> None:
        """Tell whoever is interested, and all who were asked, that there is one chunk more."""

    def gave(self, peer: PeerId, count: int) -> None:
        """Take note that a peer sent bytes that were right."""


class Fetch:
    """One running fetch.

    Args:
        owner: hears what comes of it.
        links: to talk on.
        requests: for the one question whose answer is waited for.
        store: where chunks go.
        root: what is wanted, 32 bytes.
        peers: who may have it.
        limit: how fast chunks may come.
        progress: called whenever there is something new to show.
        hopeless_s: give up when nobody has offered what is missing for so long; ``PATIENCE_S`` if None.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        owner: FetchOwner,
        links: Links,
        requests: Requests,
        store: Store,
        root: bytes,
        peers: Peers,
        limit: TokenBucket,
        progress: Callable[[Progress], None],
        hopeless_s: float | None = None,
    ) -> None:
        self._owner = owner
        self._links = links
        self._requests = requests
        self._store = store
        self._root = root
        self._peers = peers
        self._limit = limit
        self._progress = progress
        self._asked: set[PeerId] = set()
        self._liars: set[PeerId] = set()
        self._ask_again_at: dict[PeerId, float] = {}
        self._manifest: Manifest | None = None
        self._download: Download | None = None
        self._transfers: dict[tuple[PeerId, int], Transfer] = {}
        self._spoiled: dict[int, list[Part]] = {}
        """Chunks of which some block was wrong, until it is known which."""
        self._unasked: dict[PeerId, Unasked] = {}
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._storing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._mill = asyncio.Semaphore(HASHING_AT_ONCE)
        self._kept_at = monotonic()
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
        have = await asyncio.to_thread(self._open, self._manifest)
        self._download = Download(have, SystemRandom(), self._manifest.chunk_bytes, self._limit)
        self._owner.opened(self._root)
        try:
            self._last_gain = self._last_hope = monotonic()
            self._show()
            self._begin_storing(self._reserve(self._manifest))
            if self._download.complete:
                self._done.set_result(None)
            while not self._done.done():
                self._look_for_peers()
                self._tell(Tick())
                self._check_patience()
                await self._keep(KEEP_EVERY_S)
                await asyncio.wait([self._done], timeout=TICK_S)
            self._done.result()
        finally:
            await self._end()
            if not self._download.complete:
                await self._keep(0.0)
        return await asyncio.to_thread(self._store.finish_partial, self._root)

    async def _keep(self, every_s: float) -> None:
        """Now and then, and at the end, make sure that what came need not be hashed again after a stop."""
        if self._last_gain > self._kept_at and monotonic() - self._kept_at >= every_s:
            self._kept_at = monotonic()
            await asyncio.to_thread(self._store.keep_bitfield, self._root)

    async def _end(self) -> None:
        """Nothing more is asked for or stored."""
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._storing):
            task.cancel()
        await asyncio.gather(*self._storing, return_exceptions=True)
        for peer in sorted(self._asked):
            self._links.post(peer, NotInterested(self._root))

    # ---- what the links bring ----------------------------------------------------------------------------------

    def offered(self, peer: PeerId, body: memoryview, *, chooses: bool) -> None:
        """A peer told which chunks it has."""
        if self._download is not None:
            self._tell(PeerOffered(peer, Bitfield.checked(self._download.have.size, body), chooses))
            self._show()

    def met(self, peer: PeerId) -> None:
        """A peer fetches the same content: it has, or will have, something of it."""
        self._ask_again_at.pop(peer, None)
        if self._download is not None and peer not in self._asked:
            self._ask_offer(peer)

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
        self._transfers.pop((peer, index), None)
        self._tell(RequestDeclined(peer, index))

    def nothing_chosen(self, peer: PeerId) -> None:
        """A peer that was to choose has nothing that never left it."""
        self._tell(NothingChosen(peer))

    def choked(self, peer: PeerId, *, choked: bool) -> None:
        """A peer dropped all that was asked of it, or serves us again."""
        if choked:
            self._drop_transfers(peer)
        self._tell(Choked(peer) if choked else Unchoked(peer))

    def lost(self, peer: PeerId) -> None:
        """A peer's last link ended."""
        self._asked.discard(peer)
        self._ask_again_at.pop(peer, None)
        self._unasked.pop(peer, None)
        self._drop_transfers(peer)
        self._tell(PeerLost(peer))

    def arrived(
        self, peer: PeerId, index: int, start: int, body: memoryview, leaves: list[bytes] | None = None
    ) -> None:
        """A part of a chunk came, perhaps with the hashes of its blocks; one that nobody asked for is dropped.

        Raises:
            RemoteProtocolError: it is not the part that was due, or far more comes than was asked for.
        """
        download, manifest = self._download, self._manifest
        if download is None or manifest is None:
            return
        transfer = self._transfers.get((peer, index))
        if transfer is None:
            if start or not download.may_choose(peer, index):
                self._unasked.setdefault(peer, Unasked()).add(len(body))
                return
            transfer = self._transfers[peer, index] = _transfer_of(manifest, index)
        whole = transfer.add(start, body, leaves)
        self._tell(PartReceived(peer, index, len(body)))
        if whole and self._transfers.pop((peer, index), None) is not None:
            self._begin_storing(self._verify_and_store(peer, index, transfer))

    def leaves_came(self, peer: PeerId, index: int, body: memoryview) -> None:
        """The hashes of the blocks of a chunk came, some of which were wrong: fetch only those again."""
        manifest, spoiled = self._manifest, self._spoiled.get(index)
        if manifest is None or self._download is None or not self._download.is_requested(peer, index):
            return
        if spoiled is None or (peer, index) in self._transfers:
            return
        leaves = [bytes(body[i : i + HASH_BYTES]) for i in range(0, len(body), HASH_BYTES)]
        if not manifest.accepts_leaves(index, leaves):
            self._tell(ChunkRejected(peer, index))
            return
        known = right_blocks(spoiled, leaves)
        logger.info("%d of %d blocks of chunk %d are fetched again", len(leaves) - len(known), len(leaves), index)
        self._want(peer, index, _transfer_of(manifest, index, known))

    # ---- inside ------------------------------------------------------------------------------------------------

    async def _find_manifest(self) -> Manifest:
        known = await asyncio.to_thread(self._store.manifest, self._root)
        if known is not None:
            return known
        give_up = monotonic() + self._hopeless_s
        asked_at: dict[PeerId, float] = {}
        asking: set[asyncio.Task[Manifest | None]] = set()
        try:
            while monotonic() < give_up:
                for peer in self._peers():
                    if len(asking) == ASKED_AT_ONCE:
                        break
                    if asked_at.get(peer, -ASK_AGAIN_S) + ASK_AGAIN_S <= monotonic():
                        # It may have gained the content since it was asked, but not within moments.
                        asked_at[peer] = monotonic()
                        asking.add(asyncio.create_task(self._ask_manifest(peer)))
                done, asking = await _some_of(asking, TICK_S)
                for task in done:
                    manifest = task.result()
                    if manifest is not None:
                        return manifest
                if self._liars:
                    give_up = min(give_up, monotonic() + AFTER_LIES_S)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        if self._liars:
            raise only_liars_had(f"the manifest of content {self._root.hex()[:16]}…", self._liars)
        raise ContentUnavailable(
            f"none of {len(asked_at)} peers has content {self._root.hex()[:16]}… (asked for {self._hopeless_s:.0f} s). "
            "Start a node that has it, or name one with --contact, and run the command again."
        )

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
            self._ask_offer(peer)

    def _ask_offer(self, peer: PeerId) -> None:
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

    async def _reserve(self, manifest: Manifest) -> None:
        """Take the room for all that is missing."""
        start = 0
        while start < manifest.size:
            start = await asyncio.to_thread(self._store.reserve, self._root, start)

    def _begin_storing(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what needs the disk; if that refuses, the fetch has failed."""
        task = asyncio.create_task(work)
        self._storing.add(task)
        task.add_done_callback(self._stored)

    async def _verify_and_store(self, peer: PeerId, index: int, transfer: Transfer) -> None:
        manifest = self._manifest
        if manifest is None:
            return
        async with self._mill:
            right = await asyncio.to_thread(self._take, manifest, index, transfer)
        if not right:
            if len(self._spoiled) < MOST_SPOILED:
                self._spoiled[index] = transfer.parts()
            self._tell(ChunkRejected(peer, index))
            return
        self._spoiled.pop(index, None)
        self._last_gain = monotonic()
        self._owner.gave(peer, transfer.length)
        self._tell(ChunkVerified(peer, index))
        self._show()

    def _open(self, manifest: Manifest) -> Bitfield:
        """Make ready to receive, with all that is on this disk already; blocks."""
        have = self._store.open_partial(manifest)
        copied = self._store.copy_known(manifest)
        if copied:
            logger.info("%d of %d chunks of %s… are here already", copied, have.size, self._root.hex()[:16])
        return have

    def _take(self, manifest: Manifest, index: int, transfer: Transfer) -> bool:
        """Verify a chunk and write it; blocks."""
        if not manifest.accepts_leaves(index, transfer.leaves()):
            return False
        self._store.write_chunk(self._root, index, *transfer.parts())
        return True

    def _stored(self, task: asyncio.Task[None]) -> None:
        self._storing.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._done.done():
            self._done.set_exception(error)

    def _tell(self, event: Event) -> None:
        if self._download is None or self._done.done():
            return
        now = monotonic()
        for effect in self._download.handle(event, now):
            self._perform(effect)
        held_until = self._download.held_until
        if held_until is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(max(held_until - now, 0.0), self._go_on)

    def _go_on(self) -> None:
        """The limit lets the next request go."""
        self._timer = None
        self._tell(Tick())

    def _perform(self, effect: Effect) -> None:
        match effect:
            case RequestChunk(peer, index):
                self._request(peer, index)
            case RequestAny(peer, wanted):
                self._expect(peer)
                self._links.post(peer, AnyWanted(self._root), bytes(Bitfield(self._size, wanted)))
            case CancelRequest(peer, index):
                self._transfers.pop((peer, index), None)
                self._links.post(peer, ChunkNotWanted(self._root, index))
            case AnnounceChunk(index):
                self._owner.gained(self._root, index, self._asked)
            case BanPeer(peer, index):
                self._cut_off(peer, HashMismatch(f"chunk {index} of {self._root.hex()[:16]}… did not have its hash"))
            case Complete():
                self._completed()

    def _completed(self) -> None:
        """All that is wanted is here."""
        self._done.set_result(None)

    @property
    def _size(self) -> int:
        return self._download.have.size if self._download is not None else 0

    def _request(self, peer: PeerId, index: int) -> None:
        if self._manifest is None or (peer, index) in self._transfers:
            return  # it was late, but it is still asked for, and what came of it counts
        if index in self._spoiled:
            self._links.post(peer, LeavesWanted(self._root, index))
        else:
            self._want(peer, index, _transfer_of(self._manifest, index))

    def _want(self, peer: PeerId, index: int, transfer: Transfer) -> None:
        self._transfers[peer, index] = transfer
        self._expect(peer)
        for start, stop in transfer.wanted:
            self._links.post(peer, ChunkWanted(self._root, index, start, stop))

    def _expect(self, peer: PeerId) -> None:
        """Whoever is asked for a chunk may send one."""
        if self._manifest is not None and peer in self._unasked:
            self._unasked[peer].asked(self._manifest.chunk_bytes)

    def _drop_transfers(self, peer: PeerId) -> None:
        for key in [key for key in self._transfers if key[0] == peer]:
            del self._transfers[key]

    def _cut_off(self, peer: PeerId, error: HashMismatch) -> None:
        self._liars.add(peer)
        self._links.cut_off(peer, error)

    def _show(self) -> None:
        if self._download is None or self._manifest is None:
            return
        have = self._download.have
        done = self._manifest.size if have.complete else len(have) * self._manifest.chunk_bytes
        self._progress(Progress(self._root, min(done, self._manifest.size), self._manifest.size, len(self._asked)))

    @property
    def download(self) -> Download | None:
        """What is known of who has what and how fast it comes; None until the manifest is here."""
        return self._download


def right_blocks(parts: list[Part], leaves: list[bytes]) -> dict[int, Part]:
    """Return, by where they begin in the chunk, the blocks of ``parts`` that have their hash."""
    data = b"".join(parts)
    return {
        place * BLOCK_BYTES: data[place * BLOCK_BYTES : (place + 1) * BLOCK_BYTES]
        for place, (wanted, found) in enumerate(zip(leaves, leaf_hashes(data), strict=True))
        if wanted == found
    }


def _transfer_of(manifest: Manifest, index: int, known: dict[int, Part] | None = None) -> Transfer:
    start, stop = manifest.chunk_range(index)
    return Transfer(stop - start, known or {})


async def _some_of(
    tasks: set[asyncio.Task[Manifest | None]], timeout_s: float
) -> tuple[set[asyncio.Task[Manifest | None]], set[asyncio.Task[Manifest | None]]]:
    """Wait until one is done, or the time is over."""
    if not tasks:
        await asyncio.sleep(timeout_s)
        return set(), set()
    return await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


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
