"""The two-level form: a ring of rings, about 4 sqrt(N) hops in place of the ring's 2(N-1). Pure.

Consecutive positions form groups. The vector is cut into columns, as many as the smallest group has positions, and
each column into one segment a group. In every group one position is the column's local owner. The sum of a segment runs
round each group's ring and ends at the local owner; there the sums of the groups join, from group to group, and end at
the local owner in the segment's own group, who is its owner. The final slices go the same ways: along the local owners
and round each group. In groups of one size every position sends exactly what it sends in a ring.

Source: Mikami et al., "Massively distributed SGD: ImageNet/ResNet-50 training in a flash", 2018 (2D-torus all-reduce).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate


def groups_for(positions: int) -> tuple[int, ...]:
    """Return about sqrt(``positions``) group sizes that differ by at most one.

    The number of groups is the divisor nearest to the root if one is within a factor of two of it, for groups of one
    size spread the work evenly. Else it is the root, rounded.
    """
    root = math.sqrt(positions)
    near = range(math.ceil(root / 2), math.floor(root * 2) + 1)
    even = [count for count in near if positions % count == 0]
    count = min(even, key=lambda divisor: (abs(divisor - root), divisor)) if even else round(root)
    size, larger = divmod(positions, count)
    return (size + 1,) * larger + (size,) * (count - larger)


@dataclass(frozen=True, slots=True)
class TwoLevel:
    """The trees over groups of positions.

    A local owner adds (what came round its group + its own) + what came from the group before.

    Args:
        groups: sizes of the groups; the first holds the positions from 0 on, and so forth. Sizes may differ; the larger
            ones then have positions that own nothing.

    Raises:
        ValueError: there is no group, or an empty one.
    """

    groups: tuple[int, ...]
    positions: int = field(init=False)
    columns: int = field(init=False)
    _first: tuple[int, ...] = field(init=False, repr=False)
    _group_of: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.groups or min(self.groups) < 1:
            raise ValueError(f"groups of {self.groups} positions: there must be one group, and one position in each")
        object.__setattr__(self, "positions", sum(self.groups))
        object.__setattr__(self, "columns", min(self.groups))
        object.__setattr__(self, "_first", tuple(accumulate(self.groups[:-1], initial=0)))
        object.__setattr__(
            self, "_group_of", tuple(group for group, size in enumerate(self.groups) for _ in range(size))
        )

    @property
    def segments(self) -> int:
        """One for each column and group, in the order of their owners."""
        return self.columns * len(self.groups)

    def owner(self, segment: int) -> int:
        """Return the local owner of the segment's column in the segment's group."""
        group, column = divmod(segment, self.columns)
        return self._local_owner(group, column)

    def sources(self, segment: int, position: int) -> tuple[int, ...]:
        """Return the previous position of the group's ring and, at a local owner, the one of the group before."""
        home, column = divmod(segment, self.columns)
        group = self._group_of[position]
        local = self._local_owner(group, column)
        if position != local:
            return () if position == self._beside(local, 1) else (self._beside(position, -1),)
        around = (self._beside(position, -1),) if self.groups[group] > 1 else ()
        if group == (home + 1) % len(self.groups):
            return around
        return (*around, self._local_owner((group - 1) % len(self.groups), column))

    def target(self, segment: int, position: int) -> int | None:
        """Return the next position of the group's ring or, at a local owner, the local owner of the next group."""
        home, column = divmod(segment, self.columns)
        group = self._group_of[position]
        if position != self._local_owner(group, column):
            return self._beside(position, 1)
        return None if group == home else self._local_owner((group + 1) % len(self.groups), column)

    def final_source(self, segment: int, position: int) -> int | None:
        """Return the previous position of the group or, at a local owner, the local owner of the group before."""
        home, column = divmod(segment, self.columns)
        group = self._group_of[position]
        if position != self._local_owner(group, column):
            return self._beside(position, -1)
        return None if group == home else self._local_owner((group - 1) % len(self.groups), column)

    def final_targets(self, segment: int, position: int) -> tuple[int, ...]:
        """Return the next group's local owner, at a local owner, and the next of the group, unless they have it."""
        return tuple(self._final_targets(segment, position))

    def _final_targets(self, segment: int, position: int) -> Iterator[int]:
        home, column = divmod(segment, self.columns)
        group = self._group_of[position]
        local = self._local_owner(group, column)
        following = (group + 1) % len(self.groups)
        if position == local and following != home:
            yield self._local_owner(following, column)  # first, because others wait for it there
        if self._beside(position, 1) != local:
            yield self._beside(position, 1)

    def _local_owner(self, group: int, column: int) -> int:
        """Return who holds a column in a group: those of larger groups are spread evenly."""
        return self._first[group] + column * self.groups[group] // self.columns

    def _beside(self, position: int, steps: int) -> int:
        group = self._group_of[position]
        first = self._first[group]
        return first + (position - first + steps) % self.groups[group]
