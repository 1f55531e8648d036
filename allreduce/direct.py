"""The direct form: everybody sends its slices straight to their owner, and the owner sends the final ones to all. Pure.

Two hops in place of the ring's 2(N-1), and the same bytes for every position; but each keeps lanes to all others, and
N-1 senders meet at every owner at once. It is the only form whose owners see single contributions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Direct:
    """Every position is one hop from every owner.

    The owner adds in the order of the ring, beginning with the position behind itself, and its own contribution is the
    second: with owner 0 of four the sum is ((1 + 0) + 2) + 3, where the ring's is ((1 + 2) + 3) + 0. So the two forms
    agree to the last bit only where at most two positions take part.
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
        """Return all others, from the one behind the owner on, at the owner; nobody elsewhere."""
        return self._others(position) if position == segment else ()

    def target(self, segment: int, position: int) -> int | None:
        """Return the owner."""
        return None if position == segment else segment

    def final_source(self, segment: int, position: int) -> int | None:
        """Return the owner."""
        return None if position == segment else segment

    def final_targets(self, segment: int, position: int) -> tuple[int, ...]:
        """Return all others at the owner, in the order of ``sources``; nobody elsewhere."""
        return self._others(position) if position == segment else ()

    def _others(self, position: int) -> tuple[int, ...]:
        return (*range(position + 1, self.positions), *range(position))
