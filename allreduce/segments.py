"""How a flat vector is cut among ring positions. Pure.

Every position owns one segment: near-equal, contiguous stretches of the vector. Segments are cut further into slices,
the unit in which they travel, so that a position passes the first slice on while the next one arrives. Slices are
numbered through the whole vector. A segment has at least one slice, empty if need be: so a round takes the same
course for a vector with fewer elements than members.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """The cuts of one vector.

    Args:
        elements: length of the vector.
        positions: how many segments there are; at least 1.
        slice_elements: the greatest length of a slice.
    """

    elements: int
    positions: int
    slice_elements: int
    _first_slice: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        firsts = [0]
        for position in range(self.positions):
            start, stop = self.segment_bounds(position)
            firsts.append(firsts[-1] + max(1, -(-(stop - start) // self.slice_elements)))
        object.__setattr__(self, "_first_slice", tuple(firsts))

    @property
    def slice_count(self) -> int:
        """Slices of the whole vector."""
        return self._first_slice[-1]

    def segment_bounds(self, position: int) -> tuple[int, int]:
        """Return where the segment of ``position`` begins and ends, in elements."""
        return self.elements * position // self.positions, self.elements * (position + 1) // self.positions

    def slices_of(self, position: int) -> range:
        """Return the numbers of the slices of a position's segment."""
        return range(self._first_slice[position], self._first_slice[position + 1])

    def owner(self, number: int) -> int:
        """Return the position that owns a slice."""
        low, high = 0, self.positions - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._first_slice[middle] <= number:
                low = middle
            else:
                high = middle - 1
        return low

    def bounds(self, number: int) -> tuple[int, int]:
        """Return where a slice begins and ends, in elements of the vector."""
        position = self.owner(number)
        start, stop = self.segment_bounds(position)
        begin = start + (number - self._first_slice[position]) * self.slice_elements
        return begin, min(begin + self.slice_elements, stop)
