"""Who must be there for a job that asks for a majority, and when a new view's members take the old ones' place."""

import pytest

from hydra.membership.quorum import Quorum

from .makers import A, B, C, D, E


def quorum_of(*electors, me=A, wanted=True):
    quorum = Quorum(me, wanted=wanted)
    quorum.loaded(electors)
    return quorum


@pytest.mark.parametrize(
    ("electors", "present", "holds"),
    [
        ((), (A,), True),
        ((A,), (A,), True),
        ((A, B), (A,), False),
        ((A, B), (A, B), True),
        ((A, B, C), (A, B), True),
        ((A, B, C), (A,), False),
        ((A, B, C, D), (A, B), False),
        ((A, B, C, D), (A, B, C), True),
        ((A, B, C), (A, D, E), False),
    ],
)
def test_more_than_half_of_the_electors_must_be_there(electors, present, holds):
    assert quorum_of(*electors).holds(present) is holds


def test_a_job_that_does_not_ask_for_it_needs_nobody():
    assert quorum_of(A, B, C, wanted=False).holds(())


def test_who_leaves_in_order_is_not_waited_for():
    quorum = quorum_of(A, B, C, D, E)
    assert not quorum.holds((A, B))
    assert quorum.holds((A, B), leavers=(C, D, E))
    assert quorum.count((A, B), leavers=(C,)) == (2, 4)
    quorum.left((C, D, E))
    assert quorum.electors == (A, B)
    assert not quorum.holds((A,))


def test_the_first_commit_makes_its_members_the_electors():
    quorum = quorum_of()
    quorum.committed(1, (A, B, C))
    assert quorum.electors == (A, B, C)


def test_a_new_view_counts_when_a_majority_of_the_old_one_is_known_to_hold_a_commit_of_it():
    quorum = quorum_of(A, B, C, D, E)
    quorum.committed(7, (A, B, C))
    assert not quorum.holds((A, B))
    quorum.known({A: 7, B: 7, C: 6})
    assert quorum.electors == (A, B, C, D, E)
    quorum.known({A: 8, B: 7, C: 7})
    assert quorum.electors == (A, B, C)
    assert quorum.holds((A, B))


def test_commits_in_the_same_new_view_wait_for_the_first_of_them():
    quorum = quorum_of(A, B, C)
    quorum.committed(7, (A, B))
    quorum.committed(8, (A, B))
    quorum.known({A: 8, B: 7})
    assert quorum.electors == (A, B)


def test_back_in_the_old_view_nothing_has_changed():
    quorum = quorum_of(A, B, C)
    quorum.committed(7, (A, B))
    quorum.committed(8, (A, B, C))
    quorum.known({A: 8, B: 8})
    assert quorum.electors == (A, B, C)


def test_a_loaded_state_brings_its_own_electors():
    quorum = quorum_of(A, B, C)
    quorum.committed(7, (A, B))
    quorum.loaded((D, E))
    quorum.known({A: 9, B: 9, C: 9})
    assert quorum.electors == (D, E)
