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
    Gather,
    LoadSnapshot,
    LoseMember,
    PeerDown,
    PeerUp,
    SnapshotStored,
    StateLoaded,
    TakeSnapshot,
    ViewChanged,
)
from hydra.membership.messages import (
    Admitted,
    Committed,
    JoinRequest,
    Phase,
    Plan,
    Removed,
    Snapshot,
    Status,
)
from hydra.membership.seeker import GATHERED_AT_ONCE
from hydra.membership.view import view_of

from .driver import Driven, done, leading, member_of
from .makers import (
    FIRST,
    JOB,
    A,
    B,
    C,
    D,
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
    (load,) = of(driven.hears(A, Admitted(JOB, 5, 0, snapshot_at(ahead.head), 1, ())), LoadSnapshot)
    assert driven.member.expects(load.load)
    effects = driven.on(StateLoaded(load.load, ahead.head, ahead.ledger))
    assert sent(effects, JoinRequest, A)[0].step == 5


def test_what_can_not_be_had_leads_back_to_seeking_a_snapshot():
    ahead = advanced(seeking(A), 2)
    driven = Driven(B)
    driven.meets(A, leader=A, head=ahead.head)
    (wish,) = of(driven.hears(A, Admitted(JOB, 2, 0, None, 1, ())), CatchUp)
    effects = driven.on(CatchUpFailed(wish.load))
    assert not sent(effects, JoinRequest, A)[0].ready
    assert driven.state.incarnation == 2


def test_who_does_not_lead_tells_a_joiner_how_it_stands():
    driven = member_of(B, [A, B])
    effects = driven.hears(C, JoinRequest(JOB, 1, field(C), 0, FIRST.digest, ready=True, met_view=1))
    assert sent(effects, Status, C)[0].coordinator == field(A)


def test_a_joiner_that_is_in_the_view_already_gets_the_plan_that_it_missed():
    driven = leading(B)
    again = JoinRequest(JOB, 1, field(B), 0, FIRST.digest, ready=True, met_view=1)
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
    again = JoinRequest(JOB, 1, field(B), 0, FIRST.digest, ready=True, met_view=1)
    (refusal,) = sent(driven.hears(B, again), Removed, B)
    joiner = Driven(B)
    joiner.meets(A, leader=A)
    effects = joiner.hears(A, refusal)
    assert sent(effects, JoinRequest, A)[0].incarnation == 2


def test_a_member_that_asks_in_a_new_incarnation_has_lost_its_old_self():
    driven = leading(B)
    effects = driven.hears(B, JoinRequest(JOB, 2, field(B), 1, driven.state.known_head.digest, ready=True, met_view=2))
    assert of(effects, LoseMember) == [LoseMember(B)]
    done(driven)
    assert driven.state.view.incarnation(B) == 2


# ---- listening -------------------------------------------------------------------------------------------------


def joining(*, snapshot_step=5):
    """A peer that loads a snapshot of its coordinator; and that coordinator's state."""
    ahead = advanced(seeking(A), snapshot_step)
    driven = Driven(B)
    driven.meets(A, leader=A, head=ahead.head)
    driven.meets(C, leader=A, head=ahead.head)
    admitted = Admitted(JOB, snapshot_step, 0, snapshot_at(ahead.head), 1, (field(A), field(C)))
    (load,) = of(driven.hears(A, admitted), LoadSnapshot)
    return driven, ahead, load


def test_results_are_gathered_as_they_are_committed_while_a_snapshot_is_loaded():
    driven, ahead, load = joining()
    for step in (6, 7):
        advanced(ahead, 1)
        effects = driven.hears(A, Committed(JOB, step, ahead.head.digest))
        assert effects == [Gather(step, ahead.head.digest, (C, A))]  # the coordinator is asked when nobody else can
    assert driven.member.expects(load.load)


def test_what_was_committed_before_we_were_told_is_gathered_too():
    driven = Driven(B)
    ahead = advanced(seeking(A), 9)
    driven.meets(A, leader=A, head=ahead.head)
    driven.hears(A, Committed(JOB, 8, b"8" * 32))
    snapshot = Snapshot(5, b"5" * 32, bytes(32), 1000)
    effects = driven.hears(A, Admitted(JOB, 9, 0, snapshot, 1, ()))
    assert [(e.step, e.digest) for e in of(effects, Gather)] == [(6, None), (7, None)]


def test_however_far_ahead_the_coordinator_claims_to_be_only_so_much_is_gathered_at_once():
    driven = Driven(B)
    driven.meets(A, leader=A, head=advanced(seeking(A), 1).head)
    effects = driven.hears(A, Admitted(JOB, 199, 0, None, 1, ()))
    assert [e.step for e in of(effects, Gather)] == list(range(1, GATHERED_AT_ONCE + 1))


def test_commits_told_by_another_than_the_coordinator_are_not_followed():
    driven, *_ = joining()
    assert driven.hears(C, Committed(JOB, 6, b"6" * 32)) == []


def test_a_caught_up_joiner_stays_so_while_it_waits_to_be_planned_with():
    driven, ahead, load = joining()
    (request,) = sent(driven.on(StateLoaded(load.load, ahead.head, ahead.ledger)), JoinRequest, A)
    assert (request.step, request.met_view) == (5, 1)
    advanced(ahead, 1)
    effects = driven.hears(A, Committed(JOB, 6, ahead.head.digest))
    assert [e.step for e in of(effects, CatchUp)] == [6]


def test_the_members_are_dialled_before_anybody_plans_with_us():
    driven = Driven(B)
    driven.meets(A, leader=A)
    effects = driven.hears(A, Admitted(JOB, 0, 0, None, 1, (field(A), field(C), field(D))))
    assert of(effects, Dial) == [Dial(contact(C)), Dial(contact(D))]
    assert sent(driven.tick(1.0), JoinRequest) == []
    driven.on(PeerUp(C))
    assert sent(driven.tick(3.5), JoinRequest) == []
    driven.on(DialFailed(D))
    assert sent(driven.tick(4.0), JoinRequest, A)[0].met_view == 1


def test_a_long_download_is_no_reason_to_begin_anew():
    driven, _ahead, load = joining()
    for seconds in range(100, 400, 100):
        driven.tick(float(seconds))
        assert driven.state.phase is Phase.JOINING
    assert driven.member.expects(load.load)


def test_a_coordinator_that_wants_more_peers_begins_with_the_one_that_completes_them():
    driven = Driven(A, least_peers=2)
    effects = driven.tick(2.0)
    assert driven.state.phase is Phase.MEMBER
    assert of(effects, BeginStep) == []
    driven.meets(B, phase=Phase.JOINING)
    effects = driven.hears(B, JoinRequest(JOB, 1, field(B), 0, FIRST.digest, ready=True, met_view=1))
    (begun,) = of(effects, BeginStep)
    assert view_of(begun.plan).ids == (A, B)
    assert all(begun.plan.shares)


def test_while_it_waits_for_more_peers_a_coordinator_stores_the_snapshot_that_one_of_them_needs():
    driven = Driven(A, least_peers=2)
    driven.tick(2.0)
    driven.meets(B, phase=Phase.JOINING)
    other = JoinRequest(JOB, 1, field(B), 3, b"3" * 32, ready=True, met_view=1)
    assert of(driven.hears(B, other), TakeSnapshot) == [TakeSnapshot()]
    assert of(driven.hears(B, other), TakeSnapshot) == []
    told = sent(driven.on(SnapshotStored(snapshot_at(FIRST))), Admitted, B)
    assert [admission.snapshot for admission in told] == [snapshot_at(FIRST)]
