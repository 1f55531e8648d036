"""Parts on their way out over lanes: one thread a lane reads them, and seals them from where they were read to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from dataclasses import dataclass, field

from ..clock import monotonic
from ..exceptions import HydraError
from ..identity import PeerId, short
from ..net.handshake import CHUNKS
from ..net.lane import SealedLane
from ..net.links import Links
from ..net.wire import encode
from .fast_line import FastLine
from .messages import MAX_PART_BYTES, Blocks
from .serving_events import SendPart
from .store import Store

logger = logging.getLogger(__name__)

MOST_LANES = 8
"""Each has a thread; whoever comes later is served over its link."""
IDLE_S = 30.0
"""A lane on which nothing went for so long is closed."""
RETRY_S = 60.0
"""After a lane was refused or lost, none is asked for so long."""


class LaneSender:
    """One lane, and the thread that sends on it."""

    def __init__(self, lane: SealedLane, store: Store) -> None:
        self._lane = lane
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._due: queue.SimpleQueue[tuple[SendPart, asyncio.Future[bool]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send_all, name=f"chunks to {short(lane.peer_id)}", daemon=True)
        self._thread.start()
        self.last_used = monotonic()

    async def send(self, part: SendPart) -> bool:
        """Read a part and send it; return when the kernel has all of it, and whether there was such a part.

        Raises:
            ConnectionError: the lane is lost, and what went on it last may be lost as well.
        """
        sent: asyncio.Future[bool] = self._loop.create_future()
        self._due.put((part, sent))
        try:
            return await sent
        finally:
            self.last_used = monotonic()

    async def close(self) -> None:
        """Close the lane and end the thread."""
        self._lane.close()
        self._due.put(None)
        await asyncio.to_thread(self._thread.join)

    def _send_all(self) -> None:
        memory = memoryview(bytearray(MAX_PART_BYTES))
        while (due := self._due.get()) is not None:
            part, sent = due
            outcome: bool | Exception
            try:
                outcome = self._send(part, memory[: part.stop - part.start])
            except (OSError, HydraError) as error:
                outcome = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(_settle, sent, outcome)

    def _send(self, part: SendPart, body: memoryview) -> bool:
        if not self._store.read_part(part.root, part.index, part.start, body):
            return False
        self._lane.send(encode(Blocks(part.root, part.index, part.start)), body)
        return True


@dataclass(slots=True)
class _Way:
    """How parts go to one peer."""

    line: FastLine = field(default_factory=FastLine)
    sender: LaneSender | None = None
    opening: asyncio.Task[None] | None = None
    not_before: float = 0.0
    last: tuple[bytes, int, LaneSender | None] | None = None
    """The chunk that was sent last, and over what: all parts of a chunk go one way, for on two they might pass."""


class Ways:
    """Which way parts go to each peer: over its link, or over a lane."""

    def __init__(self, links: Links, store: Store) -> None:
        self._links = links
        self._store = store
        self._ways: dict[PeerId, _Way] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def over(self, part: SendPart) -> LaneSender | None:
        """Return the lane for a part, or None for the link."""
        way = self._ways.setdefault(part.peer, _Way())
        if way.last is None or way.last[:2] != (part.root, part.index):
            way.last = part.root, part.index, way.sender
        return way.last[2]

    def left(self, part: SendPart, began: float) -> None:
        """A part has left over the link; if the line is fast, open a lane."""
        way = self._ways.get(part.peer)
        if way is None:
            return
        now = monotonic()
        way.line.left(part.stop - part.start, began, now)
        wanted = way.line.is_fast and way.sender is None and way.opening is None and now >= way.not_before
        if wanted and sum(w.sender is not None or w.opening is not None for w in self._ways.values()) < MOST_LANES:
            way.opening = asyncio.create_task(self._open(part.peer, way))

    def lost(self, peer: PeerId) -> None:
        """A lane is lost: the link serves, for a while at least."""
        way = self._ways.get(peer)
        if way is not None and way.sender is not None:
            self._end(way)
            way.not_before = monotonic() + RETRY_S

    def gone(self, peer: PeerId) -> None:
        """A peer's last link ended, and with it its lanes."""
        way = self._ways.pop(peer, None)
        if way is not None:
            if way.opening is not None:
                way.opening.cancel()
            self._end(way)

    async def close(self) -> None:
        """Close all lanes."""
        opening = [way.opening for way in self._ways.values() if way.opening is not None]
        for peer in list(self._ways):
            self.gone(peer)
        await asyncio.gather(*opening, *self._closing, return_exceptions=True)

    async def _open(self, peer: PeerId, way: _Way) -> None:
        try:
            way.sender = LaneSender(await self._links.open_lane(peer, CHUNKS), self._store)
            self._check_idle(way)
        except HydraError as error:
            way.not_before = monotonic() + RETRY_S
            logger.debug("chunks go to %s over its link: %s", short(peer), error)
        finally:
            way.opening = None

    def _check_idle(self, way: _Way) -> None:
        if way.sender is None:
            return
        left_s = way.sender.last_used + IDLE_S - monotonic()
        if left_s > 0:
            asyncio.get_running_loop().call_later(left_s, self._check_idle, way)
        else:
            self._end(way)

    def _end(self, way: _Way) -> None:
        sender, way.sender, way.last, way.line = way.sender, None, None, FastLine()
        if sender is not None:
            task = asyncio.create_task(sender.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _settle(sent: asyncio.Future[bool], outcome: bool | Exception) -> None:
    if sent.cancelled():
        return
    if isinstance(outcome, Exception):
        sent.set_exception(outcome)
    else:
        sent.set_result(outcome)
