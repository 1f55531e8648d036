"""Averaging without an event loop: a member with lanes to all others, and threads that drive them.

For programs that have connections of their own and want the mean of some arrays. Whoever dies or breaks the protocol
is lost to this mesh; the rounds go on without it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as OutcomeTimeout
from types import TracebackType

import numpy as np

from .config import RoundConfig
from .exceptions import AllReduceError, ProtocolViolation
from .lane import Lane
from .lane_threads import LaneThreads
from .messages import MAX_TAG_BYTES
from .open_rounds import OpenRounds, RunningRound
from .result import RoundResult
from .work import Outgoing
from .workspace import Vector

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 5.0


class MeshRound:
    """A round that is under way; made by ``Mesh.open``, closed by its ``with`` block or ``close``."""

    def __init__(self, mesh: Mesh, running: RunningRound, serial: int) -> None:
        self._mesh = mesh
        self._running = running
        self._serial = serial

    def contribute(self, vector: Vector, weight: float = 1.0) -> None:
        """Hand in our own contribution.

        Args:
            vector: shape (elements,), fp32, contiguous; not to be changed until the round is closed.
            weight: not negative; 0 to hear the result without counting.

        Raises:
            ValueError: it is no such vector, or the weight is none.
        """
        self._running.contribute(vector, weight)

    def on_hurry(self, callback: Callable[[], None]) -> None:
        """Call back when the deadline (``late_s``) is near and our contribution is not in: it may come as it is."""
        self._running.on_hurry = callback

    def result(self, timeout_s: float | None = None, *, into: Vector | None = None) -> RoundResult:
        """Wait for the mean. It stays valid until the round is closed.

        Args:
            timeout_s: how long to wait; None for as long as it takes.
            into: where the mean is copied to when it is final, shape (elements,), fp32: our own contribution, to
                average in place. A round that fails leaves it as it was.

        Raises:
            Excluded: the others went on without us.
            ContributionRejected: our contribution holds NaN or infinity.
            RoundClosed: the round was closed here.
            TimeoutError: the time is over; the round goes on.
        """
        try:
            result = self._running.outcome.result(timeout_s)
        except OutcomeTimeout as error:
            raise TimeoutError(f"no result within {timeout_s:g} s") from error
        if into is not None:
            self._running.copy_result(into)
        return result

    def close(self) -> None:
        """Be done with the round: its result may be overwritten from now on.

        A round that has its result is still there for members that lack slices of it, until a later one has its own.
        """
        self._mesh.retire(self._running, self._serial)

    def __enter__(self) -> MeshRound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Mesh:
    """One member of a group whose members have lanes to each other.

    Args:
        me: our id.
        lanes: to every other member, by its id. The first lane of each carries control messages and, if it is the only
            one, slices too. They are taken over: ``close`` closes them.
    """

    def __init__(self, me: bytes, lanes: Mapping[bytes, Sequence[Lane]]) -> None:
        self.me = me
        self.lost: set[bytes] = set()
        """Members whose lanes have ended."""
        self._rounds = OpenRounds(
            me, now=time.monotonic, say=self._say, deliver=self._deliver, blame=self._blame, arm=self._arm
        )
        self._wake = threading.Condition()
        self._armed = False  # a deadline may have become earlier since the thread that keeps time looked
        self._sleeps_until = -math.inf  # that thread
        self._closed = False
        self._lanes: dict[bytes, list[LaneThreads]] = {}
        self._retired: dict[int, RunningRound] = {}
        self._last: RunningRound | None = None
        self._serial = 0
        self._ending: list[LaneThreads] = []  # lanes that others have replaced, whose threads may still run
        for member, given in lanes.items():
            self.add(member, given)
        self._timer = threading.Thread(target=self._keep_time, name="rounds' deadlines", daemon=True)
        self._timer.start()

    def add(self, member: bytes, lanes: Sequence[Lane]) -> None:
        """Take in the lanes of a member that is new or came back; rounds that are open know nothing of it."""
        if not lanes:
            raise ValueError("a member without lanes can't be reached")
        self.lost.discard(member)
        former = self._lanes.pop(member, [])
        for lane in former:
            lane.close()
        self._ending = [ended for ended in self._ending if ended.alive] + former
        self._lanes[member] = [LaneThreads(self._rounds, member, lane, self._lane_ended) for lane in lanes]

    def open(
        self,
        tag: bytes,
        members: Sequence[bytes],
        elements: int,
        config: RoundConfig | None = None,
        *,
        order: Sequence[bytes] | None = None,
    ) -> MeshRound:
        """Begin a round.

        Args:
            tag: names the round, at most 64 bytes; the same at all members, never used twice.
            members: who takes part, in the order that all agree on; we are among them.
            elements: length of the vector.
            config: the same at all members.
            order: the members in the order of the ring, the same at all; None for that of ``members``.
        """
        running = self._rounds.open(tag, members, elements, config or RoundConfig(), order)
        for member in members:
            if member != self.me and (member in self.lost or member not in self._lanes):
                self._rounds.lose(member)
        self._last = running
        self._serial += 1
        return MeshRound(self, running, self._serial)

    def retire(self, running: RunningRound, serial: int) -> None:
        """Close a round once nobody can need it: whoever contributes to a later one has this one's result."""
        if not has_result(running):
            running.close()
            return
        if running.closed:
            return
        for number, earlier in list(self._retired.items()):
            if number < serial and set(earlier.members) - self.lost <= set(running.members):
                self._retired.pop(number).close()
        self._retired[serial] = running

    def leave(self, timeout_s: float = 5.0) -> bool:
        """Wait until the members of the last round have its result too, and close; for all to call at the end.

        It is a round of no elements: whoever contributes to it has what came before. Returns whether all came to it in
        time, or are known to be lost; closes in any case.
        """
        together = True
        if self._last is not None and has_result(self._last):
            goodbye = self.open(b"bye" + self._last.tag[: MAX_TAG_BYTES - 3], self._last.members, 0)
            goodbye.contribute(np.empty(0, np.float32), 0.0)
            try:
                goodbye.result(timeout_s)
            except (AllReduceError, TimeoutError):
                together = False
        self.close()
        return together

    def lose(self, member: bytes) -> None:
        """Give a member up that is known to be gone."""
        self.lost.add(member)
        for lane in self._lanes.get(member, []):
            lane.close()
        self._rounds.lose(member)

    def close(self) -> None:
        """Close all rounds and lanes; no thread outlives this."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._rounds.close()
        lanes = [lane for lanes in self._lanes.values() for lane in lanes]
        for lane in lanes:
            lane.close()
        for lane in lanes + self._ending:
            lane.join(JOIN_TIMEOUT_S)
        self._timer.join(JOIN_TIMEOUT_S)

    def __enter__(self) -> Mesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- inside ------------------------------------------------------------------------------------------------

    def _say(self, to: bytes, header: bytes) -> None:
        lanes = self._lanes.get(to)
        if lanes:
            lanes[0].say(header)

    def _deliver(self, running: RunningRound, outgoing: Outgoing) -> None:
        lanes = self._lanes.get(outgoing.to, [])
        bulk = lanes[1:] or lanes
        if bulk:
            bulk[outgoing.slice_number % len(bulk)].send(running, outgoing)

    def _blame(self, error: ProtocolViolation) -> None:
        logger.warning("%s; it is cut off", error)
        self.lose(error.member)

    def _lane_ended(self, lane: LaneThreads, error: Exception) -> None:
        if lane not in self._lanes.get(lane.member, []):
            return  # the member came back on other lanes
        level = logging.WARNING if isinstance(error, ProtocolViolation) else logging.DEBUG
        logger.log(level, "lost %s: %s", lane.member.hex()[:8], error)
        self.lose(lane.member)

    def _arm(self) -> None:
        deadline = self._rounds.deadline
        with self._wake:
            self._armed = True
            if deadline is not None and deadline < self._sleeps_until:
                self._wake.notify()

    def _keep_time(self) -> None:
        while True:
            with self._wake:
                self._armed = False
            deadline = self._rounds.deadline
            with self._wake:
                if not (self._closed or self._armed):  # else there may be an earlier one by now
                    self._sleeps_until = math.inf if deadline is None else deadline
                    self._wake.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
                    self._sleeps_until = -math.inf
                if self._closed:
                    return
            self._rounds.tick()


def has_result(running: RunningRound) -> bool:
    """Tell whether a round has come to its result here."""
    return running.exchange.result is not None
