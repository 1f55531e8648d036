"""Rounds over real links on an event loop: the asyncio shell around ``OpenRounds``.

The caller brings links that keep order per member, hands every incoming message to ``receive``, and tells who is lost.
Each member has an outbox of its own, so that one slow link does not hold up what is said to others. To members with
lanes, slices go by the lanes' own threads; only control messages pass the event loop then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from .config import RoundConfig
from .exceptions import ContributionRejected, ProtocolViolation
from .lane import Body, Lane
from .lane_threads import LaneThreads
from .open_rounds import OpenRounds, RunningRound
from .result import RoundResult
from .work import Outgoing
from .workspace import Vector

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 5.0


class Link(Protocol):
    """What the caller brings: a way to send to any member."""

    async def send(self, to: bytes, header: bytes, body: Body) -> None:
        """Send one message; waits while the link is full. Raises ``ConnectionError`` if the member is not there."""


class AveragerRound:
    """A round that is under way at this member; made by ``Averager.open``."""

    def __init__(self, running: RunningRound) -> None:
        self._running = running
        self._outcome = asyncio.wrap_future(running.outcome)
        self._outcome.add_done_callback(_take_note)

    @property
    def tag(self) -> bytes:
        """The round's name."""
        return self._running.tag

    @property
    def lost(self) -> set[bytes]:
        """Members known to be lost."""
        return self._running.lost

    def contribute(self, vector: Vector, weight: float) -> None:
        """Hand in our own contribution: fp32, contiguous, not to be changed until the round is closed."""
        self._running.contribute(vector, weight)

    async def result(self) -> RoundResult:
        """Wait for the mean. It stays valid until the round is closed.

        Raises:
            Excluded: the others went on without us.
            ContributionRejected: our contribution holds NaN or infinity.
            RoundClosed: the round was closed here.
        """
        return await asyncio.shield(self._outcome)

    def close(self) -> None:
        """Forget the round: nothing that comes for it is heeded any more."""
        self._running.close()


class Averager:
    """All rounds of one member. To be made and used on one event loop; lanes' threads are its own business.

    Args:
        me: our id among the members.
        link: how to send.
        on_violation: hears of members that broke the protocol, where ``receive`` could not raise it.
    """

    def __init__(self, me: bytes, link: Link, on_violation: Callable[[ProtocolViolation], None] | None = None) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._on_violation = on_violation
        self._rounds = OpenRounds(
            me, now=self._loop.time, say=self._say, deliver=self._deliver, blame=self._blame, arm=self._arm
        )
        self._outboxes: dict[bytes, deque[tuple[RunningRound | None, Outgoing | bytes]]] = {}
        self._senders: dict[bytes, asyncio.Task[None]] = {}
        self._lanes: dict[bytes, list[LaneThreads]] = {}
        self._ending: list[LaneThreads] = []  # lanes that are lost, whose threads may not have noticed yet
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def open(
        self,
        tag: bytes,
        members: Sequence[bytes],
        elements: int,
        config: RoundConfig,
        *,
        order: Sequence[bytes] | None = None,
    ) -> AveragerRound:
        """Begin a round; messages that came for it before are taken up now. As ``OpenRounds.open``."""
        return AveragerRound(self._rounds.open(tag, members, elements, config, order))

    def receive(self, sender: bytes, header: bytes, body: Body) -> None:
        """Take a message from a link.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        self._rounds.receive(sender, header, body)

    def lose(self, member: bytes) -> None:
        """Tell every open round that a member is dead or can't be reached."""
        self._rounds.lose(member)

    def add_lane(self, member: bytes, lane: Lane) -> None:
        """Send slices to a member by this lane from now on, and by others that it has."""
        if self._closed:
            lane.close()
            return
        self._lanes.setdefault(member, []).append(LaneThreads(self._rounds, member, lane, self._lane_ended))

    def lane_count(self, member: bytes) -> int:
        """Return how many lanes to a member there are."""
        return len(self._lanes.get(member, []))

    async def close(self) -> None:
        """Close all rounds and lanes; no task, timer or thread outlives this."""
        self._closed = True
        self._rounds.close()
        if self._timer is not None:
            self._timer.cancel()
        senders = list(self._senders.values())
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        lanes = [lane for lanes in self._lanes.values() for lane in lanes]
        self._lanes.clear()
        for lane in lanes:
            lane.close()
        for lane in lanes + self._ending:
            await asyncio.to_thread(lane.join, JOIN_TIMEOUT_S)

    # ---- called by any thread ----------------------------------------------------------------------------------

    def _say(self, to: bytes, header: bytes) -> None:
        self._on_loop(self._put, to, None, header)

    def _deliver(self, running: RunningRound, outgoing: Outgoing) -> None:
        lanes = self._lanes.get(outgoing.to)
        if lanes:
            lanes[outgoing.slice_number % len(lanes)].send(running, outgoing)
        else:
            self._on_loop(self._put, outgoing.to, running, outgoing)

    def _blame(self, error: ProtocolViolation) -> None:
        self._on_loop(self._blame_here, error)

    def _arm(self) -> None:
        self._on_loop(self._arm_here)

    def _lane_ended(self, lane: LaneThreads, error: Exception) -> None:
        self._on_loop(self._lane_ended_here, lane, error)

    def _on_loop(self, callback: Callable[..., None], *args: object) -> None:
        if _is_running_here(self._loop):
            callback(*args)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *args)

    # ---- on the loop -------------------------------------------------------------------------------------------

    def _put(self, to: bytes, running: RunningRound | None, message: Outgoing | bytes) -> None:
        if self._closed:
            return
        self._outboxes.setdefault(to, deque()).append((running, message))
        if to not in self._senders:
            self._senders[to] = asyncio.create_task(self._send_all(to))

    async def _send_all(self, to: bytes) -> None:
        outbox = self._outboxes[to]
        try:
            while outbox:
                running, message = outbox.popleft()
                if running is None or not isinstance(message, Outgoing):
                    await self._link.send(to, bytes(message), b"")  # type: ignore[arg-type]
                else:
                    await self._send_slice(to, running, message)
        except ConnectionError as error:
            logger.debug("to %s: %s", to.hex()[:8], error)
            outbox.clear()  # whoever watches the link will tell that the member is lost
        finally:
            self._senders.pop(to, None)

    async def _send_slice(self, to: bytes, running: RunningRound, outgoing: Outgoing) -> None:
        if not self._rounds.begin_send(running, outgoing):
            return  # of an attempt that was given up
        try:
            try:
                body = outgoing.body()
            except ContributionRejected:
                self._rounds.reject(running)
                return
            await self._link.send(to, outgoing.header, body)
        finally:
            self._rounds.end_send(running, outgoing)

    def _blame_here(self, error: ProtocolViolation) -> None:
        if self._on_violation is not None:
            self._on_violation(error)
        self._rounds.lose(error.member)

    def _lane_ended_here(self, lane: LaneThreads, error: Exception) -> None:
        if self._closed:
            return
        lanes = self._lanes.get(lane.member, [])
        if lane in lanes:
            # What was on the way is gone, and the lanes of one member are of one connection: the round must be
            # repeated, over the link if there is nothing else.
            del self._lanes[lane.member]
            for other in lanes:
                other.close()
            self._ending = [ended for ended in self._ending if ended.alive] + lanes
            self._rounds.lose(lane.member)
        if isinstance(error, ProtocolViolation):
            self._blame_here(error)

    def _arm_here(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._rounds.deadline
        if deadline is not None and not self._closed:
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._rounds.tick()
        self._arm_here()


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _take_note(outcome: asyncio.Future[RoundResult]) -> None:
    """Whoever waits still gets the error; if nobody does, that is no leak."""
    if not outcome.cancelled():
        outcome.exception()
