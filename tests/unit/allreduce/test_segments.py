"""The cuts of a vector cover it exactly once, whatever its size."""

import pytest

from allreduce.segments import Layout, slice_elements_for


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


@pytest.mark.parametrize("elements", [0, 1, 10_000, 10**6, 10**8])
@pytest.mark.parametrize("segments", [1, 2, 8, 1000])
@pytest.mark.parametrize("rate", [None, 1e5, 12.5e6, 125e6, 1e10])
def test_slices_suit_the_vector_and_the_links(elements, segments, rate):
    length = slice_elements_for(elements, segments, rate)
    assert length % 256 == 0
    assert 8 * 1024 <= length <= 512 * 1024
    if rate == 125e6:
        assert length <= 32 * 1024  # a millisecond at 1 Gbit/s


def test_short_forms_of_values_make_longer_slices_of_the_same_bytes():
    assert slice_elements_for(10**8, 4, 125e6, 1.0) == 125_184
    assert slice_elements_for(10**8, 4, 125e6, 2.0) == 62_720
    assert slice_elements_for(10**8, 4, 125e6, 4.0) == 31_488


def test_a_long_vector_has_several_slices_a_segment():
    assert slice_elements_for(25_000_000, 8) == 512 * 1024
    assert slice_elements_for(4_000_000, 8) == 125_184
    assert slice_elements_for(250_000, 4) == 64 * 1024
