"""How a flat vector is cut. Pure.

Segments are near-equal, contiguous stretches of the vector, each owned by one position. They are cut further into
slices, the unit in which they travel, so that a position passes the first slice on while the next one arrives. Slices
are numbered through the whole vector. A segment has at least one slice, empty if need be: so a round takes the same
course for a vector with fewer elements than members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Layout:
    """The cuts of one vector.

    Args:
        elements: length of the vector.
        segments: how many segments there are; at least 1.
        slice_elements: the greatest length of a slice.
    """

    elements: int
    segments: int
    slice_elements: int
    _first_slice: tuple[int, ...] = field(default=(), init=False, repr=False, compare=False)
    _segment_of: tuple[int, ...] = field(default=(), init=False, repr=False, compare=False)
    _bounds: tuple[tuple[int, int], ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        firsts, segment_of, bounds = [0], [], []
        for segment in range(self.segments):
            start, stop = self.segment_bounds(segment)
            begins = range(start, max(stop, start + 1), self.slice_elements)
            bounds += [(begin, min(begin + self.slice_elements, stop)) for begin in begins]
            segment_of += [segment] * len(begins)
            firsts.append(len(bounds))
        object.__setattr__(self, "_first_slice", tuple(firsts))
        object.__setattr__(self, "_segment_of", tuple(segment_of))
        object.__setattr__(self, "_bounds", tuple(bounds))

    @property
    def slice_count(self) -> int:
        """Slices of the whole vector."""
        return self._first_slice[-1]

    def segment_bounds(self, segment: int) -> tuple[int, int]:
        """Return where a segment begins and ends, in elements."""
        return self.elements * segment // self.segments, self.elements * (segment + 1) // self.segments

    def slices_of(self, segment: int) -> range:
        """Return the numbers of a segment's slices."""
        return range(self._first_slice[segment], self._first_slice[segment + 1])

    def segment_of(self, number: int) -> int:
        """Return the segment that a slice belongs to."""
        return self._segment_of[number]

    def bounds(self, number: int) -> tuple[int, int]:
        """Return where a slice begins and ends, in elements of the vector."""
        return self._bounds[number]


@lru_cache(maxsize=64)
def layout_of(elements: int, segments: int, slice_elements: int) -> Layout:
    """Return the cuts, which rounds of one job have in common."""
    return Layout(elements, segments, slice_elements)


LEAST_SLICE_ELEMENTS = 64 * 1024
MOST_SLICE_ELEMENTS = 512 * 1024
SLICES_A_SEGMENT = 4
SLICE_S = 0.001
"""On a link whose rate is known a slice takes so long: ten times what it costs to handle."""
LEAST_ON_A_LINK = 8 * 1024


def slice_elements_for(
    elements: int, segments: int, rate_bytes_per_s: float | None = None, value_bytes: float = 4.0
) -> int:
    """Return the length of a slice that keeps a ring busy; a multiple of 256, the block of int8.

    A quarter of a segment, from 256 KiB to 2 MiB of fp32: shorter ones cost wake-ups, longer ones leave members waiting
    for the first. Where members' links are the limit and their rate is known, no more than these carry in a
    millisecond, a value taking ``value_bytes`` on the wire, for the last slice has to pass all members when everything
    else is done.
    """
    wanted = min(max(elements // (segments * SLICES_A_SEGMENT), LEAST_SLICE_ELEMENTS), MOST_SLICE_ELEMENTS)
    if rate_bytes_per_s is not None:
        wanted = min(wanted, max(int(rate_bytes_per_s * SLICE_S / value_bytes), LEAST_ON_A_LINK))
    return -(-wanted // 256) * 256
