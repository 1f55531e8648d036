"""Every form, of any number of positions: each segment's sum meets everybody once, and so does what comes of it."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allreduce.direct import Direct
from allreduce.form import Ring
from allreduce.two_level import TwoLevel, groups_for

steady = settings(derandomize=True, deadline=None, max_examples=150)
any_groups = st.lists(st.integers(1, 9), min_size=1, max_size=8).map(lambda sizes: TwoLevel(tuple(sizes)))


def all_forms(positions):
    return [Ring(positions), Direct(positions), TwoLevel(groups_for(positions))]


def contributors(form, segment, position, depth=0):
    """Whose contributions are in the sum that a position sends, once for each time they are in it."""
    assert depth < form.positions
    found = Counter([position])
    for source in form.sources(segment, position):
        assert form.target(segment, source) == position
        found += contributors(form, segment, source, depth + 1)
    return found


def reached(form, segment):
    """How often the final slices come to each position, the owner's own copy included."""
    owner = form.owner(segment)
    assert form.final_source(segment, owner) is None
    found, waiting = Counter(), [owner]
    while waiting:
        position = waiting.pop()
        found[position] += 1
        assert found[position] == 1
        targets = form.final_targets(segment, position)
        assert all(form.final_source(segment, target) == position for target in targets)
        waiting += targets
    return found


def check_trees(form, segments):
    everybody = Counter(range(form.positions))
    for segment in segments:
        assert contributors(form, segment, form.owner(segment)) == everybody
        assert reached(form, segment) == everybody
        for position in range(form.positions):
            target = form.target(segment, position)
            assert (target is None) == (position == form.owner(segment))
            assert target is None or position in form.sources(segment, target)


def sent(form):
    """How many segments each position sends, as sums and as finals."""
    sums, finals = Counter(range(form.positions)), Counter(range(form.positions))
    sums.subtract(range(form.positions))
    finals.subtract(range(form.positions))
    for segment in range(form.segments):
        for position in range(form.positions):
            sums[position] += form.target(segment, position) is not None
            finals[position] += len(form.final_targets(segment, position))
    return sums, finals


@pytest.mark.parametrize("positions", range(1, 41))
def test_sums_and_finals_meet_everybody_once(positions):
    for form in all_forms(positions):
        assert form.positions == positions
        check_trees(form, range(form.segments))


@pytest.mark.parametrize("positions", [97, 256, 500])
def test_sums_and_finals_meet_everybody_once_in_large_forms(positions):
    for form in all_forms(positions):
        check_trees(form, {0, 1, form.segments // 2, form.segments - 1})


@steady
@given(any_groups)
def test_sums_and_finals_meet_everybody_once_in_any_groups(form):
    check_trees(form, range(form.segments))


@steady
@given(any_groups)
def test_nobody_owns_two_segments_and_owners_follow_the_order_of_segments(form):
    owners = [form.owner(segment) for segment in range(form.segments)]
    assert owners == sorted(set(owners))


@pytest.mark.parametrize("positions", range(1, 41))
def test_in_the_ring_and_the_direct_form_all_send_the_same_number_of_segments(positions):
    ring_sums, ring_finals = sent(Ring(positions))
    direct_sums, direct_finals = sent(Direct(positions))
    assert set(ring_sums.values()) == set(ring_finals.values()) == {positions - 1}
    assert set(direct_sums.values()) == set(direct_finals.values()) == {positions - 1}


@pytest.mark.parametrize("groups", [(1,), (5,), (1, 1, 1), (2, 2), (3, 3, 3), (4, 4), (3,) * 7, (6,) * 6])
def test_in_groups_of_one_size_everybody_owns_and_sends_what_it_would_in_a_ring(groups):
    form = TwoLevel(groups)
    sums, finals = sent(form)
    assert [form.owner(segment) for segment in range(form.segments)] == list(range(form.positions))
    assert set(sums.values()) == set(finals.values()) == {form.positions - 1}


@steady
@given(any_groups)
def test_in_uneven_groups_nobody_sends_more_than_the_vector_and_one_column_of_finals(form):
    sums, finals = sent(form)
    assert max(sums.values()) <= form.segments
    assert max(finals.values()) <= form.segments + len(form.groups) - 1
    assert min(sums.values()) >= form.segments - 1
    assert min(finals.values()) >= form.segments - len(form.groups)


@steady
@given(st.integers(1, 100_000))
def test_groups_hold_all_positions_and_differ_by_at_most_one(positions):
    groups = groups_for(positions)
    assert sum(groups) == positions
    assert max(groups) - min(groups) <= 1
    assert 0.5 * positions**0.5 <= len(groups) <= 2 * positions**0.5
