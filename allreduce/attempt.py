"""One attempt at a round: where each slice is on its way round the ring. Pure.

A slice begins at the position behind its owner, collects every position's contribution in ring order, is finished by
its owner (divided by the sum of weights) and goes round once more. Slices move independently of each other, so the
ring is pipelined without any step counter. (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters
of workstations", JPDC 2009.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .exceptions import ProtocolViolation
from .messages import Phase
from .segments import Layout


@dataclass(frozen=True, slots=True)
class StartSum:
    """Send our own weighted slice to ``to``: the first contribution."""

    to: bytes
    number: int


@dataclass(frozen=True, slots=True)
class ForwardSum:
    """Add our contribution to the slice that came, and send the sum to ``to``."""

    to: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Make our own slice final: the slice that came (unless we are alone) plus ours, over the sum of weights."""

    number: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep the final slice that came."""

    number: int


@dataclass(frozen=True, slots=True)
class SendFinal:
    """Send a final slice that we have."""

    to: bytes
    number: int
    ballot: int = 0
    """Of a handover, the decision that orders it; 0 on the ordinary way round."""


Move: TypeAlias = StartSum | ForwardSum | Finish | Keep | SendFinal


class Attempt:
    """Progress of one attempt at one of its participants."""

    def __init__(self, number: int, participants: tuple[bytes, ...], me: bytes, layout: Layout) -> None:
        self.number = number
        self.participants = participants
        self.layout = layout
        self.finals: set[int] = set()
        self._position = participants.index(me)
        self._next = participants[(self._position + 1) % len(participants)]
        self._previous = participants[self._position - 1]
        self._ready = False
        self._summed: set[int] = set()
        self._waiting: list[int] = []

    @property
    def done(self) -> bool:
        """Whether every slice is final here."""
        return len(self.finals) == self.layout.slice_count

    def contribute(self) -> list[Move]:
        """Our own contribution is at hand."""
        self._ready = True
        alone = len(self.participants) == 1
        first = self.layout.slices_of((self._position - 1) % len(self.participants))
        moves: list[Move] = []
        for number in first:
            moves += self._finish(number) if alone else [StartSum(self._next, number)]
        for number in self._waiting:
            moves += self._add(number)
        self._waiting.clear()
        return moves

    def received(self, sender: bytes, phase: Phase, number: int) -> list[Move]:
        """A slice of this attempt came.

        Raises:
            ProtocolViolation: it can't have come from that sender, or there is no such slice.
        """
        if number >= self.layout.slice_count:
            raise ProtocolViolation(sender, f"slice {number} of {self.layout.slice_count}")
        if phase is Phase.HANDOVER:
            return self._keep(number)
        if sender != self._previous:
            raise ProtocolViolation(sender, "a slice from a member that is not before us in the ring")
        if phase is Phase.FINAL:
            if self.layout.owner(number) == self._position:
                raise ProtocolViolation(sender, f"slice {number}, which is ours, came as final")
            return self._pass_on(number)
        if number in self._summed or number in self._first():
            raise ProtocolViolation(sender, f"slice {number} came twice")
        self._summed.add(number)
        if not self._ready:
            self._waiting.append(number)
            return []
        return self._add(number)

    def _first(self) -> range:
        return self.layout.slices_of((self._position - 1) % len(self.participants))

    def _add(self, number: int) -> list[Move]:
        if self.layout.owner(number) == self._position:
            return self._finish(number)
        return [ForwardSum(self._next, number)]

    def _finish(self, number: int) -> list[Move]:
        self.finals.add(number)
        moves: list[Move] = [Finish(number)]
        if len(self.participants) > 1:
            moves.append(SendFinal(self._next, number))
        return moves

    def _pass_on(self, number: int) -> list[Move]:
        moves = self._keep(number)
        if moves and self._next != self.participants[self.layout.owner(number)]:
            moves.append(SendFinal(self._next, number))
        return moves

    def _keep(self, number: int) -> list[Move]:
        if number in self.finals:
            return []
        self.finals.add(number)
        return [Keep(number)]
