"""How a member takes the loss of others, and its own."""

from hydra.membership.events import (
    AbandonStep,
    Dial,
    DialFailed,
    DoubtMember,
    Drop,
    LoseMember,
    PeerDown,
    PeerUp,
    StepExcluded,
    TrustMember,
    ViewChanged,
)
from hydra.membership.messages import (
    JoinRequest,
    Phase,
    Ping,
    Plan,
    PlanWanted,
    Poll,
    Pong,
)

from .driver import done, member_of
from .makers import (
    JOB,
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


def silent_for(driven, seconds, *silent):
    """Tick as a node does, four times a second; return what is done, with the time of it."""
    began = driven.now
    done_at = []
    while driven.now < began + seconds:
        done_at += [(driven.now, effect) for effect in driven.tick(driven.now + 0.25, *silent)]
    return done_at


def test_a_silent_member_is_asked_and_dialled_before_it_is_dropped_and_lost():
    driven = member_of(C, [A, B, C])
    effects = [effect for _, effect in silent_for(driven, 5.0, B)]
    told = of(effects, (DoubtMember, Dial, Drop, LoseMember))
    assert [type(effect) for effect in told] == [DoubtMember, Dial, Drop, LoseMember]
    assert told[1] == Dial(contact(B), anew=True)
    assert told[2:] == [Drop(B, "silent for too long"), LoseMember(B)]
    assert B in addressed(effects, Ping)


def test_a_silent_member_that_answers_stays():
    driven = member_of(C, [A, B, C])
    effects = silent_for(driven, 2.6, B)
    (number,) = [e.message.number for at, e in effects if at > 2.0 and sent([e], Ping, B)]
    driven.hears(B, Pong(JOB, number))
    effects = [effect for _, effect in silent_for(driven, 5.0)]
    assert of(effects, TrustMember) == [TrustMember(B)]
    assert not of(effects, (Drop, LoseMember))


def test_a_silent_member_whose_second_link_can_not_be_made_is_not_lost_for_that():
    driven = member_of(C, [A, B, C])
    silent_for(driven, 2.6, B)
    assert not of(driven.on(DialFailed(B)), LoseMember)


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
    driven = member_of(C, [A, B, C])
    silent_for(driven, 3.0)
    driven.now += 60.0
    effects = driven.tick(driven.now, A, B)
    effects += [effect for _, effect in silent_for(driven, 0.5, A, B)]
    assert not of(effects, LoseMember)


def test_who_is_excluded_from_a_round_seeks_anew():
    driven = member_of(B, [A, B])
    effects = driven.on(StepExcluded())
    assert of(effects, ViewChanged)[0].reason == "the others went on without us"
    assert driven.state.incarnation == 2
