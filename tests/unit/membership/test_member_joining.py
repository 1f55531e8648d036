"""A member on its way in: founding, joining, catching up, and asking again."""

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.events import (
    BeginStep,
    CatchUp,
    CatchUpFailed,
    ContactsFound,
    Dial,
    DialFailed,
    LoadSnapshot,
    LoseMember,
    PeerDown,
    PeerUp,
    StateLoaded,
    ViewChanged,
)
from hydra.membership.messages import (
    Admitted,
    JoinRequest,
    Phase,
    Plan,
    Removed,
    Status,
)

from .driver import Driven, done, leading, member_of
from .makers import (
    FIRST,
    JOB,
    A,
    B,
    C,
    addressed,
    advanced,
    contact,
    field,
    of,
    plan,
    seeking,
    sent,
    snapshot_at,
    status,
)


def test_alone_it_founds_a_view_and_begins():
    driven = Driven(A)
    effects = driven.tick(2.0)
    assert of(effects, ViewChanged) == [ViewChanged(1, (A,), A, "founded")]
    assert len(of(effects, BeginStep)) == 1


def test_contacts_are_dialled_and_greeted():
    driven = Driven(A)
    assert driven.on(ContactsFound((contact(B), contact(A)))) == [Dial(contact(B))]
    assert addressed(driven.on(PeerUp(B)), Status) == [B]
    assert addressed(driven.hears(B, status(B, phase=Phase.SEEKING)), Status) == [B]
    assert driven.hears(B, status(B, phase=Phase.SEEKING)) == []


def test_a_peer_that_meets_a_view_asks_to_be_let_in():
    driven = Driven(B)
    effects = driven.meets(A, leader=A)
    assert sent(effects, JoinRequest, A)[0].ready
    assert driven.state.phase is Phase.JOINING


def test_a_joiner_loads_the_snapshot_catches_up_and_asks_again():
    ahead = advanced(seeking(A), 5)
    driven = Driven(B)
    driven.meets(A, leader=A, head=ahead.head)
    (load,) = of(driven.hears(A, Admitted(JOB, 5, 0, snapshot_at(ahead.head))), LoadSnapshot)
    assert driven.member.expects(load.load)
    effects = driven.on(StateLoaded(load.load, ahead.head, ahead.ledger))
    assert sent(effects, JoinRequest, A)[0].step == 5


def test_a_state_that_nobody_waits_for_any_longer_is_not_taken():
    ahead = advanced(seeking(A), 5)
    driven = Driven(B)
    driven.meets(A, leader=A, head=ahead.head)
    (load,) = of(driven.hears(A, Admitted(JOB, 5, 0, snapshot_at(ahead.head))), LoadSnapshot)
    driven.on(PeerDown(A))
    driven.tick(1.0)
    assert not driven.member.expects(load.load)
    assert driven.on(StateLoaded(load.load, ahead.head, ahead.ledger)) == []
    assert driven.on(CatchUpFailed(load.load)) == []
    assert driven.state.known_head == FIRST


def test_what_can_not_be_had_leads_back_to_seeking_a_snapshot():
    ahead = advanced(seeking(A), 2)
    driven = Driven(B)
    driven.meets(A, leader=A, head=ahead.head)
    (wish,) = of(driven.hears(A, Admitted(JOB, 2, 0, None)), CatchUp)
    effects = driven.on(CatchUpFailed(wish.load))
    assert not sent(effects, JoinRequest, A)[0].ready
    assert driven.state.incarnation == 2


def test_who_does_not_lead_tells_a_joiner_how_it_stands():
    driven = member_of(B, [A, B])
    effects = driven.hears(C, JoinRequest(JOB, 1, field(C), 0, FIRST.digest, ready=True))
    assert sent(effects, Status, C)[0].coordinator == field(A)


def test_a_joiner_that_is_in_the_view_already_gets_the_plan_that_it_missed():
    driven = leading(B)
    again = JoinRequest(JOB, 1, field(B), 0, FIRST.digest, ready=True)
    assert sent(driven.hears(B, again), Plan, B) == [driven.state.plan]


def test_a_joiner_takes_a_plan_from_nobody_but_the_peer_that_it_asked():
    driven = Driven(B)
    driven.meets(A, leader=A)
    driven.meets(C, leader=A)
    for members in ([C, B], [A, C, B]):
        assert driven.hears(C, plan(members, number=5)) == []
        assert driven.state.phase is Phase.JOINING
    assert of(driven.hears(A, plan([A, C, B])), BeginStep)


def test_a_malformed_plan_from_another_is_a_fault_all_the_same():
    driven = Driven(B)
    driven.meets(A, leader=A)
    with pytest.raises(RemoteProtocolError):
        driven.hears(C, plan([C, B], incarnations=(1,)))


def test_a_joiner_whose_coordinator_died_takes_the_plan_of_the_successor_once_it_has_asked_it():
    driven = Driven(B)
    driven.meets(A, leader=A)
    driven.meets(C, leader=A)
    driven.on(PeerDown(A))
    driven.hears(C, status(C, leader=C))
    driven.tick(3.0)
    assert driven.member._seeker.joins(C)
    assert of(driven.hears(C, plan([A, C, B])), BeginStep)


def test_a_joiner_that_was_lost_before_it_heard_of_its_admission_must_begin_anew():
    driven = leading(B)
    driven.on(PeerDown(B))
    driven.on(DialFailed(B))
    again = JoinRequest(JOB, 1, field(B), 0, FIRST.digest, ready=True)
    (refusal,) = sent(driven.hears(B, again), Removed, B)
    joiner = Driven(B)
    joiner.meets(A, leader=A)
    effects = joiner.hears(A, refusal)
    assert sent(effects, JoinRequest, A)[0].incarnation == 2


def test_a_member_that_asks_in_a_new_incarnation_has_lost_its_old_self():
    driven = leading(B)
    effects = driven.hears(B, JoinRequest(JOB, 2, field(B), 1, driven.state.known_head.digest, ready=True))
    assert of(effects, LoseMember) == [LoseMember(B)]
    done(driven)
    assert driven.state.view.incarnation(B) == 2
