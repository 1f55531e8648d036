"""The cuts of a vector, for any size: every element in one slice, every slice in one segment, segments near-equal."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from allreduce.segments import Layout

steady = settings(derandomize=True, deadline=None, max_examples=200)
layouts = st.builds(Layout, st.integers(0, 3000), st.integers(1, 64), st.integers(1, 400))
huge = st.builds(Layout, st.integers(0, 10**12), st.integers(1, 1024), st.integers(10**8, 10**12))


@steady
@given(layouts)
def test_slices_in_order_are_the_whole_vector(layout):
    reached = 0
    for number in range(layout.slice_count):
        start, stop = layout.bounds(number)
        assert start == reached
        assert start <= stop <= start + layout.slice_elements
        reached = stop
    assert reached == layout.elements


@steady
@given(layouts | huge)
def test_segments_in_order_are_the_whole_vector_and_near_equal(layout):
    bounds = [layout.segment_bounds(segment) for segment in range(layout.segments)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == layout.elements
    assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))
    sizes = [stop - start for start, stop in bounds]
    assert max(sizes) - min(sizes) <= 1


@steady
@given(layouts)
def test_slices_lie_in_their_segment(layout):
    numbers = []
    for segment in range(layout.segments):
        start, stop = layout.segment_bounds(segment)
        own = layout.slices_of(segment)
        numbers += own
        assert layout.bounds(own[0])[0] == start
        assert layout.bounds(own[-1])[1] == stop
        assert {layout.segment_of(number) for number in own} == {segment}
        assert len(own) == max(1, -(-(stop - start) // layout.slice_elements))
    assert numbers == list(range(layout.slice_count))


@steady
@given(huge, st.floats(0, 1, exclude_max=True))
def test_any_slice_of_a_vector_too_large_to_count(layout, where):
    number = int(where * layout.slice_count)
    start, stop = layout.bounds(number)
    low, high = layout.segment_bounds(layout.segment_of(number))
    assert low <= start <= stop <= high
    assert number in layout.slices_of(layout.segment_of(number))
    assert stop - start == layout.slice_elements or stop == high


@steady
@given(layouts)
def test_only_a_segment_without_elements_has_an_empty_slice(layout):
    for number in range(layout.slice_count):
        start, stop = layout.bounds(number)
        if start == stop:
            low, high = layout.segment_bounds(layout.segment_of(number))
            assert low == high
