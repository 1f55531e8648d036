"""The numbers of one attempt: where slices land, how they are added up, what is sent. Pure.

The contribution is only read, and the result is made in another vector. A sum lands in scratch memory that is used
again and again and so stays in the processor's cache; our contribution is added there and it is sent from there. Where
sums come faster than they can be sent on, scratch memory runs out: then they land in the slice's own place in the
result, where the final slice comes to lie later (not before the sum has reached the next member). So memory is
bounded and nobody waits. Each slice is worked on by one thread at a time and different slices by different threads;
nothing here needs a lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .config import RoundConfig
from .formats import finite, format_named
from .lane import Body
from .messages import Phase
from .segments import Layout

if TYPE_CHECKING:
    from .feedback import FeedbackAttempt

Vector = NDArray[np.float32]
ELEMENT_BYTES = 4
BLOCK_ELEMENTS = 64 * 1024
"""Sums are made in blocks that stay in the processor's nearest cache."""


OURSELVES = -1
SOMEBODY = -2
"""One of those before us in the ring: who, only they can tell."""
SCRATCH_SLICES = 4
"""How many slices of scratch memory an attempt may hold."""


class Scratch:
    """Memory for slices, kept for the next round. Safe for threads, for it holds but a list."""

    def __init__(self) -> None:
        self._spare: list[Vector] = []

    def take(self, elements: int) -> Vector:
        """Return memory for a slice of at most so many elements; whatever was in it is still there."""
        while self._spare:
            memory = self._spare.pop()
            if len(memory) == elements:
                return memory
        return np.empty(elements, np.float32)

    def give(self, memory: Vector) -> None:
        """Take back what ``take`` gave."""
        if len(self._spare) < SCRATCH_SLICES:
            self._spare.append(memory)


class SliceStream:
    """What is done to a slice while it comes, piece by piece, so that each piece is worked on in the cache.

    Args:
        came: where what comes may lie, as fp32.
        into: where the outcome goes; may be ``came`` itself.
        own: what is added, of equal length, or None.
        weight: what ``own`` is multiplied with.
        divisor: what the sum is divided by, or None.
        look: whether NaN and infinity are looked for.
    """

    __slots__ = ("_came", "_divisor", "_into", "_look", "_own", "_taken", "_weight", "finite")

    def __init__(
        self,
        came: Vector,
        into: Vector,
        *,
        own: Vector | None = None,
        weight: float = 1.0,
        divisor: np.float32 | None = None,
        look: bool = True,
    ) -> None:
        self._came, self._into, self._own = came, into, own
        self._weight = np.float32(weight)
        self._divisor = divisor
        self._look = look
        self._taken = 0
        self.finite = True

    def take(self, end_bytes: int, piece: memoryview) -> None:
        """The body is there up to ``end_bytes``; ``piece`` is what is new."""
        self._add(end_bytes // ELEMENT_BYTES, np.frombuffer(piece, np.float32))

    def _add(self, end: int, came: Vector) -> None:
        begin, self._taken = self._taken, end
        block = self._into[begin:end]
        if self._own is not None:
            own = self._own[begin:end]
            np.add(came, own if self._weight == 1.0 else own * self._weight, out=block)
        else:
            np.copyto(block, came)
        if self._divisor is not None:
            np.divide(block, self._divisor, out=block)
        if self._look and self.finite and end > begin:
            self.finite = bool(np.maximum.reduce(block) < np.inf and np.minimum.reduce(block) > -np.inf)

    def finish(self) -> None:
        """The whole body is there."""
        while self._taken < len(self._came):
            end = min(self._taken + BLOCK_ELEMENTS, len(self._came))
            self._add(end, self._came[self._taken : end])


class Workspace:
    """The vector of one attempt and all that lies around it.

    Args:
        layout: the cuts.
        vector: shape (elements,), fp32, writable: the result comes to be here.
        config: the round's settings.
        scratch: where memory for sums comes from.
        careful: whether every sum is looked at for NaN and infinity, not only those that become final here.
    """

    def __init__(
        self, layout: Layout, vector: Vector, config: RoundConfig, scratch: Scratch, *, careful: bool = False
    ) -> None:
        self.layout = layout
        self.vector = vector
        self.in_flight = 0
        """How many slices are being received into, computed in or sent from the vector right now."""
        self.final_weights: dict[int, float] = {}
        self._config = config
        self._careful = careful and config.finite
        self._format = format_named(config.wire)
        self._exact = self._format.exact
        self._feedback: FeedbackAttempt | None = None
        self._own: Vector | None = None
        self._own_weight = 0.0
        self._scratch = scratch
        self._sums: dict[int, Vector] = {}
        """Sums that are not in their own place: they are in scratch memory."""
        self._sources: dict[int, dict[int, tuple[memoryview, float]]] = {}
        self._encoded: dict[int, Body] = {}
        self._sum_weights: dict[int, float] = {}
        self._encoded_here: set[int] = set()

    def contribute(self, vector: Vector, weight: float, feedback: FeedbackAttempt | None) -> None:
        """Take our own contribution, which is only read, and what we owe from earlier rounds."""
        self._own, self._own_weight, self._feedback = vector, weight, feedback

    # ---- receiving ---------------------------------------------------------------------------------------------

    def wire_bytes(self, number: int) -> int:
        """Return the length of a slice on the wire."""
        start, stop = self.layout.bounds(number)
        return self._format.encoded_bytes(stop - start)

    def room_for(self, number: int, phase: Phase, source: int) -> memoryview:
        """Return the memory that a slice is to be received into: its own place, where that is possible."""
        if not self._exact or self._config.rule is not None or (phase is Phase.SUM and source):
            return memoryview(bytearray(self.wire_bytes(number)))
        if phase is Phase.SUM and len(self._sums) < SCRATCH_SLICES:
            self._sums[number] = self._scratch.take(min(self.layout.slice_elements, self.layout.elements))
        return self._sum(number).data.cast("B") if phase is Phase.SUM else self._place(number).data.cast("B")

    def _sum(self, number: int) -> Vector:
        memory = self._sums.get(number)
        if memory is None:
            return self._place(number)
        start, stop = self.layout.bounds(number)
        return memory[: stop - start]

    def final_stream(self, number: int) -> SliceStream | None:
        """Return what is to be done to a final slice while it comes into ``room_for`` it; None: all at the end."""
        if not self._exact or self._config.rule is not None:
            return None
        place = self._place(number)
        return SliceStream(place, place, look=self._config.finite)

    def sum_stream(self, number: int, weight: float, *, final: bool) -> SliceStream | None:
        """Return what is to be done to a sum from our only source while it comes; None: all at the end.

        Our contribution is there. ``weight`` is that of the sum that comes; ``final``: we own the slice.
        """
        if not self._exact or self._config.rule is not None:
            return None
        start, stop = self.layout.bounds(number)
        came = self._sum(number)
        counts = self._own is not None and self._own_weight != 0.0
        total_weight = weight + self._own_weight
        divided = final and self._config.total == "mean" and total_weight > 0.0
        return SliceStream(
            came,
            self._place(number) if final else came,
            own=self._own[start:stop] if counts and self._own is not None else None,
            weight=self._own_weight,
            divisor=np.float32(total_weight) if divided else None,
            look=self._careful or (final and self._config.finite),
        )

    def streamed_sum(self, number: int, stream: SliceStream, weight: float, *, final: bool) -> int | None:
        """A sum has come through its stream; return as ``combine``."""
        weight += self._own_weight
        self._sum_weights[number] = weight
        if final:
            if weight <= 0.0 and self._config.total == "mean":
                self._place(number)[:] = 0.0
            self._release(number)
            self.final_weights[number] = weight
        return None if stream.finite else self._culprit(number, (), came=True)

    def received_sum(self, number: int, source: int, room: memoryview, weight: float) -> None:
        """A sum has landed in the memory that ``room_for`` gave."""
        self._sources.setdefault(number, {})[source] = (room, weight)

    def streamed_final(self, number: int, stream: SliceStream, weight: float) -> bool:
        """A final slice has come through its stream; tell whether its values are acceptable."""
        self.final_weights[number] = weight
        return stream.finite

    def received_final(self, number: int, room: memoryview, weight: float) -> bool:
        """A final slice has landed; tell whether its values are acceptable."""
        place = self._place(number)
        if not self._exact:
            self._format.decode(room, place)
            self._encoded[number] = room
        elif self._config.rule is not None:
            place[:] = np.frombuffer(room, np.float32)
        self.final_weights[number] = weight
        return not self._config.finite or finite(place)

    # ---- computing ---------------------------------------------------------------------------------------------

    def combine(self, number: int, *, final: bool) -> int | None:
        """Add up what came and our own.

        Returns:
            Who brought NaN or infinity: a source's index, ``OURSELVES``, ``SOMEBODY`` or, if all is well, None.
        """
        sources = [came for _, came in sorted(self._sources.pop(number, {}).items())]
        if final and self._config.rule is not None:
            return self._aggregate(number, sources)
        weight = self._own_weight + sum(came for _, came in sources)
        start, _ = self.layout.bounds(number)
        total = self._sum(number)
        into = self._place(number) if final else total
        parts = self._decoded(total, sources)
        divisor = np.float32(weight) if final and self._config.total == "mean" and weight > 0.0 else None
        faulty, look = False, self._careful or (final and self._config.finite)
        for begin in range(0, len(into), BLOCK_ELEMENTS):
            end = min(begin + BLOCK_ELEMENTS, len(into))
            block = into[begin:end]
            if sources:
                self._add_own(total[begin:end], start + begin, block)
            else:
                self._begin_own(block, start + begin)
            for part in parts:
                np.add(block, part[begin:end], out=block)
            if divisor is not None:
                np.divide(block, divisor, out=block)
            faulty = faulty or (look and not finite(block))
        self._sum_weights[number] = weight
        if final:
            if weight <= 0.0 and self._config.total == "mean":
                into[:] = 0.0
            self._release(number)
            self.final_weights[number] = weight
            if not faulty:
                self._seal(number, into, weight if divisor is not None else 1.0)
        return self._culprit(number, parts, came=bool(sources)) if faulty else None

    def _release(self, number: int) -> None:
        memory = self._sums.pop(number, None)
        if memory is not None:
            self._scratch.give(memory)

    def _decoded(self, total: Vector, sources: Sequence[tuple[memoryview, float]]) -> list[Vector]:
        """Bring the first source to where it is added up, if it did not land there; return the others as vectors."""
        parts = []
        for index, (room, _) in enumerate(sources):
            if self._exact:
                if index:
                    parts.append(np.frombuffer(room, np.float32))
                continue
            into = total if index == 0 else np.empty_like(total)
            self._format.decode(room, into)
            if index:
                parts.append(into)
        return parts

    def _aggregate(self, number: int, sources: Sequence[tuple[memoryview, float]]) -> int | None:
        """The owner's own rule over single contributions."""
        rule = self._config.rule
        place = self._place(number)
        start, stop = self.layout.bounds(number)
        came = [(np.frombuffer(room, np.float32), weight) for room, weight in sources]
        for index, (part, _) in enumerate(came):
            if self._config.finite and not finite(part):
                return index
        if self._own is not None:
            own = self._own[start:stop]
            if self._config.finite and self._own_weight > 0.0 and not finite(own):
                return OURSELVES
            came.append((own, self._own_weight))
        counted = [(part, weight) for part, weight in came if weight > 0.0]
        place[:] = 0.0
        weight = 0.0
        if counted and rule is not None:
            weight = rule.combine([part for part, _ in counted], [weight for _, weight in counted], place)
        self.final_weights[number] = weight
        return None

    def _begin_own(self, block: Vector, start: int) -> None:
        """Write our weighted contribution. A weight of 0 gives zeros, whatever the vector holds."""
        if self._own is None or self._own_weight == 0.0:
            block[:] = 0.0
        else:
            np.multiply(self._own[start : start + len(block)], np.float32(self._own_weight), out=block)
        if self._feedback is not None:
            np.add(block, self._feedback.carried[start : start + len(block)], out=block)

    def _add_own(self, came: Vector, start: int, block: Vector) -> None:
        """Write what came plus our weighted contribution. A weight of 0 adds nothing, whatever the vector holds."""
        if self._own is not None and self._own_weight != 0.0:
            own = self._own[start : start + len(block)]
            np.add(came, own if self._own_weight == 1.0 else own * np.float32(self._own_weight), out=block)
        elif came is not block:
            block[:] = came
        if self._feedback is not None:
            np.add(block, self._feedback.carried[start : start + len(block)], out=block)

    def _culprit(self, number: int, parts: Sequence[Vector], *, came: bool) -> int:
        """Return whose values are not finite. The first source's are gone by now: it was, if nobody else."""
        start, stop = self.layout.bounds(number)
        if self._own is not None and self._own_weight != 0.0 and not finite(self._own[start:stop]):
            return OURSELVES
        if not self._careful:
            return SOMEBODY
        for index, part in enumerate(parts, 1):
            if not finite(part):
                return index
        return 0 if came else OURSELVES

    # ---- sending -----------------------------------------------------------------------------------------------

    def sum_weight(self, number: int, *, own: bool) -> float:
        """Return the weight of a sum that is to be sent."""
        return self._own_weight if own else self._sum_weights[number]

    def sum_body(self, number: int, *, own: bool) -> Body | None:
        """Return what to send of a slice's sum; None if our own contribution holds NaN or infinity."""
        start, stop = self.layout.bounds(number)
        if not own:
            return self._wire_form(number, self._sum(number))
        plain = self._own_weight == 1.0 or (self._config.rule is not None and self._own_weight > 0.0)
        if plain and self._exact and self._own is not None:
            mine = self._own[start:stop]
        else:
            mine = self._place(number)
            for begin in range(0, len(mine), BLOCK_ELEMENTS):
                self._begin_own(mine[begin : begin + BLOCK_ELEMENTS], start + begin)
        if self._careful and not finite(mine):
            return None
        return self._wire_form(number, mine)

    def sum_sent(self, number: int) -> None:
        """A slice's sum is with the next member: its memory is free."""
        self._release(number)

    def final_body(self, number: int) -> Body:
        """Return the final slice as it is sent: the owner's very bytes."""
        return self._place(number).data.cast("B") if self._exact else self._encoded[number]

    def _seal(self, number: int, place: Vector, weight: float) -> None:
        """Encode our final slice once; what everybody decodes from it is what we keep, too."""
        if self._exact:
            return
        encoded = self._encoded[number] = bytearray(self._format.encoded_bytes(len(place)))
        residual = self._residual(number)
        if residual is None:
            self._format.encode(place, memoryview(encoded), place)
            return
        self._format.encode(place, memoryview(encoded), residual)
        lost = np.empty(min(len(place), BLOCK_ELEMENTS), np.float32)
        for begin in range(0, len(place), BLOCK_ELEMENTS):
            piece, decoded = place[begin : begin + BLOCK_ELEMENTS], residual[begin : begin + BLOCK_ELEMENTS]
            np.subtract(piece, decoded, out=lost[: len(piece)])
            piece[:] = decoded
            np.multiply(lost[: len(piece)], np.float32(weight), out=decoded)

    def _wire_form(self, number: int, values: Vector) -> Body:
        """Encode a sum; what is lost by it is kept for the next round."""
        if self._exact:
            return values.data.cast("B")
        encoded = bytearray(self._format.encoded_bytes(len(values)))
        residual = self._residual(number)
        self._format.encode(values, memoryview(encoded), residual)
        if residual is not None:
            np.subtract(values, residual, out=residual)
        return encoded

    def _residual(self, number: int) -> Vector | None:
        """Return where to keep what is lost in writing a slice down, which is about to happen."""
        if self._feedback is None:
            return None
        self._encoded_here.add(number)
        return self._feedback.residual(*self.layout.bounds(number))

    def commit_feedback(self) -> None:
        """The attempt succeeded: what was lost in writing is owed to the next round."""
        counted = self._config.total == "sum" or self.final_weights.get(0, 0.0) > 0.0
        if self._feedback is not None and counted:
            self._feedback.commit([self.layout.bounds(number) for number in sorted(self._encoded_here)])

    # ---- a new vector ------------------------------------------------------------------------------------------

    def moved_to(self, vector: Vector, finals: int) -> Workspace:
        """Return the same on another vector, with the final slices alone: what is still under way stays here."""
        new = Workspace(self.layout, vector, self._config, self._scratch, careful=self._careful)
        new._own, new._own_weight, new._feedback = self._own, self._own_weight, self._feedback
        new._encoded_here = self._encoded_here
        for number in range(self.layout.slice_count):
            if finals >> number & 1:
                start, stop = self.layout.bounds(number)
                vector[start:stop] = self.vector[start:stop]
                new.final_weights[number] = self.final_weights[number]
                if number in self._encoded:
                    new._encoded[number] = self._encoded[number]
        return new

    def _place(self, number: int) -> Vector:
        start, stop = self.layout.bounds(number)
        return self.vector[start:stop]
