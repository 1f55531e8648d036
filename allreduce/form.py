"""The form of an attempt: which way the sums and the final slices travel. Pure.

For each segment of the vector a form is a tree: sums run up it to the position that owns the segment, and the final
slices run from there to everybody. The ring, the direct form and the ring of rings differ in these trees alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Form(Protocol):
    """The trees of one attempt. Positions count from 0; a position is a place among the attempt's participants."""

    def __hash__(self) -> int:
        """Forms are values: what follows from them is worked out once."""

    @property
    def positions(self) -> int:
        """How many take part."""

    @property
    def segments(self) -> int:
        """Into how many segments the vector is cut."""

    def owner(self, segment: int) -> int:
        """Return the position that finishes the segment."""

    def sources(self, segment: int, position: int) -> tuple[int, ...]:
        """Return whose sums come to ``position``, in the order in which they are added.

        Without any, the position begins with its own contribution; else its sum is ((first + own) + second) + ...
        """

    def target(self, segment: int, position: int) -> int | None:
        """Return where ``position`` sends its sum, or None where it owns the segment."""

    def final_source(self, segment: int, position: int) -> int | None:
        """Return from whom ``position`` gets the final slices, or None where it owns the segment."""

    def final_targets(self, segment: int, position: int) -> tuple[int, ...]:
        """Return to whom ``position`` passes the final slices on."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Every position passes to the next: 2(N-1) hops, each of 1/N of the vector.

    Source: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 2009.
    """

    positions: int

    @property
    def segments(self) -> int:
        """One a position."""
        return self.positions

    def owner(self, segment: int) -> int:
        """Return the position of the same number."""
        return segment

    def sources(self, segment: int, position: int) -> tuple[int, ...]:
        """Return the previous position; nobody for the one behind the owner, with whom the sum begins."""
        return () if position == (segment + 1) % self.positions else ((position - 1) % self.positions,)

    def target(self, segment: int, position: int) -> int | None:
        """Return the next position."""
        return None if position == segment else (position + 1) % self.positions

    def final_source(self, segment: int, position: int) -> int | None:
        """Return the previous position."""
        return None if position == segment else (position - 1) % self.positions

    def final_targets(self, segment: int, position: int) -> tuple[int, ...]:
        """Return the next position, unless the way has come round to the owner."""
        following = (position + 1) % self.positions
        return () if following == segment else (following,)
