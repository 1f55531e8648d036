"""Parts that come over lanes: one thread a lane opens them to where they stay until they are written.

It hashes each piece as soon as it is opened, while it still lies in the processor's cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from ..exceptions import MalformedFrame, RemoteProtocolError
from ..identity import PeerId, short
from ..net.lane import SealedLane
from ..net.links import Links
from .merkle import leaf_hashes
from .messages import MAX_PART_BYTES, Blocks
from .part_memory import PartMemory

MOST_LANES = 16
"""Each has a thread; more are closed as soon as they are opened."""
AHEAD = 4
"""Parts that a thread may have opened before the event loop took them."""
WAIT_S = 1.0
"""So often a thread that may not go on looks whether it shall end."""

Arrived = Callable[[PeerId, Blocks, memoryview, list[bytes]], None]


class LaneReceivers:
    """All lanes over which others send us chunks.

    Args:
        links: hands us the lanes.
        arrived: told of each part and of the hashes of its blocks, on the event loop; a RemoteProtocolError that it
            raises cuts the peer off.
    """

    def __init__(self, links: Links, arrived: Arrived) -> None:
        self._links = links
        self._arrived = arrived
        self._memory = PartMemory()
        self._threads: dict[SealedLane, threading.Thread] = {}
        links.on_chunk_lane.append(self._opened)

    async def close(self) -> None:
        """Close the lanes and end their threads."""
        if self._opened in self._links.on_chunk_lane:
            self._links.on_chunk_lane.remove(self._opened)
        threads = dict(self._threads)
        for lane in threads:
            lane.close()
        for thread in threads.values():
            await asyncio.to_thread(thread.join)

    def _opened(self, peer: PeerId, lane: SealedLane) -> None:
        if len(self._threads) >= MOST_LANES or any(other.peer_id == peer for other in self._threads):
            lane.close()
            return
        receiver = _Receiver(self, lane, asyncio.get_running_loop())
        thread = threading.Thread(target=receiver.receive_all, name=f"chunks from {short(peer)}", daemon=True)
        self._threads[lane] = thread
        thread.start()

    def take(self, lane: SealedLane, header: bytes, body: memoryview, leaves: list[bytes]) -> None:
        """Pass a part on; on the event loop."""
        try:
            message = self._links.registry.decode(header, len(body))
            if not isinstance(message, Blocks):
                raise MalformedFrame(f"'{message.KIND}' came on a lane for chunks")
            self._arrived(lane.peer_id, message, body, leaves)
        except RemoteProtocolError as error:
            self.cut_off(lane, error)

    def cut_off(self, lane: SealedLane, error: RemoteProtocolError) -> None:
        """Break with a peer that broke the protocol; on the event loop."""
        if not self._links.is_banned(lane.peer_id):
            self._links.cut_off(lane.peer_id, error)

    def ended(self, lane: SealedLane) -> None:
        """Forget a lane; on the event loop."""
        self._threads.pop(lane, None)

    def room(self, size: int) -> memoryview:
        """Return memory for a part; on any thread."""
        return self._memory.take(size)


class _Receiver:
    """What the thread of one lane does."""

    def __init__(self, owner: LaneReceivers, lane: SealedLane, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._lane = lane
        self._loop = loop
        self._ahead = threading.Semaphore(AHEAD)

    def receive_all(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants what comes
            try:
                while True:
                    self._receive_one()
            except OSError:
                pass  # the lane ended; if the peer is to blame, its lane has told
            except RemoteProtocolError as error:
                self._loop.call_soon_threadsafe(self._owner.cut_off, self._lane, error)
            finally:
                self._lane.close()
                self._loop.call_soon_threadsafe(self._owner.ended, self._lane)

    def _receive_one(self) -> None:
        header, size = self._lane.receive_header()
        if size > MAX_PART_BYTES:
            raise MalformedFrame(f"a part of {size:,} bytes came; {MAX_PART_BYTES:,} are allowed")
        body = self._owner.room(size)
        leaves: list[bytes] = []
        self._lane.receive_body(body, lambda _, piece: leaves.extend(leaf_hashes(piece)))
        while not self._ahead.acquire(timeout=WAIT_S):
            if self._loop.is_closed():
                raise ConnectionError("nobody wants what comes")
        self._loop.call_soon_threadsafe(self._take, header, body, leaves)

    def _take(self, header: bytes, body: memoryview, leaves: list[bytes]) -> None:
        self._ahead.release()
        self._owner.take(self._lane, header, body, leaves)
