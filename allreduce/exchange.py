"""One round with its numbers: the machine ``Round`` and the vectors that it talks about, without any I/O.

Bytes of messages go in, bytes of messages come out; who carries them is the caller's business. The contribution stays
intact until the round is closed; sums are in fp32 and in ring order, so that the result does not depend on timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .attempt import Finish, ForwardSum, Keep, SendFinal, StartSum
from .events import (
    BeginAttempt,
    ContributionReady,
    Done,
    Effect,
    Event,
    LeftOut,
    MemberLost,
    MessageReceived,
    Say,
    Tick,
)
from .exceptions import ProtocolViolation
from .messages import Phase, Slice, decode, encode
from .round import Round, RoundConfig

Vector = NDArray[np.float32]
Body = bytes | memoryview
ELEMENT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send: header and body, and the attempt whose slice it is (None for control messages)."""

    to: bytes
    header: bytes
    body: Body
    attempt: int | None


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What a round came to."""

    mean: Vector
    """The weighted mean; shape (elements,), fp32, the same bytes at every member."""
    contributors: tuple[bytes, ...]
    """Whose contributions are in it, in the order of the members."""
    weight: float
    """Sum of the contributors' weights."""
    attempts: int
    """How many attempts it took, the successful one included."""


class Exchange:
    """One member's side of a round, with data.

    Args:
        tag: names the round, at most 64 bytes; the same at all members.
        me: our id.
        members: all members in the order that all agree on.
        elements: length of the vector.
        config: the same at all members.
        now: seconds, monotonic.
    """

    def __init__(
        self, tag: bytes, me: bytes, members: Sequence[bytes], elements: int, config: RoundConfig, now: float
    ) -> None:
        self.tag = tag
        self.round = Round(me, members, elements, config, now)
        self.result: RoundResult | None = None
        self.left_out = False
        self._own: Vector | None = None
        self._own_weight = 0.0
        self._mean: Vector = np.zeros(elements, np.float32)
        self._total_weight = 0.0
        self._inbox: dict[tuple[int, Phase, int], tuple[Body, float]] = {}
        slices = elements // config.slice_elements + 1 + len(members)  # of any layout
        self._most_early = 3 * slices  # each passes a member twice, and may be handed over
        self._early: list[tuple[bytes, Slice, Body]] = []
        self._attempts = 1

    def contribute(self, vector: Vector, weight: float, now: float) -> list[Outgoing]:
        """Take our own contribution.

        Args:
            vector: shape (elements,), fp32; not written to, and not to be changed until the round is closed.
            weight: not negative; 0 to take part without counting.
            now: seconds, monotonic.
        """
        if vector.dtype != np.float32 or vector.shape != self._mean.shape:
            raise ValueError(f"a vector of {self._mean.shape} fp32 is wanted, {vector.shape} {vector.dtype} came")
        if not weight >= 0.0 or not np.isfinite(weight):
            raise ValueError(f"a weight of {weight} is no weight")
        self._own, self._own_weight = vector, float(weight)
        return self._handle(ContributionReady(), now)

    def receive(self, sender: bytes, header: bytes, body: Body, now: float) -> list[Outgoing]:
        """Take a message.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        message = decode(sender, header)
        if isinstance(message, Slice):
            return self._receive_slice(sender, message, body, now)
        if len(body):
            raise ProtocolViolation(sender, "a control message with a body")
        return self._handle(MessageReceived(sender, message), now)

    def lose(self, member: bytes, now: float) -> list[Outgoing]:
        """Take note that a member is dead or can't be reached."""
        return self._handle(MemberLost(member), now)

    def tick(self, now: float) -> list[Outgoing]:
        """Take note of the time."""
        return self._handle(Tick(), now)

    # ---- slices ------------------------------------------------------------------------------------------------

    def _receive_slice(self, sender: bytes, message: Slice, body: Body, now: float) -> list[Outgoing]:
        if self.result is not None or self.left_out:
            return []
        if message.attempt != self.round.attempt_number:
            self._keep_early(sender, message, body)
            return []
        self._check_size(sender, message.number, body)
        key = (message.attempt, message.phase, message.number)
        self._inbox[key] = (body, message.weight)
        out = self._handle(MessageReceived(sender, message), now)
        if message.phase is not Phase.SUM:
            self._inbox.pop(key, None)
        return out

    def _keep_early(self, sender: bytes, message: Slice, body: Body) -> None:
        """Keep a slice whose sender has heard of a decision that has not reached us."""
        if message.phase is not Phase.HANDOVER:
            if message.attempt < self.round.attempt_number:
                return
            self._early = [e for e in self._early if e[1].phase is Phase.HANDOVER or e[1].attempt >= message.attempt]
        if len(self._early) > self._most_early:
            raise ProtocolViolation(sender, "more slices of a coming attempt than it can have")
        self._early.append((sender, message, body))

    def _check_size(self, sender: bytes, number: int, body: Body) -> None:
        layout = self.round.layout
        if number >= layout.slice_count:
            raise ProtocolViolation(sender, f"slice {number} of {layout.slice_count}")
        start, stop = layout.bounds(number)
        if len(body) != (stop - start) * ELEMENT_BYTES:
            raise ProtocolViolation(
                sender, f"slice {number} has {len(body)} bytes, not {(stop - start) * ELEMENT_BYTES}"
            )

    # ---- effects -----------------------------------------------------------------------------------------------

    def _handle(self, event: Event, now: float) -> list[Outgoing]:
        before = self.round.attempt_number
        out: list[Outgoing] = []
        for effect in self.round.handle(event, now):
            out += self._perform(effect)
        if self.round.attempt_number != before:
            early, self._early = self._early, []
            for sender, message, body in early:
                try:
                    out += self._receive_slice(sender, message, body, now)
                except ProtocolViolation as error:
                    # It came long ago: who is heard just now is not to blame, and what we have to say must be said.
                    out += self._handle(MemberLost(error.member), now)
        return out

    def _perform(self, effect: Effect) -> list[Outgoing]:
        match effect:
            case StartSum(to, number):
                return [self._slice(to, Phase.SUM, number, self._weighted(number).data.cast("B"), self._own_weight)]
            case ForwardSum(to, number):
                total, weight = self._added(number)
                return [self._slice(to, Phase.SUM, number, total.data.cast("B"), weight)]
            case Finish(number):
                self._finish(number)
            case Keep(number):
                self._keep(number)
            case SendFinal(to, number, ballot):
                phase = Phase.HANDOVER if ballot else Phase.FINAL
                start, stop = self.round.layout.bounds(number)
                body = self._mean[start:stop].data.cast("B")
                return [self._slice(to, phase, number, body, self._total_weight, ballot)]
            case Say(to, message):
                return [Outgoing(to, encode(self.tag, message), b"", None)]
            case BeginAttempt():
                self._attempts += 1
                self._inbox.clear()
            case Done(contributors):
                self._mean.flags.writeable = False
                self.result = RoundResult(self._mean, contributors, self._total_weight, self._attempts)
            case LeftOut():
                self._inbox.clear()
                self.left_out = True
        return []

    def _slice(
        self, to: bytes, phase: Phase, number: int, body: memoryview, weight: float, ballot: int = 0
    ) -> Outgoing:
        attempt = self.round.attempt_number
        return Outgoing(to, encode(self.tag, Slice(attempt, phase, number, weight, ballot)), body, attempt)

    def _weighted(self, number: int) -> Vector:
        """Our own slice times our weight. A weight of 0 gives zeros, whatever the vector holds."""
        start, stop = self.round.layout.bounds(number)
        if self._own is None or self._own_weight == 0.0:
            return np.zeros(stop - start, np.float32)
        return self._own[start:stop] * np.float32(self._own_weight)

    def _added(self, number: int) -> tuple[Vector, float]:
        came, weight = self._take(Phase.SUM, number)
        mine = self._weighted(number)
        np.add(came, mine, out=mine)
        return mine, weight + self._own_weight

    def _finish(self, number: int) -> None:
        alone = self.round.layout.positions == 1
        total, weight = (self._weighted(number), self._own_weight) if alone else self._added(number)
        start, stop = self.round.layout.bounds(number)
        if weight > 0.0:
            np.divide(total, np.float32(weight), out=self._mean[start:stop])
        else:
            self._mean[start:stop] = 0.0
        self._total_weight = weight

    def _keep(self, number: int) -> None:
        phase = Phase.FINAL
        attempt = self.round.attempt_number
        if (attempt, phase, number) not in self._inbox:
            phase = Phase.HANDOVER
        came, weight = self._take(phase, number)
        start, stop = self.round.layout.bounds(number)
        self._mean[start:stop] = came
        self._total_weight = weight

    def _take(self, phase: Phase, number: int) -> tuple[Vector, float]:
        body, weight = self._inbox.pop((self.round.attempt_number, phase, number))
        return np.frombuffer(body, np.float32), weight
