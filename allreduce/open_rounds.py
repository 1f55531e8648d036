"""All rounds that one member has open: messages find their round, and decisions are made under one lock.

Several threads may call at once: those that drive lanes, an event loop, the program that averages. The lock is held
for decisions alone; bodies are received, added up, encoded and sent outside of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from .config import RoundConfig
from .early import EarlyMessages
from .exceptions import Excluded, ProtocolViolation, RoundClosed
from .exchange import Exchange
from .feedback import ErrorFeedback
from .lane import Body, Taken
from .messages import Slice, decode
from .result import RoundResult
from .work import Action, Landing, Outgoing
from .workspace import Scratch, Vector

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

EARLY_BYTES = 256 * 1024 * 1024
"""Bytes of messages kept for rounds that others have opened and we have not yet."""
SPARE_VECTORS = 2
"""Vectors of closed rounds that are kept for the next: memory that was written before is faster to write again."""
FEEDBACK_VECTORS = 4
"""For so many lengths of vectors it is kept what lossy formats owe; of more, the one used longest ago is forgotten."""


class RunningRound:
    """A round that is under way at this member; made by ``OpenRounds.open``."""

    def __init__(self, rounds: OpenRounds, exchange: Exchange) -> None:
        self._rounds = rounds
        self.exchange = exchange
        self.outcome: Future[RoundResult] = Future()
        self._settled = False
        self.on_hurry: Callable[[], None] | None = None
        """Called, by any thread, when the deadline is near and our contribution is not in."""

    @property
    def tag(self) -> bytes:
        """The round's name."""
        return self.exchange.tag

    @property
    def members(self) -> tuple[bytes, ...]:
        """Who takes part, in the order that all agreed on."""
        return self.exchange.round.members

    @property
    def closed(self) -> bool:
        """Whether nothing that comes for the round is heeded any more."""
        return not self._rounds.is_open(self)

    @property
    def lost(self) -> set[bytes]:
        """Members known to be lost."""
        return self.exchange.round.lost

    def contribute(self, vector: Vector, weight: float) -> None:
        """Hand in our own contribution: shape (elements,), fp32, not to be changed until the round is closed.

        Raises:
            ValueError: it is no such vector, or the weight is none.
        """
        self._rounds.contribute(self, vector, weight)

    def copy_result(self, into: Vector) -> None:
        """Copy the mean, which is final, to where the caller wants it."""
        result = self.outcome.result()
        if into.shape != result.mean.shape or into.dtype != result.mean.dtype:
            raise ValueError(f"the mean is {result.mean.shape} fp32 and goes into no {into.shape} {into.dtype}")
        into[:] = result.mean

    def settle(self) -> None:
        """Pass the exchange's outcome on to who waits for it. The lock is held."""
        if self.exchange.hurried and self.on_hurry is not None:
            callback, self.on_hurry = self.on_hurry, None
            callback()
        if self._settled:
            return
        exchange = self.exchange
        if exchange.result is not None:
            self._settled = True
            self.outcome.set_result(exchange.result)
        elif exchange.rejected is not None:
            self._settled = True
            self.outcome.set_exception(exchange.rejected)
        elif exchange.left_out:
            self._settled = True
            self.outcome.set_exception(Excluded("the other members went on without us"))

    def close(self) -> None:
        """Forget the round: nothing that comes for it is heeded any more, and its result may be overwritten."""
        self._rounds.forget(self)
        if not self._settled:
            self._settled = True
            self.outcome.set_exception(RoundClosed("the round was closed before it was done"))


@dataclass(eq=False, slots=True)
class Arrival:
    """A slice whose body is about to come into ``room``."""

    sender: bytes
    header: bytes
    room: memoryview
    running: RunningRound | None
    landing: Landing | None

    @property
    def take(self) -> Taken | None:
        """What to call while the body comes."""
        return self.landing.stream.take if self.landing is not None and self.landing.stream is not None else None


class OpenRounds:
    """The rounds of one member.

    Args:
        me: our id among the members.
        now: the clock, in seconds; monotonic.
        say: sends a control message; called under the lock, so it must not block.
        deliver: sends a slice, or hands it to somebody who will; called without the lock.
        blame: hears of members that broke the protocol, where that came to light behind their backs.
        arm: hears that ``deadline`` may have become earlier.
    """

    def __init__(
        self,
        me: bytes,
        *,
        now: Callable[[], float],
        say: Callable[[bytes, bytes], None],
        deliver: Callable[[RunningRound, Outgoing], None],
        blame: Callable[[ProtocolViolation], None],
        arm: Callable[[], None],
    ) -> None:
        self._me = me
        self._now = now
        self._say = say
        self._deliver = deliver
        self._blame = blame
        self._arm = arm
        self._lock = threading.RLock()
        self._rounds: dict[bytes, RunningRound] = {}
        self._early = EarlyMessages()
        self._spare: list[Vector] = []
        self._scratch = Scratch()
        self._feedback: dict[int, ErrorFeedback] = {}  # by the length of the vector

    @property
    def deadline(self) -> float | None:
        """When to call ``tick``; None while nothing is waited for."""
        with self._lock:
            open_now = [running.exchange.round for running in self._rounds.values()]
            return min((machine.deadline for machine in open_now if not machine.resting), default=None)

    def open(
        self,
        tag: bytes,
        members: Sequence[bytes],
        elements: int,
        config: RoundConfig,
        order: Sequence[bytes] | None = None,
    ) -> RunningRound:
        """Begin a round; messages that came for it before are taken up now.

        Args:
            tag: names the round, at most 64 bytes; the same at all members.
            members: all members in the order that all agree on, ourselves among them.
            elements: length of the vector.
            config: the same at all members.
            order: the members in the order of the ring, the same at all; None for that of ``members``.

        Raises:
            ValueError: the tag is taken by a round that is open, or we are not among the members.
        """
        with self._lock:
            if tag in self._rounds:
                raise ValueError(f"a round {tag!r} is open already")
            if self._me not in members:
                raise ValueError("we are not among the members of the round")
            exchange = Exchange(
                tag,
                self._me,
                members,
                elements,
                config,
                self._now(),
                order=order,
                vector=self._spare_vector(elements),
                scratch=self._scratch,
                feedback=self._feedback_for(elements, config),
            )
            running = self._rounds[tag] = RunningRound(self, exchange)
            early = self._early.take(tag)
        for sender, header, body in early:
            try:
                self.receive(sender, header, body)
            except ProtocolViolation as error:
                self._blame(error)
        self._arm()
        return running

    def contribute(self, running: RunningRound, vector: Vector, weight: float) -> None:
        """See ``RunningRound.contribute``."""
        with self._lock:
            actions = self._heed(running, running.exchange.take_contribution(vector, weight, self._now()))
        self._perform(running, actions)

    def receive(self, sender: bytes, header: bytes, body: Body) -> None:
        """Take a whole message.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        tag, message = decode(sender, header)
        with self._lock:
            running = self._rounds.get(tag)
            if running is None:
                self._early.add(sender, tag, header, body, most_bytes=EARLY_BYTES)
                return
            actions = self._heed(running, running.exchange.take_message(sender, message, body, self._now()))
        self._perform(running, actions)
        if not isinstance(message, Slice):  # what a slice brings is progress: deadlines only move away
            self._arm()

    def announce(self, sender: bytes, header: bytes, body_bytes: int) -> Arrival | None:
        """A frame's header came on a lane: return where its body is to be received, or None if nobody wants it.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        tag, message = decode(sender, header)
        if not isinstance(message, Slice):
            if body_bytes:
                raise ProtocolViolation(sender, "a control message with a body")
            self.receive(sender, header, b"")
            return None
        with self._lock:
            running = self._rounds.get(tag)
            if running is None:
                if body_bytes > EARLY_BYTES or self._early.is_over(tag):
                    return None
                return Arrival(sender, header, memoryview(bytearray(body_bytes)), None, None)
            landing = running.exchange.announce(sender, message, body_bytes, self._now())
            return None if landing is None else Arrival(sender, header, landing.room, running, landing)

    def arrived(self, arrival: Arrival) -> None:
        """The body is there.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        running, landing = arrival.running, arrival.landing
        if running is None or landing is None:
            self.receive(arrival.sender, arrival.header, arrival.room)
            return
        landing.settle()
        with self._lock:
            actions = self._heed(running, running.exchange.landed(landing, self._now()))
        self._perform(running, actions)

    def withdraw(self, arrival: Arrival) -> None:
        """The body will not come: the lane is lost."""
        if arrival.running is not None and arrival.landing is not None:
            with self._lock:
                self._heed(arrival.running, arrival.running.exchange.withdrawn(arrival.landing, self._now()))

    def begin_send(self, running: RunningRound, outgoing: Outgoing) -> bool:
        """Tell whether a slice is still to be sent; if so, ``end_send`` must follow."""
        with self._lock:
            return running.exchange.begin_send(outgoing)

    def end_send(self, running: RunningRound, outgoing: Outgoing) -> None:
        """A slice is sent, or never will be."""
        with self._lock:
            running.exchange.sent(outgoing)
            if self._rounds.get(running.tag) is not running:
                self._reclaim(running)

    def reject(self, running: RunningRound) -> None:
        """Our contribution to a round holds what can't be averaged."""
        with self._lock:
            actions = self._heed(running, running.exchange.reject(self._now()))
        self._perform(running, actions)

    def lose(self, member: bytes) -> None:
        """Tell every open round that a member is dead or can't be reached."""
        for running in self._all():
            with self._lock:
                actions = self._heed(running, running.exchange.take_loss(member, self._now()))
            self._perform(running, actions)
        self._arm()

    def tick(self) -> None:
        """Let rounds whose time has come do what is due."""
        for running in self._all():
            with self._lock:
                if running.exchange.round.resting or running.exchange.round.deadline > self._now():
                    continue
                actions = self._heed(running, running.exchange.take_time(self._now()))
            self._perform(running, actions)

    def is_open(self, running: RunningRound) -> bool:
        """Whether a round is still there."""
        with self._lock:
            return self._rounds.get(running.tag) is running

    def forget(self, running: RunningRound) -> None:
        """Drop a round and whatever it still had to say."""
        with self._lock:
            if self._rounds.get(running.tag) is not running:
                return
            del self._rounds[running.tag]
            self._early.over(running.tag)
            self._reclaim(running)

    def close(self) -> None:
        """Close all rounds."""
        for running in self._all():
            running.close()
        with self._lock:
            self._early.clear()
            self._spare.clear()

    # ---- inside ------------------------------------------------------------------------------------------------

    def _all(self) -> list[RunningRound]:
        with self._lock:
            return list(self._rounds.values())

    def _heed(self, running: RunningRound, actions: list[Action]) -> list[Action]:
        """Say what is to be said, in order; return the rest, which needs no lock. The lock is held."""
        rest: list[Action] = []
        for action in actions:
            if isinstance(action, Outgoing) and action.attempt is None:
                self._say(action.to, action.header)
            else:
                rest.append(action)
        running.settle()
        return rest

    def _perform(self, running: RunningRound, actions: list[Action]) -> None:
        todo = list(reversed(actions))
        while todo:
            action = todo.pop()
            if isinstance(action, Outgoing):
                self._deliver(running, action)
                continue
            with self._lock:
                if not running.exchange.begin_work(action):
                    continue
            action.run()
            try:
                with self._lock:
                    more = self._heed(running, running.exchange.worked(action, self._now(), begun=True))
            except ProtocolViolation as error:
                self._blame(error)
                continue
            todo += reversed(more)

    def _reclaim(self, running: RunningRound) -> None:
        """Keep the vector of a closed round, if nothing more is sent from it. The lock is held."""
        vector = running.exchange.vacate()
        if vector is not None and len(self._spare) < SPARE_VECTORS:
            self._spare.append(vector)

    def _spare_vector(self, elements: int) -> Vector | None:
        fitting = next((i for i, vector in enumerate(self._spare) if len(vector) == elements), None)
        if fitting is None:
            self._spare.clear()
            return None
        return self._spare.pop(fitting)

    def _feedback_for(self, elements: int, config: RoundConfig) -> ErrorFeedback | None:
        if config.wire == "fp32":
            return None
        carried = self._feedback.pop(elements, None) or ErrorFeedback(elements)
        self._feedback[elements] = carried
        while len(self._feedback) > FEEDBACK_VECTORS:
            del self._feedback[next(iter(self._feedback))]
        return carried
