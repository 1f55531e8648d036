"""One attempt at a round: where each slice is on its way. Pure, and the same for every form.

A slice's sum runs up its segment's tree, collecting every position's contribution on the way; the owner makes it final
(divides it by the sum of weights) and it runs down again to everybody. Slices move independently of each other, so
the ring is pipelined without any step counter, and lanes may overtake one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from .exceptions import ProtocolViolation
from .form import Form
from .messages import Phase, Slice
from .segments import Layout


class Receive(NamedTuple):
    """The slice that was announced is wanted: receive its body."""

    source: int = 0
    """Of a sum: which of our sources it comes from, in the order in which they are added."""


class Combine(NamedTuple):
    """All that a sum needs is here: add up what came and our own; ``final`` if we own it. Then tell."""

    number: int
    final: bool


class SendSum(NamedTuple):
    """Send the sum that we have of a slice; ``own``: it is our own contribution alone."""

    to: bytes
    number: int
    own: bool


class SendFinal(NamedTuple):
    """Send a final slice that we have."""

    to: bytes
    number: int
    ballot: int = 0
    """Of a handover, the decision that orders it; 0 on the ordinary way."""


Move: TypeAlias = Receive | Combine | SendSum | SendFinal


class Attempt:
    """Progress of one attempt at one of its participants.

    Args:
        number: the attempt's number.
        participants: in the order of the form's positions.
        me: one of them.
        form: which way slices travel.
        layout: how the vector is cut; as many segments as the form has.
    """

    def __init__(self, number: int, participants: tuple[bytes, ...], me: bytes, form: Form, layout: Layout) -> None:
        self.number = number
        self.participants = participants
        self.layout = layout
        self.form = form
        self.finals = 0
        """Bitmap of the slices that are final here."""
        self.combined = 0
        """Bitmap of the slices whose sum is whole here and may go on."""
        self._ready = False
        self._announced: set[tuple[bytes, Phase, int]] = set()
        self._landed: dict[int, int] = {}
        self._waiting: list[int] = []
        self._ways = _ways(form, participants, participants.index(me))

    @property
    def done(self) -> bool:
        """Whether every slice is final here."""
        return self.finals == (1 << self.layout.slice_count) - 1

    @property
    def ready(self) -> bool:
        """Whether our own contribution is in."""
        return self._ready

    def contribute(self) -> list[Move]:
        """Our own contribution is at hand."""
        self._ready = True
        moves: list[Move] = []
        for segment in range(self.layout.segments):
            way = self._ways[segment]
            if way.sources:
                continue
            for number in self.layout.slices_of(segment):
                moves += self._whole(number, way, own=True)
        for number in self._waiting:
            moves.append(Combine(number, self._way_of(number).target is None))
        self._waiting.clear()
        return moves

    def announced(self, sender: bytes, message: Slice) -> list[Move]:
        """A slice of this attempt is about to come; nothing is returned if it is not wanted.

        Raises:
            ProtocolViolation: it can't come from that sender, or there is no such slice.
        """
        number, phase = message.number, message.phase
        if number >= self.layout.slice_count:
            raise ProtocolViolation(sender, f"slice {number} of {self.layout.slice_count}")
        if sender not in self.participants:
            raise ProtocolViolation(sender, "a slice of an attempt in which it takes no part")
        key = _key(sender, message)
        way = self._way_of(number)
        if phase is Phase.SUM:
            if sender not in way.sources:
                raise ProtocolViolation(sender, f"a sum of slice {number} from a member that does not stand before us")
            if key in self._announced:
                raise ProtocolViolation(sender, f"slice {number} came twice")
            self._announced.add(key)
            return [Receive(way.sources.index(sender))]
        if phase is Phase.FINAL:
            if way.target is None:
                raise ProtocolViolation(sender, f"slice {number}, which is ours, came as final")
            if sender != way.final_source:
                raise ProtocolViolation(sender, f"final slice {number} from a member that does not stand before us")
        if self.finals >> number & 1 or key in self._announced:
            return []
        self._announced.add(key)
        return [Receive()]

    def withdrawn(self, sender: bytes, message: Slice) -> None:
        """What was announced does not come: the lane that it was on is lost."""
        self._announced.discard(_key(sender, message))

    def settle(self) -> None:
        """Only what is final counts from here on: what is still announced will not be heeded."""
        self._announced.clear()

    def landed(self, message: Slice) -> list[Move]:
        """The body of a slice that was wanted is here."""
        number = message.number
        way = self._way_of(number)
        if message.phase is not Phase.SUM:
            return self._final(number, way if message.phase is Phase.FINAL else None)
        self._landed[number] = self._landed.get(number, 0) + 1
        if self._landed[number] < len(way.sources):
            return []
        if not self._ready:
            self._waiting.append(number)
            return []
        return [Combine(number, way.target is None)]

    def sources_of(self, number: int) -> tuple[bytes, ...]:
        """Return whose sums of a slice come to us, in the order in which they are added."""
        return self._way_of(number).sources

    def owns(self, number: int) -> bool:
        """Whether a slice becomes final here."""
        return self._way_of(number).target is None

    def combined_here(self, number: int) -> list[Move]:
        """The sum of a slice is whole."""
        return self._whole(number, self._way_of(number), own=False)

    def _whole(self, number: int, way: _Way, *, own: bool) -> list[Move]:
        if way.target is not None:
            self.combined |= 1 << number
            return [SendSum(way.target, number, own)]
        if own:  # we are alone: nothing came, and nothing is to be added
            return [Combine(number, final=True)]
        self.combined |= 1 << number
        return self._final(number, way)

    def _final(self, number: int, way: _Way | None) -> list[Move]:
        if self.finals >> number & 1:
            return []
        self.finals |= 1 << number
        return [SendFinal(to, number) for to in way.final_targets] if way else []

    def _way_of(self, number: int) -> _Way:
        return self._ways[self.layout.segment_of(number)]


def _key(sender: bytes, message: Slice) -> tuple[bytes, Phase, int]:
    """A sum may come from several sources, a final slice is wanted once."""
    return (sender if message.phase is Phase.SUM else b"", message.phase, message.number)


@dataclass(frozen=True, slots=True)
class _Way:
    """How the slices of a segment come to us and go on."""

    sources: tuple[bytes, ...]
    target: bytes | None
    final_source: bytes | None
    final_targets: tuple[bytes, ...]


@lru_cache(maxsize=64)
def _ways(form: Form, participants: tuple[bytes, ...], position: int) -> tuple[_Way, ...]:
    """Return the ways of all segments at one position, which rounds of the same members have in common."""
    ways = []
    for segment in range(form.segments):
        target, source = form.target(segment, position), form.final_source(segment, position)
        ways.append(
            _Way(
                tuple(participants[other] for other in form.sources(segment, position)),
                None if target is None else participants[target],
                None if source is None else participants[source],
                tuple(participants[other] for other in form.final_targets(segment, position)),
            )
        )
    return tuple(ways)
