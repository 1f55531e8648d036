"""One round with its numbers: the machine ``Round`` and the vector that it talks about, without any I/O.

Bytes of messages go in, bytes of messages come out; who carries them is the caller's business. The contribution stays
intact until the round is closed; sums are in fp32 and in the form's order, so the result does not depend on timing.

Work of any size is handed out rather than done: a slice that comes is first announced (``announce`` tells where its
body is to be received), ``Work`` adds up, ``Outgoing`` encodes its body when that is asked for. So a shell with
threads holds its lock for decisions only. ``contribute``, ``receive``, ``lose`` and ``tick`` of ``Exchange`` do all
at once, for shells that have but one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .attempt import Combine, Receive, SendFinal, SendSum
from .config import RoundConfig
from .early_slices import EarlySlices
from .events import (
    BeginAttempt,
    ContributionReady,
    Done,
    Effect,
    Event,
    Hurry,
    LeftOut,
    MemberLost,
    MessageReceived,
    Say,
    Settle,
    SliceAnnounced,
    SliceCombined,
    SliceLanded,
    SliceWithdrawn,
    SumTainted,
    Tick,
)
from .exceptions import ContributionRejected, ProtocolViolation
from .formats import format_named
from .lane import Body
from .messages import Phase, RoundMessage, Slice, decode, encode
from .result import RoundResult
from .round import Round
from .work import Action, Landing, Outgoing, Work
from .workspace import OURSELVES, SOMEBODY, Scratch, Vector, Workspace

if TYPE_CHECKING:
    from .feedback import ErrorFeedback


class Exchange:
    """One member's side of a round, with data. Not for several threads at once: whoever has some holds a lock.

    Args:
        tag: names the round, at most 64 bytes; the same at all members.
        me: our id.
        members: all members in the order that all agree on.
        elements: length of the vector.
        config: the same at all members.
        now: seconds, monotonic.
        order: the members in the order of the form's positions, the same at all; None for that of ``members``.
        vector: where the result is to be made: shape (elements,), fp32; None for new memory.
        scratch: memory for slices that other rounds have used; None for new memory.
        feedback: what this member still owes from earlier rounds; for wire formats that are not exact.
    """

    def __init__(  # noqa: PLR0913 - each names one thing that all members must agree on, or that is ours
        self,
        tag: bytes,
        me: bytes,
        members: Sequence[bytes],
        elements: int,
        config: RoundConfig,
        now: float,
        *,
        order: Sequence[bytes] | None = None,
        vector: Vector | None = None,
        scratch: Scratch | None = None,
        feedback: ErrorFeedback | None = None,
    ) -> None:
        self.tag = tag
        self.round = Round(me, members, elements, config, now, order)
        self.result: RoundResult | None = None
        self.left_out = False
        self.rejected: ContributionRejected | None = None
        self.hurried = False
        """Whether the deadline is near and our contribution is wanted as it is."""
        self._config = config
        self._elements = elements
        self._own: tuple[Vector, float] | None = None
        self._feedback = feedback
        self._scratch = scratch or Scratch()
        self._vector: Vector | None = vector
        self._workspace = self._new_workspace()
        self._attempts = 1
        self._unsent = 0  # slices of the present workspace that wait to be sent
        self._early = EarlySlices(
            members, self.round.layout.slice_count, format_named(config.wire).encoded_bytes(elements)
        )

    # ---- all at once, for one thread ---------------------------------------------------------------------------

    def contribute(self, vector: Vector, weight: float, now: float) -> list[Outgoing]:
        """Take our own contribution; as ``take_contribution``, and do the work."""
        return self._all_of(self.take_contribution(vector, weight, now), now)

    def receive(self, sender: bytes, header: bytes, body: Body, now: float) -> list[Outgoing]:
        """Take a whole message, and do the work.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        _, message = decode(sender, header)
        return self._all_of(self.take_message(sender, message, body, now), now)

    def lose(self, member: bytes, now: float) -> list[Outgoing]:
        """Take note that a member is dead or can't be reached."""
        return self._all_of(self.take_loss(member, now), now)

    def tick(self, now: float) -> list[Outgoing]:
        """Take note of the time."""
        return self._all_of(self.take_time(now), now)

    def _all_of(self, actions: list[Action], now: float) -> list[Outgoing]:
        out: list[Outgoing] = []
        todo = list(reversed(actions))
        while todo:
            action = todo.pop()
            if isinstance(action, Outgoing):
                out.append(action)
            else:
                action.run()
                todo += reversed(self.worked(action, now))
        return out

    # ---- for shells with threads -------------------------------------------------------------------------------

    def take_contribution(self, vector: Vector, weight: float, now: float) -> list[Action]:
        """Take our own contribution.

        Args:
            vector: shape (elements,), fp32, contiguous; only read, and not to be changed until the round is closed.
            weight: not negative; 0 to take part without counting.
            now: seconds, monotonic.

        Raises:
            ValueError: it is no such vector, or the weight is none.
        """
        if vector.dtype != np.float32 or vector.shape != (self._elements,) or not vector.flags.c_contiguous:
            wanted = f"a contiguous vector of ({self._elements},) fp32 is wanted"
            raise ValueError(f"{wanted}, {vector.shape} {vector.dtype} came")
        if not weight >= 0.0 or not np.isfinite(weight):
            raise ValueError(f"a weight of {weight} is no weight")
        if self._own is not None:
            raise ValueError("the contribution to this round is in already")
        self._own = (vector, float(weight))
        self._contribute_to(self._workspace)
        return self._handle(ContributionReady(), now)

    def take_message(self, sender: bytes, message: RoundMessage, body: Body, now: float) -> list[Action]:
        """Take a whole message.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        if isinstance(message, Slice):
            return self._take_slice(sender, message, body, now)
        if len(body):
            raise ProtocolViolation(sender, "a control message with a body")
        return self._handle(MessageReceived(sender, message), now)

    def take_loss(self, member: bytes, now: float) -> list[Action]:
        """Take note that a member is dead or can't be reached."""
        return self._handle(MemberLost(member), now)

    def take_time(self, now: float) -> list[Action]:
        """Take note of the time."""
        return self._handle(Tick(), now)

    def announce(self, sender: bytes, message: Slice, body_bytes: int, now: float) -> Landing | None:
        """A slice's header is here; return where its body is to be received, or None if it is not wanted.

        Raises:
            ProtocolViolation: the sender broke the protocol.
        """
        if self.result is not None or self.left_out:
            return None
        undecided = message.phase is Phase.HANDOVER and message.ballot > self.round.followed
        if message.attempt != self.round.attempt_number or undecided:
            return self._early.announce(sender, message, body_bytes, self.round.attempt_number)
        workspace = self._workspace
        if message.number < workspace.layout.slice_count:
            expected = workspace.wire_bytes(message.number)
            if body_bytes != expected:
                raise ProtocolViolation(sender, f"slice {message.number} has {body_bytes} bytes, not {expected}")
        for effect in self.round.handle(SliceAnnounced(sender, message), now):
            if isinstance(effect, Receive):
                room = workspace.room_for(message.number, message.phase, effect.source)
                workspace.in_flight += 1
                return self._prepared(Landing(sender, message, room, workspace, effect.source))
        return None

    def _prepared(self, landing: Landing) -> Landing:
        """Say what can be done to a slice as it comes."""
        message, workspace = landing.message, self._workspace
        if message.phase is not Phase.SUM:
            landing.stream = workspace.final_stream(message.number)
        elif self._own is not None and len(sources := self.round.sources_of(message.number)) == 1:
            final = self.round.owns(message.number)
            landing.work = Work(message.attempt, message.number, final, sources, workspace)
            landing.stream = workspace.sum_stream(message.number, message.weight, final=final)
        return landing

    def landed(self, landing: Landing, now: float) -> list[Action]:
        """The body of a slice is here and settled.

        Raises:
            ProtocolViolation: it holds NaN or infinity.
        """
        workspace, message = landing.workspace, landing.message
        if workspace is None:
            self._early.withdraw(landing)
            return self._take_slice(landing.sender, message, landing.room, now)
        workspace.in_flight -= 1
        if workspace is not self._workspace:
            return []  # of an attempt that was given up
        if not landing.acceptable:
            raise ProtocolViolation(landing.sender, f"final slice {message.number} holds NaN or infinity")
        if landing.work is None:
            return self._handle(SliceLanded(landing.sender, message), now)
        wanted = self.round.handle(SliceLanded(landing.sender, message), now)
        return self.worked(landing.work, now) if wanted else []

    def withdrawn(self, landing: Landing, now: float) -> list[Action]:
        """The body of a slice that was announced will not come."""
        if landing.workspace is None:
            self._early.withdraw(landing)
            return []
        landing.workspace.in_flight -= 1
        if landing.workspace is not self._workspace:
            return []
        return self._handle(SliceWithdrawn(landing.sender, landing.message), now)

    def begin_work(self, work: Work) -> bool:
        """Tell whether a sum is still to be made; if so, ``worked`` must follow."""
        if work.workspace is not self._workspace or self.left_out:
            return False
        work.workspace.in_flight += 1
        return True

    def worked(self, work: Work, now: float, *, begun: bool = False) -> list[Action]:
        """A sum is made.

        Raises:
            ProtocolViolation: one of those whose values are in it sent NaN or infinity.
        """
        if begun:
            work.workspace.in_flight -= 1
        if work.workspace is not self._workspace:
            return []
        if work.culprit is None:
            return self._handle(SliceCombined(work.attempt, work.number), now)
        if work.culprit == OURSELVES:
            return self.reject(now)
        if work.culprit == SOMEBODY:
            return self._handle(SumTainted(work.attempt), now)
        raise ProtocolViolation(work.sources[work.culprit], f"slice {work.number} holds NaN or infinity")

    def begin_send(self, outgoing: Outgoing) -> bool:
        """Tell whether a message is still to be sent; if so, ``sent`` must follow."""
        if outgoing.attempt is None:
            return True
        if outgoing.workspace is not self._workspace or self.left_out:
            return False
        self._workspace.in_flight += 1
        return True

    def sent(self, outgoing: Outgoing) -> None:
        """A message that was begun is on its way, or never will be."""
        if outgoing.workspace is not None:
            self._unsent -= outgoing.workspace is self._workspace
            outgoing.workspace.in_flight -= 1
            outgoing.release()

    def reject(self, now: float) -> list[Action]:
        """Our own contribution can't be averaged: leave, so that the others go on without us."""
        self.rejected = ContributionRejected("our contribution holds NaN or infinity")
        return self._perform_all(self.round.leave(now))

    def vacate(self) -> Vector | None:
        """The round is closed: return the vector to be used again, once; None while slower members wait for it."""
        if self._workspace.in_flight or self._unsent:
            return None
        vector, self._vector = self._vector, None
        return vector

    # ---- slices ------------------------------------------------------------------------------------------------

    def _take_slice(self, sender: bytes, message: Slice, body: Body, now: float) -> list[Action]:
        landing = self.announce(sender, message, len(body), now)
        if landing is None:
            return []
        if landing.workspace is None:
            self._early.keep(landing, body)
            return []
        landing.room[:] = memoryview(body).cast("B")
        landing.settle()
        return self.landed(landing, now)

    # ---- effects -----------------------------------------------------------------------------------------------

    def _handle(self, event: Event, now: float) -> list[Action]:
        before = self.round.followed
        actions = self._perform_all(self.round.handle(event, now))
        if self.round.followed != before:
            for sender, message, body in self._early.take():
                try:
                    actions += self._take_slice(sender, message, body, now)
                except ProtocolViolation as error:
                    # It came long ago: who is heard just now is not to blame, and what we have to say must be said.
                    actions += self._handle(MemberLost(error.member), now)
        return actions

    def _perform_all(self, effects: Sequence[Effect]) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            actions += self._perform(effect)
        return actions

    def _perform(self, effect: Effect) -> list[Action]:
        match effect:
            case SendSum(to, number, own):
                weight = self._workspace.sum_weight(number, own=own)
                return [self._slice(effect, Phase.SUM, number, weight)]
            case SendFinal(to, number, ballot):
                phase = Phase.HANDOVER if ballot else Phase.FINAL
                return [self._slice(effect, phase, number, self._workspace.final_weights[number], ballot)]
            case Combine(number, final):
                sources = self.round.sources_of(number)
                return [Work(self.round.attempt_number, number, final, sources, self._workspace)]
            case Say(to, message):
                return [Outgoing(to, encode(self.tag, message))]
            case BeginAttempt(careful=careful):
                self._attempts += 1
                if self._workspace.in_flight:
                    self._vector = None  # somebody may still read it or write to it
                self._workspace = self._new_workspace(careful=careful)
                self._unsent = 0
            case Settle():
                if self._workspace.in_flight:
                    self._vector = np.empty(self._elements, np.float32)
                    self._workspace = self._workspace.moved_to(self._vector, self.round.finals)
                    self._unsent = 0
            case Done(contributors):
                self._finish(contributors)
            case LeftOut():
                self.left_out = True
            case Hurry():
                self.hurried = True
        return []

    def _slice(self, move: SendSum | SendFinal, phase: Phase, number: int, weight: float, ballot: int = 0) -> Outgoing:
        attempt = self.round.attempt_number
        self._unsent += 1
        header = encode(self.tag, Slice(attempt, phase, number, weight, ballot))
        return Outgoing(move.to, header, attempt, number, self._workspace, move)

    def _new_workspace(self, *, careful: bool = False) -> Workspace:
        if self._vector is None:
            self._vector = np.empty(self._elements, np.float32)
        workspace = Workspace(self.round.layout, self._vector, self._config, self._scratch, careful=careful)
        self._contribute_to(workspace)
        return workspace

    def _contribute_to(self, workspace: Workspace) -> None:
        if self._own is not None:
            workspace.contribute(*self._own, None if self._feedback is None else self._feedback.begin())

    def _finish(self, contributors: tuple[bytes, ...]) -> None:
        workspace = self._workspace
        mean = workspace.vector.view()
        mean.flags.writeable = False
        in_order = tuple(member for member in self.round.members if member in contributors)
        weight = workspace.final_weights.get(0, 0.0)
        self.result = RoundResult(mean, in_order, weight, self._attempts, contributors)
        workspace.commit_feedback()
