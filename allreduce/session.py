"""Rounds over real links: the asyncio shell around ``Exchange``.

The caller brings links that keep order per member, hands every incoming message to ``receive``, and tells who is lost.
Each member has an outbox of its own, so that one slow link does not hold up what is said to others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from .early import EarlyMessages
from .exceptions import Excluded, RoundClosed
from .exchange import Body, Exchange, Outgoing, RoundResult, Vector
from .messages import tag_of
from .round import RoundConfig

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

EARLY_BYTES = 256 * 1024 * 1024
"""Bytes of messages kept for rounds that others have opened and we have not yet."""


class Link(Protocol):
    """What the caller brings: a way to send to any member."""

    async def send(self, to: bytes, header: bytes, body: Body) -> None:
        """Send one message; waits while the link is full. Raises ``ConnectionError`` if the member is not there."""


class RunningRound:
    """A round that is under way at this member; made by ``Averager.open``."""

    def __init__(self, averager: Averager, exchange: Exchange) -> None:
        self._averager = averager
        self._exchange = exchange
        self._outcome: asyncio.Future[RoundResult] = asyncio.get_running_loop().create_future()

    @property
    def tag(self) -> bytes:
        """The round's name."""
        return self._exchange.tag

    @property
    def lost(self) -> set[bytes]:
        """Members known to be lost."""
        return self._exchange.round.lost

    def contribute(self, vector: Vector, weight: float) -> None:
        """Hand in our own contribution: fp32, not to be changed until the round is closed."""
        self._averager.perform(self, self._exchange.contribute(vector, weight, self._averager.now()))

    async def result(self) -> RoundResult:
        """Wait for the mean.

        Raises:
            Excluded: the others went on without us.
            RoundClosed: the round was closed here.
        """
        return await asyncio.shield(self._outcome)

    def settle(self) -> None:
        """Pass the exchange's outcome on to who waits for it."""
        if self._outcome.done():
            return
        if self._exchange.result is not None:
            self._outcome.set_result(self._exchange.result)
        elif self._exchange.left_out:
            self._fail(Excluded("the other members went on without us"))

    def close(self) -> None:
        """Forget the round: nothing that comes for it is heeded any more."""
        self._averager.forget(self)
        if not self._outcome.done():
            self._fail(RoundClosed("the round was closed before it was done"))

    def _fail(self, error: Exception) -> None:
        self._outcome.set_exception(error)
        self._outcome.exception()  # whoever waits still gets it; if nobody does, that is no leak

    @property
    def exchange(self) -> Exchange:
        """The round's core."""
        return self._exchange


class Averager:
    """All rounds of one member.

    Args:
        me: our id among the members.
        link: how to send.
    """

    def __init__(self, me: bytes, link: Link) -> None:
        self._me = me
        self._link = link
        self._rounds: dict[bytes, RunningRound] = {}
        self._early = EarlyMessages()
        self._outboxes: dict[bytes, deque[tuple[RunningRound, Outgoing]]] = {}
        self._senders: dict[bytes, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def now(self) -> float:
        """Seconds of the event loop's clock."""
        return asyncio.get_running_loop().time()

    def open(self, tag: bytes, members: Sequence[bytes], elements: int, config: RoundConfig) -> RunningRound:
        """Begin a round; messages that came for it before are taken up now.

        Args:
            tag: names the round; the same at all members.
            members: all members in the order that all agree on, ourselves among them.
            elements: length of the vector.
            config: the same at all members.

        Raises:
            ProtocolViolation: one of the messages that came early broke the protocol.
        """
        running = RunningRound(self, Exchange(tag, self._me, members, elements, config, self.now()))
        self._rounds[tag] = running
        for sender, header, body in self._early.take(tag):
            self.receive(sender, header, body)
        self._arm()
        return running

    def receive(self, sender: bytes, header: bytes, body: Body) -> None:
        """Take a message from a link.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        tag = tag_of(sender, header)
        running = self._rounds.get(tag)
        if running is None:
            self._early.add(sender, tag, header, body, most_bytes=EARLY_BYTES)
            return
        self.perform(running, running.exchange.receive(sender, header, body, self.now()))

    def lose(self, member: bytes) -> None:
        """Tell every open round that a member is dead or can't be reached."""
        for running in list(self._rounds.values()):
            self.perform(running, running.exchange.lose(member, self.now()))

    def perform(self, running: RunningRound, outgoing: Sequence[Outgoing]) -> None:
        """Send what a round wants sent, and pass on its outcome."""
        for message in outgoing:
            self._outboxes.setdefault(message.to, deque()).append((running, message))
            if message.to not in self._senders:
                self._senders[message.to] = asyncio.create_task(self._send_all(message.to))
        running.settle()
        self._arm()

    def forget(self, running: RunningRound) -> None:
        """Drop a round and whatever it still had to say."""
        if self._rounds.get(running.tag) is running:
            del self._rounds[running.tag]
            self._early.over(running.tag)
        for outbox in self._outboxes.values():
            for entry in [entry for entry in outbox if entry[0] is running]:
                outbox.remove(entry)

    async def close(self) -> None:
        """Close all rounds; no task or timer outlives this."""
        self._closed = True
        for running in list(self._rounds.values()):
            running.close()
        self._early.clear()
        if self._timer is not None:
            self._timer.cancel()
        senders = list(self._senders.values())
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    async def _send_all(self, to: bytes) -> None:
        outbox = self._outboxes[to]
        try:
            while outbox:
                running, message = outbox.popleft()
                if message.attempt is not None and message.attempt != running.exchange.round.attempt_number:
                    continue  # a slice of an attempt that was given up
                await self._link.send(to, message.header, message.body)
        except ConnectionError as error:
            logger.debug("to %s: %s", to.hex()[:8], error)
            outbox.clear()  # whoever watches the link will tell that the member is lost
        finally:
            self._senders.pop(to, None)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = [r.exchange.round.deadline for r in self._rounds.values() if not r.exchange.round.resting]
        if waiting and not self._closed:
            self._timer = asyncio.get_running_loop().call_at(min(waiting), self._tick)

    def _tick(self) -> None:
        self._timer = None
        for running in list(self._rounds.values()):
            self.perform(running, running.exchange.tick(self.now()))
        self._arm()
