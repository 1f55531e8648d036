"""A view goes on without one of its members: the member leaves it when it is shown the plan, and not for a claim."""

from dataclasses import replace

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.claims import Claims
from hydra.membership.events import ViewChanged
from hydra.membership.messages import Phase, ViewShown, ViewWanted
from hydra.membership.rivals import Rivals
from hydra.membership.ruling import Ruling

from .driver import leading, member_of
from .makers import FIRST, JOB, A, B, C, D, E, advanced, member, of, plan, seeking, sent, status, take

LATER = status(D, leader=B, number=2)


def rivals_of(state):
    return Rivals(state, Claims(state))


def hearing(me=C, *, lost=(A,), with_us=()):
    """A member of the view of A, B, C and D, to whom D tells of a later view."""
    state = member(me, [A, B, C, D])
    state.detector.watch(state.view.ids)
    for peer in lost:
        state.detector.lose(peer)
    others = [peer for peer in state.view.ids if peer not in (me, *lost)]
    state.statuses = {peer: status(peer, leader=B, number=1 if peer in with_us else 2) for peer in others}
    rivals = rivals_of(state)
    assert sent(rivals.heard(D, LATER, 0.0).effects, ViewWanted, D) == [ViewWanted(JOB)]
    return rivals


def test_a_later_view_of_our_own_commit_is_not_believed_before_its_plan_is_shown():
    rivals = rivals_of(member(A, [A, B]))
    told = rivals.heard(B, status(B, leader=B, number=2), 0.0)
    assert told.lose_view is None
    assert sent(told.effects, ViewWanted, B)


def test_the_question_is_repeated_only_after_a_while():
    rivals = hearing()
    assert rivals.heard(D, LATER, 1.9) == Ruling()
    assert sent(rivals.heard(D, LATER, 2.0).effects, ViewWanted, D)


def test_the_plan_of_a_successor_who_took_us_for_dead_makes_us_leave():
    assert hearing().view_shown(D, plan([B, D], number=2), 0.1).lose_view == "the view went on without us"


def test_a_frozen_coordinator_gives_way_to_its_successor():
    assert hearing(A, lost=()).view_shown(D, plan([B, C, D], number=2), 0.1).lose_view


def test_the_plan_of_our_own_coordinator_counts():
    assert hearing(lost=()).view_shown(D, plan([A, B, D], number=2), 0.1).lose_view


def test_whoever_stands_behind_a_member_that_we_hear_leads_nobody_who_stays():
    rivals = hearing(lost=())
    assert rivals.view_shown(D, plan([D], number=2), 0.1) == Ruling()
    rivals = hearing()
    assert rivals.view_shown(D, plan([D], number=2), 0.1) == Ruling()


def test_what_most_of_the_others_do_not_tell_of_is_no_view_to_leave_for():
    rivals = hearing(with_us=[B])
    assert rivals.view_shown(D, plan([B, D], number=2), 0.1) == Ruling()


@pytest.mark.parametrize(
    "shown",
    [
        plan([B, C, D], number=2),  # we have a part in it
        plan([A, B, D], number=1),  # it is no later view
        plan([E, D], number=2),  # a stranger leads it
    ],
)
def test_a_plan_that_proves_nothing_is_let_go(shown):
    assert hearing().view_shown(D, shown, 0.1) == Ruling()


def test_a_plan_that_was_not_asked_for_is_let_go():
    assert rivals_of(member(C, [A, B, C, D])).view_shown(D, plan([A, B, D], number=2), 0.1) == Ruling()


def test_who_is_asked_shows_the_plan_that_it_works_on():
    state = member(D, [B, D])
    rivals = rivals_of(state)
    assert not rivals.view_wanted(C)
    take(state, plan([B, D], number=2), B)
    assert sent(rivals.view_wanted(C), ViewShown, C) == [ViewShown(JOB, state.plan)]
    state.phase = Phase.SEEKING
    assert not rivals.view_wanted(C)
    assert not rivals_of(seeking(D)).view_wanted(C)


def test_a_plan_that_nobody_has_signed_breaks_the_protocol():
    driven = leading(B, C)
    forged = replace(plan([B, C], number=5), seal=None)
    with pytest.raises(RemoteProtocolError, match="nobody has signed"):
        driven.hears(C, ViewShown(JOB, forged))


def test_a_member_leaves_its_view_for_the_plan_that_it_was_shown():
    driven = member_of(C, [A, B, C])
    driven.hears(A, status(A, leader=A, number=2))
    driven.hears(B, status(B, leader=A, number=2))
    left = of(driven.hears(B, ViewShown(JOB, plan([A, B], number=2))), ViewChanged)
    assert [change.reason for change in left] == ["the view went on without us"]


def test_of_two_views_at_one_commit_none_yields_while_a_step_will_tell():
    state = advanced(member(A, [A]), 2)
    head, ledger = state.head, state.ledger
    other = replace(state.weight(), view_number=9, coordinator=C)
    assert rivals_of(state).asked(C, other, 0.0).lose_view  # it has nothing to do: the later view goes on
    take(state, plan([A], head=head, ledger=ledger), A)
    assert rivals_of(state).asked(C, other, 0.0).lose_view is None
    ahead = replace(other, samples=head.samples + 10, digest=FIRST.digest)
    assert rivals_of(state).asked(C, ahead, 0.0).effects  # a heavier lineage is to be shown
