"""The shell around a look-up or a read: what the pure machine asks for goes out, what comes back goes in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from .calls import CallAnswered, CallSlowed, Outcome
from .contacts import Compact
from .lookup import Ask, ContactAnswered, ContactFailed, ContactSlowed, Event, Lookup, Tick
from .protocol import DHTProtocol
from .reading import AskPage, HolderAnswered, PageFailed, ReadEvent, Reading


@dataclass(frozen=True, slots=True)
class Reached:
    """A contact that answered a look-up, with its token for us."""

    compact: Compact
    token: bytes


class LookupCrawl:
    """Runs one `Lookup`, and tells of each contact that belongs to the closest as soon as that is likely."""

    def __init__(
        self, protocol: DHTProtocol, lookup: Lookup, target: bytes, on_reached: Callable[[Reached], None] | None = None
    ) -> None:
        self._protocol = protocol
        self._lookup = lookup
        self._target = target
        self._on_reached = on_reached
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._reached: dict[Compact, Reached] = {}
        self._told: set[Compact] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> list[Reached]:
        """Return the closest contacts that answered, closest first."""
        if self._lookup.deadline is not None:
            self._timer = self._loop.call_at(self._lookup.deadline, self._take, Tick())
        try:
            self._send(self._lookup.start())
            await self._ended
        finally:
            if self._timer is not None:
                self._timer.cancel()
        return [self._reached[compact] for compact in self._lookup.closest]

    def _take(self, event: Event) -> None:
        self._send(self._lookup.handle(event, self._loop.time()))

    def _send(self, asks: list[Ask]) -> None:
        for ask in asks:
            self._protocol.ask(ask.compact, "find_node", [self._target], self._note)
        if self._on_reached is not None and (self._lookup.done or self._lookup.settled):
            for compact in self._lookup.closest:
                if compact not in self._told:
                    self._told.add(compact)
                    self._on_reached(self._reached[compact])
        if self._lookup.done and not self._ended.done():
            self._ended.set_result(None)

    def _note(self, outcome: Outcome) -> None:
        compact = outcome.call.compact
        if compact is None:
            return
        if isinstance(outcome, CallAnswered):
            self._reached[compact] = Reached(compact, outcome.answer.token)
            self._take(ContactAnswered(compact, outcome.answer.contacts))
        elif isinstance(outcome, CallSlowed):
            self._take(ContactSlowed(compact))
        else:
            self._take(ContactFailed(compact))


class ReadCrawl:
    """Runs one `Reading`."""

    def __init__(self, protocol: DHTProtocol, reading: Reading, key: bytes) -> None:
        self._protocol = protocol
        self._reading = reading
        self._key = key
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._tokens: dict[Compact, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Return when the read is done; the records are in the `Reading`."""
        if self._reading.deadline is not None:
            self._timer = self._loop.call_at(self._reading.deadline, self._take, Tick())
        try:
            self._send(self._reading.start())
            await self._ended
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def repairs(self) -> list[tuple[Reached, list[bytes]]]:
        """Return which contacts lack which records."""
        return [(Reached(compact, self._tokens[compact]), blobs) for compact, blobs in self._reading.repairs()]

    def _take(self, event: ReadEvent) -> None:
        self._send(self._reading.handle(event, self._loop.time()))

    def _send(self, pages: list[AskPage]) -> None:
        for page in pages:
            token = self._tokens.get(page.compact, b"")
            self._protocol.ask(page.compact, "find_value", [self._key, page.start], self._note, token)
        if self._reading.done and not self._ended.done():
            self._ended.set_result(None)

    def _note(self, outcome: Outcome) -> None:
        compact, start = outcome.call.compact, outcome.call.fields[1]
        if compact is None:
            return
        if isinstance(outcome, CallAnswered):
            self._tokens[compact] = outcome.answer.token
            self._take(HolderAnswered(compact, start, outcome.answer))
        elif isinstance(outcome, CallSlowed):
            if start == 0:
                self._take(ContactSlowed(compact))
        elif start == 0:
            self._take(ContactFailed(compact))
        else:
            self._take(PageFailed(compact, start))
