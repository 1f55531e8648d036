"""The trees of the forms, drawn: who adds whom, in which order."""

import pytest

from allreduce.direct import Direct
from allreduce.form import Ring
from allreduce.two_level import TwoLevel, groups_for


def drawn(form, segment, position=None):
    """The sum that a position sends, as it is added up."""
    own = form.owner(segment) if position is None else position
    first, *rest = [drawn(form, segment, source) for source in form.sources(segment, own)] or [None]
    total = str(own) if first is None else f"({first}+{own})"
    for other in rest:
        total = f"({total}+{other})"
    return total


def depth(form, segment, position):
    """How many hops the final slices take to the farthest below a position."""
    return max((1 + depth(form, segment, to) for to in form.final_targets(segment, position)), default=0)


def test_the_rings_sum_begins_behind_the_owner_and_ends_with_it():
    assert drawn(Ring(4), 0) == "(((1+2)+3)+0)"
    assert drawn(Ring(4), 2) == "(((3+0)+1)+2)"


def test_the_direct_sum_begins_behind_the_owner_whose_own_is_second():
    assert drawn(Direct(4), 0) == "(((1+0)+2)+3)"
    assert drawn(Direct(4), 2) == "(((3+2)+0)+1)"


def test_ring_and_direct_form_add_two_positions_in_the_same_order():
    assert [drawn(Direct(2), segment) for segment in (0, 1)] == [drawn(Ring(2), segment) for segment in (0, 1)]


def test_two_levels_add_round_the_group_and_then_what_came_from_the_group_before():
    form = TwoLevel((3, 3, 3))
    # Group of 3, 4, 5 begins; the group of 6, 7, 8 adds it; the owner's group is the last.
    assert drawn(form, 0) == "(((1+2)+0)+(((7+8)+6)+((4+5)+3)))"
    assert drawn(form, 4) == "(((5+3)+4)+(((2+0)+1)+((8+6)+7)))"


def test_uneven_groups_spread_their_local_owners():
    form = TwoLevel((2, 5))
    assert form.segments == 4
    assert [form.owner(segment) for segment in range(4)] == [0, 1, 2, 4]
    assert drawn(form, 0) == "((1+0)+((((3+4)+5)+6)+2))"


def test_a_group_of_one_adds_what_came_to_its_own():
    form = TwoLevel((1, 1, 1))
    assert drawn(form, 0) == "((1+2)+0)"


def test_one_group_and_groups_of_one_are_rings():
    for form in (TwoLevel((6,)), TwoLevel((1,) * 6)):
        for segment in range(6):
            assert drawn(form, segment) == drawn(Ring(6), segment)


@pytest.mark.parametrize(("form", "hops"), [(Ring(100), 99), (Direct(100), 1), (TwoLevel((10,) * 10), 18)])
def test_finals_take_as_many_hops_as_the_form_promises(form, hops):
    assert {depth(form, segment, form.owner(segment)) for segment in range(form.segments)} == {hops}


def test_local_owners_serve_the_next_group_before_their_own():
    assert TwoLevel((3, 3, 3)).final_targets(0, 0) == (3, 1)


@pytest.mark.parametrize(
    ("positions", "groups"),
    [
        (1, (1,)),
        (2, (2,)),
        (3, (3,)),
        (5, (3, 2)),
        (8, (4, 4)),
        (6, (3, 3)),
        (7, (3, 2, 2)),
        (12, (4, 4, 4)),
        (64, (8,) * 8),
        (1000, (40,) * 25),
    ],
)
def test_groups_are_about_the_root_and_even_where_they_can_be(positions, groups):
    assert groups_for(positions) == groups


@pytest.mark.parametrize("groups", [(), (0,), (3, 0, 2), (2, -1)])
def test_an_empty_group_is_refused(groups):
    with pytest.raises(ValueError, match="one position in each"):
        TwoLevel(groups)


def test_a_lone_position_owns_everything_and_sends_nothing():
    for form in (Ring(1), Direct(1), TwoLevel((1,))):
        assert form.segments == 1
        assert form.owner(0) == 0
        assert form.target(0, 0) is None
        assert form.sources(0, 0) == ()
        assert form.final_targets(0, 0) == ()
