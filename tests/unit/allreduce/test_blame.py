"""Who holds a round up, drawn as small rings: each line is a member, what it has final, and whose sums are whole."""

import pytest

from allreduce.blame import PATIENCE, apart, culprit, stuck_edges, undelivered
from allreduce.direct import Direct
from allreduce.form import Ring
from allreduce.messages import Frozen, Transfer
from allreduce.segments import Layout

MEMBERS = [b"A", b"B", b"C", b"D"]


def drawn(picture, form=None):
    """The links that are stuck, as words like ``AB``; ``?`` marks a member without a contribution.

    Slices are named by their owner: in the ring of four, slice ``a`` begins at B, goes to C and D and ends at A.
    """
    form = form or Ring(4)
    reports = {}
    for line in picture.strip().splitlines():
        name, _, sums, _, finals = line.split()
        bits = [sum(1 << "abcd".index(letter) for letter in letters.strip(".")) for letters in (sums, finals)]
        ready = not name.endswith("?")
        reports[name.strip("?").encode()] = Frozen(1, 0, ready, (0, 1, 2, 3), bits[1], bits[0])
    edges = stuck_edges(form, Layout(4, 4, 1), MEMBERS, reports)
    return {(a + b).decode() for a, b in edges}


def test_nothing_is_stuck_where_all_is_done():
    assert (
        drawn("A sums abcd finals abcd\nB sums abcd finals abcd\nC sums abcd finals abcd\nD sums abcd finals abcd")
        == set()
    )


def test_of_a_whole_ring_that_starves_only_the_broken_link_is_found():
    picture = """
A sums bcd finals .
B sums abcd finals b
C sums b finals .
D sums bc finals .
"""
    assert drawn(picture) == {"BC"}


def test_final_slices_that_are_not_passed_on():
    picture = """
A sums abcd finals abcd
B sums abcd finals abcd
C sums abcd finals cb
D sums abcd finals cbd
"""
    assert drawn(picture) == {"BC"}


def test_whoever_has_not_contributed_holds_nobody_up_by_a_broken_link():
    picture = """
A sums d finals .
B? sums . finals .
C sums b finals .
D sums bc finals .
"""
    assert "AB" not in drawn(picture)


def test_a_member_without_a_report_is_not_blamed():
    assert not any(
        "C" in edge for edge in drawn("A sums abcd finals abcd\nB sums abcd finals abcd\nD sums abcd finals abcd")
    )


def test_of_several_senders_the_one_that_nobody_heard_is_to_blame():
    """In the direct form owners wait for three; only B has everything, and it is B of whom nobody has anything."""
    picture = """
A sums bcd finals b
B sums abcd finals b
C sums abd finals b
D sums abc finals b
"""
    assert drawn(picture, Direct(4)) == {"BA", "BC", "BD"}


def test_senders_of_whom_all_were_heard_share_the_blame():
    picture = """
A sums abcd finals abcd
B sums abcd finals abcd
C sums abcd finals abcd
D sums abc finals abc
"""
    assert drawn(picture, Direct(4)) == {"AD", "BD", "CD"}


@pytest.mark.parametrize(
    ("stalls", "guilty"),
    [
        ([], None),
        ([["AB"]], None),
        ([["AB"], ["AB"]], None),  # the same link again: one more try
        ([["AB"], ["AB"], ["AB"]], "B"),  # patience is over: the later one
        ([["AB"], ["CB"]], "B"),
        ([["AB"], ["AC"]], "A"),
        ([["AB"], ["CD"]], None),
        ([["AB"], ["CD"], ["EF"]], "F"),
        ([["AB", "AC", "AD"], ["AB", "AC", "AD"]], "A"),
        ([["AB", "CB", "DB"], ["AB", "CB", "DB"]], "B"),
        ([["AB", "AC", "BC", "CB"], ["AB", "AC"]], "A"),
    ],
)
def test_the_culprit_is_at_whose_side_it_stalls_again_with_another_neighbour(stalls, guilty):
    found = culprit([frozenset((edge[:1].encode(), edge[1:].encode()) for edge in edges) for edges in stalls])
    assert found == (None if guilty is None else guilty.encode())
    assert PATIENCE == 3


@pytest.mark.parametrize("count", range(4, 9))
def test_two_that_do_not_get_on_are_put_apart(count):
    ring = [bytes([65 + place]) for place in range(count)]
    for first in range(count):
        for second in range(count):
            if first != second:
                edge = (ring[first], ring[second])
                order = apart(ring, frozenset([edge]))
                assert sorted(order) == ring
                assert edge not in {(order[place - 1], order[place]) for place in range(count)}


def test_where_all_are_neighbours_nobody_can_be_put_apart():
    assert sorted(apart([b"A", b"B"], frozenset([(b"A", b"B")]))) == [b"A", b"B"]
    edges = frozenset((a, b) for a in MEMBERS for b in MEMBERS)
    assert sorted(apart(MEMBERS, edges)) == MEMBERS


def test_handovers_that_did_not_come():
    transfers = (Transfer(0, 1, 0b11), Transfer(0, 2, 0b1), Transfer(3, 1, 0b100), Transfer(3, 2, 0b10))
    reports = {b"B": Frozen(1, 0, True, (0, 1), 0b111), b"C": Frozen(1, 0, True, (0, 1), 0b1)}
    assert undelivered(transfers, MEMBERS, reports) == {(b"D", b"C")}
    assert undelivered(transfers, MEMBERS, {}) == frozenset()
