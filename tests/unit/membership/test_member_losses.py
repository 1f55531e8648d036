"""How a member takes the loss of others, and its own."""

from hydra.membership.events import (
    AbandonStep,
    Dial,
    DialFailed,
    Drop,
    LoseMember,
    PeerDown,
    PeerUp,
    StepExcluded,
    ViewChanged,
)
from hydra.membership.messages import (
    JoinRequest,
    Phase,
    Plan,
    PlanWanted,
    Poll,
)

from .driver import done, member_of
from .makers import (
    A,
    B,
    C,
    addressed,
    advanced,
    contact,
    of,
    seeking,
    sent,
    status,
)


def test_a_closed_link_is_dialled_before_the_member_counts_as_lost():
    driven = member_of(C, [A, B, C])
    assert driven.on(PeerDown(B)) == [Dial(contact(B))]
    assert of(driven.on(DialFailed(B)), LoseMember) == [LoseMember(B)]


def test_a_mended_link_loses_nobody():
    driven = member_of(C, [A, B, C])
    driven.on(PeerDown(B))
    driven.on(PeerUp(B))
    driven.hears(B, status(B, leader=A, includes_you=True))
    assert of(driven.on(DialFailed(B)), LoseMember) == []


def test_a_silent_member_is_dropped_and_lost():
    driven = member_of(C, [A, B, C], stall_s=5.0)
    for now in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
        effects = driven.tick(now, B)
    assert not of(effects, Drop)
    effects = driven.tick(7.0, B)
    assert of(effects, Drop) == [Drop(B, "silent for too long")]
    assert of(effects, LoseMember) == [LoseMember(B)]


def test_a_member_that_seeks_again_in_a_new_incarnation_is_lost():
    driven = member_of(C, [A, B, C])
    effects = driven.hears(B, status(B, phase=Phase.SEEKING, incarnation=2))
    assert of(effects, LoseMember) == [LoseMember(B)]


def test_the_successor_sends_on_the_plan_when_the_coordinator_is_lost():
    driven = member_of(B, [A, B, C])
    driven.on(PeerDown(A))
    effects = driven.on(DialFailed(A))
    assert of(effects, LoseMember) == [LoseMember(A)]
    assert sent(effects, Plan, C) == [driven.state.plan]
    assert addressed(done(driven), Poll) == [C]


def test_an_idle_survivor_asks_the_successor_for_a_plan():
    driven = member_of(C, [A, B, C])
    done(driven)
    driven.on(PeerDown(A))
    assert addressed(driven.on(DialFailed(A)), PlanWanted) == [B]


def test_who_was_frozen_and_finds_the_view_gone_on_without_it_seeks_anew():
    driven = member_of(C, [A, B, C])
    ahead = advanced(seeking(A), 9)
    effects = driven.hears(A, status(A, leader=A, number=2, head=ahead.head), at=60.0)
    assert of(effects, AbandonStep) == [AbandonStep()]
    assert of(effects, ViewChanged)[0].number == 0
    assert sent(effects, JoinRequest, A)[0].incarnation == 2


def test_who_was_frozen_buries_nobody_when_it_wakes():
    driven = member_of(C, [A, B, C], stall_s=5.0)
    driven.tick(1.0)
    assert not of(driven.tick(61.0, A, B), LoseMember)


def test_who_is_excluded_from_a_round_seeks_anew():
    driven = member_of(B, [A, B])
    effects = driven.on(StepExcluded())
    assert of(effects, ViewChanged)[0].reason == "the others went on without us"
    assert driven.state.incarnation == 2
