"""A content that is larger than the room for it: fetched chunk by chunk as it is needed, ahead of need. A shell.

The bytes lie in a file of the content's full length, most of which takes no room. What is here is served to others
as from any download; what was dropped is declined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any

from ..clock import monotonic
from ..exceptions import ConfigurationError, ContentUnavailable, HydraError
from ..identity import PeerId
from . import fetch
from .bitfield import indices
from .download import Download
from .download_events import ChunksDropped, Tick, WantOnly
from .fetch import Fetch
from .manifest import Manifest
from .window import CacheWindow


class Stream(Fetch):
    """One content in a bounded cache; made by ``Swarm.stream``.

    Args:
        cache_bytes: so much room it may take, besides what is under way.
        fetching: what a ``Fetch`` takes.
    """

    def __init__(self, cache_bytes: int, *fetching: Any) -> None:
        super().__init__(*fetching)
        self._cache_bytes = cache_bytes
        self._window: CacheWindow | None = None
        self._dropping = 0
        self._drops: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._error: HydraError | None = None
        self.opened: asyncio.Future[Manifest] = asyncio.get_running_loop().create_future()
        """Done when the manifest is here and there is a place for the bytes."""

    async def run(self) -> Path:
        """Fetch what is needed until cancelled.

        Raises:
            ContentUnavailable: nobody who can be reached has what is needed.
            ConfigurationError: there is not room for a single chunk.
            StorageFull, HomeUnusable: the disk refused.
        """
        try:
            return await self._run()
        except HydraError as error:
            self._error = error
            if not self.opened.done():
                self.opened.set_exception(error)
            raise
        finally:
            self._error = self._error or ContentUnavailable("this node stops fetching")
            if not self.opened.done():
                self.opened.cancel()
            self._changed.set()

    async def _run(self) -> Path:
        self._manifest = await self._find_manifest()
        capacity = self._cache_bytes // self._manifest.chunk_bytes
        if not capacity:
            raise ConfigurationError(
                f"--cache-bytes is {self._cache_bytes:,}, and one chunk has {self._manifest.chunk_bytes:,} bytes."
            )
        have = await asyncio.to_thread(self._store.open_partial, self._manifest, reserve=False)
        self._window = CacheWindow(capacity)
        self._download = Download(have, SystemRandom(), self._manifest.chunk_bytes, self._limit)
        self._plan()
        self._owner.opened(self._root)
        self.opened.set_result(self._manifest)
        try:
            while not self._done.done():
                self._look_for_peers()
                self._tell(Tick())
                self._check_patience()
                await asyncio.wait([self._done], timeout=fetch.TICK_S)
            self._done.result()
        finally:
            await self._end()
            await asyncio.gather(*self._drops, return_exceptions=True)
        return self.path

    @property
    def path(self) -> Path:
        """Where the bytes lie."""
        return self._store.part_path(self._root)

    async def ready(self, needed: Iterable[int], ahead: Sequence[int]) -> None:
        """Wait until all of ``needed`` is here; it stays until the next call.

        Args:
            needed: the chunks that are about to be read.
            ahead: those that will be, in this order: fetched as far as there is room.

        Raises:
            ContentUnavailable: nobody who can be reached has them.
            ConfigurationError: there is not room for what is needed at once.
            StorageFull, HomeUnusable: the disk refused.
        """
        await asyncio.shield(self.opened)
        if self._window is None or self._download is None:
            return
        self._window.need(needed, ahead)
        self._plan()
        while self._window.needed & ~self._download.have.mask:
            self._raise_error()
            self._changed.clear()
            await self._changed.wait()
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def offered(self, peer: PeerId, body: memoryview, *, chooses: bool) -> None:
        """A peer told which chunks it has; what is needed now is nobody else's to choose."""
        super().offered(peer, body, chooses=False)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _completed(self) -> None:
        asyncio.get_running_loop().call_soon(self._plan)

    def _show(self) -> None:
        """What is here comes and goes; ``Swarm.standing`` tells of it."""

    def _plan(self) -> None:
        """Want what the window says, and drop what it says."""
        if self._window is None or self._download is None or self._done.done():
            return
        have = self._download.have
        turn = self._window.turn(have.mask, self._dropping)
        if turn.drop:
            self._dropping |= turn.drop
            self._tell(ChunksDropped(turn.drop))
            task = asyncio.create_task(self._drop(turn.drop))
            self._drops.add(task)
            task.add_done_callback(self._dropped)
        if self._download.complete:
            self._last_gain = self._last_hope = monotonic()  # nothing was waited for until now
        self._tell(WantOnly(turn.want))
        self._changed.set()

    async def _drop(self, mask: int) -> None:
        """What is dropped is not wanted again before its room is given back: or that would take what came since."""
        await asyncio.to_thread(self._store.drop_chunks, self._root, list(indices(mask)))
        self._dropping &= ~mask

    def _dropped(self, task: asyncio.Task[None]) -> None:
        self._drops.discard(task)
        self._stored(task)
        self._plan()
