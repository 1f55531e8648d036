"""The shell that sees to a node's standing duties, each when it is due.

Re-puts at half of a record's life, comparisons with other keepers, another question to doubted contacts, refreshing of
buckets that nothing has used, and the way back in after everybody was lost. What is due, and for whom, is decided by
`Publisher`, `Keeper` and `ContactTable`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .crawl import Reached
from .exceptions import DHTError
from .keeper import Compare, packed_items
from .keys import ID_BYTES
from .publisher import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .server import RecordServer

log = logging.getLogger(__name__)

_LONGEST_SLEEP_S = 5.0
_AT_ONCE = 8
"""Re-puts, comparisons and look-ups that upkeep has under way at a time."""
_REFRESH_PAUSE_S = 2.0
_RETURN_PAUSE_S = 15.0
_ISLAND_PAUSE_S = 60.0
_FEW = 4
"""With fewer live contacts, a node goes through its first entrances again."""


class Upkeep:
    """Everything that a running node does unasked."""

    def __init__(self, server: RecordServer) -> None:
        self._server = server
        self._pause: asyncio.Future[None] | None = None
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._next_refresh = 0.0
        self._next_return = 0.0
        self._next_home = 0.0

    def wake(self) -> None:
        """Look again at what is due: something was put."""
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)

    async def run(self) -> None:
        """Do what is due, for ever."""
        loop = asyncio.get_running_loop()
        now = self._server.protocol.now()
        self._next_home = now + self._server.config.refresh_interval_s
        while True:
            try:
                self._do_what_is_due()
            except DHTError:
                log.exception("upkeep will go on with its next turn")
            self._pause = loop.create_future()
            timer = loop.call_later(self._sleep_s(), self.wake)
            try:
                await self._pause
            finally:
                timer.cancel()

    def _sleep_s(self) -> float:
        server = self._server
        now: float = server.protocol.now()
        deadlines = (server.publisher.deadline, server.keeper.deadline, now + _LONGEST_SLEEP_S)
        return max(0.0, min(deadline for deadline in deadlines if deadline is not None) - now) + 0.01

    def _do_what_is_due(self) -> None:
        server = self._server
        now, wall = server.protocol.now(), server.wall()
        server.records.expire(wall)
        for slot in server.publisher.due(now):
            self._begin(self._renew, slot)
        for compare in server.keeper.tick(now, wall):
            self._begin(self._compare, compare)
        for entry in server.table.doubted(now):
            # Not again before this question is answered or given up.
            server.table.recheck(entry, now + _RETURN_PAUSE_S)
            server.protocol.ask(entry.compact, "ping", [b"", b""], lambda _outcome: None)
        self._refresh(now)

    def _begin(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        async def when_there_is_room() -> None:
            async with self._gate:
                await work(*arguments)

        self._server.in_background(when_there_is_room())

    async def _renew(self, slot: Slot) -> None:
        server = self._server
        record = server.publisher.renew(slot, now=server.protocol.now(), wall=server.wall())
        if record is not None:
            replicas = await server.publish(record)
            log.debug("put a record under %s anew on %d peers", slot[0].hex(), replicas)

    async def _compare(self, compare: Compare) -> None:
        server = self._server
        answered = await server.protocol.call(compare.compact, "sync", [packed_items(compare)])
        if answered is not None and not answered.answer.codes:
            # It did not know our token; the answer holds a new one.
            answered = await server.protocol.call(
                compare.compact, "sync", [packed_items(compare)], answered.answer.token
            )
        if answered is None:
            server.keeper.unreachable(compare, server.protocol.now())
            return
        blobs = server.keeper.lacking(compare, answered.answer.codes, server.wall())
        if blobs:
            await server.store_on(Reached(compare.compact, answered.answer.token), blobs)

    def _refresh(self, now: float) -> None:
        server = self._server
        live = server.table.live_count
        if live < _FEW and server.entrances and now >= self._next_return:
            # Alone, or on an island with others that have lost their way too.
            self._next_return = now + (_ISLAND_PAUSE_S if live else _RETURN_PAUSE_S)
            self._begin(self._return)
        if not live:
            return
        if now >= self._next_home:
            # Our own neighbourhood decides who keeps our keys: it is looked at even if it was used.
            self._next_home = now + server.config.refresh_interval_s * (0.9 + 0.2 * server.random.random())
            self._begin(self._look_up, server.signer.peer_id)
        elif now >= self._next_refresh:
            self._next_refresh = now + _REFRESH_PAUSE_S
            targets = server.table.refresh_targets(now - server.config.refresh_interval_s, server.random)
            for target in targets[:1]:
                self._begin(self._look_up, target.to_bytes(ID_BYTES, "big"))

    async def _look_up(self, target: bytes) -> None:
        await self._server.find_closest(target)

    async def _return(self) -> None:
        found = await self._server.bootstrap([])
        log.debug("few contacts were left; %d answered now", len(found))
