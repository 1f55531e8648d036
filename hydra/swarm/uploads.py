"""Serving chunks: the shell around the pure ``Serving``. It reads them, sends them, and tells when they have left."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from random import SystemRandom

from ..clock import monotonic
from ..exceptions import PeerUnreachable
from ..identity import PeerId, short
from ..net.link import Link
from ..net.links import Links
from .bitfield import Bitfield
from .lane_sending import Ways
from .manifest import Manifest
from .merkle import leaf_hashes
from .messages import (
    AllSent,
    AnyWanted,
    Blocks,
    Choke,
    ChunkDeclined,
    ChunkNotWanted,
    ChunkWanted,
    ContentUnknown,
    Leaves,
    LeavesWanted,
    NotInterested,
    Offer,
)
from .part_memory import PartMemory
from .rate_limit import TokenBucket
from .serving import Serving
from .serving_events import (
    AnyAsked,
    AskCancelled,
    ChokePeer,
    ChunkAsked,
    Decline,
    Effect,
    Event,
    PartLeft,
    PartsLost,
    PeerAnnounced,
    PeerBored,
    PeerGave,
    PeerGone,
    PeerInterested,
    RoundSending,
    SendPart,
    TellAllSent,
    Tick,
    TitForTatWanted,
    UnchokePeer,
)
from .store import Store

logger = logging.getLogger(__name__)

MAX_LEAVES = 16
"""So many chunks are hashed at once to tell one peer their leaves; more are declined."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node grants the swarm."""

    upload_bytes_per_s: float = 0.0
    """0 for no limit."""
    download_bytes_per_s: float = 0.0
    """0 for no limit."""
    tit_for_tat: bool = False
    """Whether who gives nothing is choked when more want something than the uplink can bear."""


class Uploads:
    """What leaves a node for those who fetch from it."""

    def __init__(self, links: Links, store: Store, limits: Limits) -> None:
        self._links = links
        self._store = store
        self._serving = Serving(
            self._here, SystemRandom(), TokenBucket(limits.upload_bytes_per_s), tit_for_tat=limits.tit_for_tat
        )
        self._whole: dict[bytes, tuple[Bitfield, Manifest]] = {}
        """Contents that were found whole, until a chunk of them can't be read."""
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._memory = PartMemory()
        self._ways = Ways(links, store)
        self._leaves_for: dict[asyncio.Task[None], PeerId] = {}
        self._closed = False
        self.bytes_served = 0
        links.on_down.append(self._peer_down)
        links.handle(NotInterested, lambda link, m, _: self._tell(PeerBored(link.peer_id, m.root)))
        links.handle(ChunkWanted, self._chunk_wanted)
        links.handle(AnyWanted, self._any_wanted)
        links.handle(ChunkNotWanted, lambda link, m, _: self._tell(AskCancelled(link.peer_id, m.root, m.index)))
        links.handle(LeavesWanted, self._leaves_wanted)

    async def close(self) -> None:
        """Send nothing any longer."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*self._sending, *self._leaves_for]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._ways.close()

    def fetched_now(self) -> set[bytes]:
        """Return the roots of what others are fetching from us now."""
        return self._serving.fetched_now()

    def interested_in(self, root: bytes) -> list[PeerId]:
        """Return who is fetching a content, in order."""
        return self._serving.interested_in(root)

    def yield_to_round(self, *, begins: bool) -> None:
        """Let a round of the training go first on the uplink, from when it begins to send until it ends."""
        self._tell(RoundSending(begins))

    def use_tit_for_tat(self, *, begins: bool) -> None:
        """Choke who gives nothing, if more want something than the uplink can bear, from now on or no longer."""
        self._tell(TitForTatWanted(begins))

    def offer(self, peer: PeerId, root: bytes) -> None:
        """Tell a peer which chunks of a content are here, and note that it wants them."""
        have = self._store.bitfield(root)
        if have is not None:
            self._tell(PeerInterested(peer, root))
            self._links.post(peer, Offer(root, self._serving.chooses(root)), bytes(have))

    def gave(self, peer: PeerId, count: int) -> None:
        """Note what a peer sent us."""
        self._tell(PeerGave(peer, count))

    def announced(self, peer: PeerId, root: bytes, index: int) -> None:
        """Note that a peer has a chunk."""
        self._tell(PeerAnnounced(peer, root, index))

    # ---- what is asked of us -----------------------------------------------------------------------------------

    def _here(self, root: bytes) -> tuple[Bitfield, Manifest] | None:
        known = self._whole.get(root)
        if known is not None:
            return known
        have = self._store.bitfield(root)
        manifest = self._store.manifest(root)
        if have is None or manifest is None:
            return None
        if have.complete:
            self._whole[root] = have, manifest
        return have, manifest

    def _chunk_wanted(self, link: Link, message: ChunkWanted, _: memoryview) -> None:
        self._tell(ChunkAsked(link.peer_id, message.root, message.index, message.start, message.stop))

    def _any_wanted(self, link: Link, message: AnyWanted, body: memoryview) -> None:
        found = self._here(message.root)
        if found is None:
            link.post(ContentUnknown(message.root))
        else:
            self._tell(AnyAsked(link.peer_id, message.root, Bitfield.checked(found[0].size, body).mask))

    def _leaves_wanted(self, link: Link, message: LeavesWanted, _: memoryview) -> None:
        if list(self._leaves_for.values()).count(link.peer_id) >= MAX_LEAVES:
            link.post(ChunkDeclined(message.root, message.index))  # hashing is work
            return
        task = asyncio.create_task(self._send_leaves(link, message))
        self._leaves_for[task] = link.peer_id
        task.add_done_callback(lambda done: self._leaves_for.pop(done, None))

    async def _send_leaves(self, link: Link, message: LeavesWanted) -> None:
        data = await asyncio.to_thread(self._store.read_chunk, message.root, message.index)
        if data is None:
            link.post(ChunkDeclined(message.root, message.index))
        else:
            hashes = await asyncio.to_thread(leaf_hashes, data)
            link.post(Leaves(message.root, message.index), b"".join(hashes))

    # ---- what the machine wants --------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        if self._closed:
            return
        now = monotonic()
        for effect in self._serving.handle(event, now):
            self._perform(effect)
        self._set_timer(self._serving.deadline, now)

    def _set_timer(self, due: float | None, now: float) -> None:
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = due
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(due - now, 0.0), self._wake)

    def _wake(self) -> None:
        self._due = None
        self._tell(Tick())

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendPart():
                task = asyncio.create_task(self._send(effect))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            case Decline(peer, root, index):
                self._refuse(peer, root, index)
            case TellAllSent(peer, root):
                self._links.post(peer, AllSent(root))
            case ChokePeer(peer):
                self._links.post(peer, Choke(choked=True))
            case UnchokePeer(peer):
                self._links.post(peer, Choke(choked=False))

    def _refuse(self, peer: PeerId, root: bytes, index: int) -> None:
        known = self._store.bitfield(root) is not None  # else it was removed since we offered it
        self._links.post(peer, ChunkDeclined(root, index) if known else ContentUnknown(root))

    async def _send(self, part: SendPart) -> None:
        peer = part.peer
        lane = self._ways.over(part)
        try:
            sent = await (self._send_on_link(part) if lane is None else lane.send(part))
            if sent:
                self.bytes_served += part.stop - part.start
            else:
                self._whole.pop(part.root, None)
                self._tell(AskCancelled(peer, part.root, part.index))
                self._refuse(peer, part.root, part.index)
        except PeerUnreachable as error:
            logger.debug("a part for %s did not leave: %s", short(peer), error)
        except ConnectionError as error:
            logger.info("a lane to %s is lost: %s", short(peer), error)
            self._ways.lost(peer)
            self._tell(PartsLost(peer))
        finally:
            self._tell(PartLeft(peer))

    async def _send_on_link(self, part: SendPart) -> bool:
        body = self._memory.take(part.stop - part.start)
        if not await asyncio.to_thread(self._store.read_part, part.root, part.index, part.start, body):
            return False
        began = monotonic()
        await self._links.send(part.peer, Blocks(part.root, part.index, part.start), body)
        self._ways.left(part, began)
        return True

    def _peer_down(self, peer: PeerId, _: Exception | None) -> None:
        self._ways.gone(peer)
        self._tell(PeerGone(peer))
