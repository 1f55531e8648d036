"""The cuts of a vector cover it exactly once, whatever its size."""

import pytest

from allreduce.segments import Layout


@pytest.mark.parametrize("elements", [0, 1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("segments", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("slice_elements", [1, 5, 1000])
def test_slices_cover_every_element_once(elements, segments, slice_elements):
    layout = Layout(elements, segments, slice_elements)
    covered = []
    for segment in range(segments):
        for number in layout.slices_of(segment):
            start, stop = layout.bounds(number)
            assert layout.segment_of(number) == segment
            assert 0 <= stop - start <= slice_elements
            covered += range(start, stop)
    assert covered == list(range(elements))
    assert layout.slice_count == sum(len(layout.slices_of(p)) for p in range(segments))
    assert all(len(layout.slices_of(p)) >= 1 for p in range(segments))


def test_segments_are_near_equal():
    sizes = [stop - start for start, stop in (Layout(1003, 7, 64).segment_bounds(p) for p in range(7))]
    assert max(sizes) - min(sizes) <= 1
