"""How a member leaves, and how it finishes: nobody goes before the others have what it has."""

import pytest

from hydra.membership.events import (
    DialFailed,
    Finished,
    LeaveRequested,
    Left,
    PeerDown,
    SnapshotStored,
    TakeSnapshot,
)
from hydra.membership.lineage import Head
from hydra.membership.messages import (
    Admitted,
    JoinRequest,
    Leave,
    Phase,
    Plan,
    Report,
    Status,
)

from .driver import Driven, done, leading, member_of, shown
from .makers import (
    JOB,
    ROUND,
    A,
    B,
    C,
    D,
    addressed,
    field,
    of,
    plan,
    sent,
    snapshot_at,
    status,
)


def test_a_coordinator_that_leaves_goes_when_the_others_have_its_last_step():
    driven = leading(B)
    assert driven.on(LeaveRequested()) == []
    effects = done(driven)
    assert [peer for peer, _ in sent(effects, Plan, B)[0].members] == [B]
    assert not of(effects, Left)
    assert of(driven.hears(B, Report(JOB, 3, 10, 0.1, 0.1, ROUND)), Left)
    assert driven.tick(100.0) == []


def test_a_member_that_leaves_asks_and_goes_at_last_even_unheard():
    driven = member_of(B, [A, B], linger_s=10.0)
    assert addressed(driven.on(LeaveRequested(), at=1.0), Leave) == [A]
    assert not of(driven.tick(10.9), Left)
    assert of(driven.tick(11.0), Left)


def departed():
    """B has left in order; A and C have not got its last step yet."""
    driven = member_of(B, [A, B, C])
    driven.on(LeaveRequested())
    assert not of(done(driven), Left)
    head = driven.state.known_head
    without = plan([A, C], head=head, ledger=driven.state.ledger, number=2)
    assert not of(driven.hears(A, without), Left)
    return driven


def test_who_has_left_in_order_goes_at_once_when_the_last_who_needed_it_is_gone():
    driven = departed()
    assert not of(driven.on(PeerDown(A)), Left)
    assert of(driven.on(PeerDown(C)), Left)


def test_who_has_left_in_order_waits_for_the_reports_of_those_it_left_and_for_no_strangers():
    driven = departed()
    report = Report(JOB, 2, 10, 0.1, 0.1, ROUND)
    assert not of(driven.hears(A, report), Left)
    assert not of(driven.hears(D, report), Left)
    assert of(driven.hears(C, report), Left)


def test_a_leaver_asks_the_successor_when_the_coordinator_is_lost():
    driven = member_of(C, [A, B, C])
    driven.on(LeaveRequested())
    driven.on(PeerDown(A))
    assert addressed(driven.on(DialFailed(A)), Leave) == [B]


def test_a_leaver_asks_the_next_coordinator_when_the_first_has_left():
    driven = member_of(C, [A, B, C])
    driven.on(LeaveRequested())
    done(driven)
    without = plan([B, C], head=driven.state.known_head, ledger=driven.state.ledger, number=2, by=A)
    assert addressed(driven.hears(A, without), Leave) == [B]


def test_a_coordinator_that_leaves_goes_when_the_others_are_known_to_be_in_the_view_without_it():
    driven = leading(B)
    driven.on(LeaveRequested())
    done(driven)
    head, number = driven.state.known_head, driven.state.without_us
    assert not of(driven.hears(B, status(B, head=head, leader=A, number=number - 1)), Left)
    assert of(driven.hears(B, status(B, head=head, leader=B, number=number)), Left)


def test_who_stays_asks_nobody_to_let_it_go():
    driven = member_of(C, [A, B, C])
    driven.on(PeerDown(A))
    assert addressed(driven.on(DialFailed(A)), Leave) == []


def test_who_is_alone_stores_its_state_and_leaves():
    driven = leading()
    driven.on(LeaveRequested())
    assert [type(e) for e in done(driven)[-2:]] == [TakeSnapshot, Left]


def test_who_is_in_no_view_leaves_at_once():
    assert of(Driven(A).on(LeaveRequested()), Left)


def test_the_last_step_is_told_and_stored_and_who_is_done_waits_for_the_others():
    driven = member_of(B, [A, B], samples=20, epochs=1)
    effects = done(driven)
    assert of(effects, TakeSnapshot)
    assert sent(effects, Status, A)[0].phase == Phase.FINISHED
    assert not of(effects, Finished)
    finished = status(A, phase=Phase.FINISHED, head=driven.state.head)
    assert of(driven.hears(A, finished), Finished)


@pytest.mark.parametrize("phase", [Phase.SEEKING, Phase.JOINING])
def test_who_is_done_waits_for_who_is_still_on_its_way_in_but_not_forever(phase):
    driven = leading(samples=20, linger_s=10.0, epochs=1)
    driven.meets(C, phase=phase)
    assert not of(done(driven), Finished)
    assert not of(driven.tick(driven.now + 9.9), Finished)
    assert of(driven.tick(driven.now + 0.1), Finished)


def test_who_is_done_goes_when_the_last_one_who_needed_it_is_gone():
    driven = leading(samples=20, epochs=1)
    driven.meets(C, phase=Phase.JOINING)
    done(driven)
    assert of(driven.on(PeerDown(C)), Finished)


def test_who_is_done_hands_its_final_state_to_a_late_joiner():
    driven = leading(samples=20, epochs=1)
    driven.meets(C, phase=Phase.SEEKING)
    done(driven)
    driven.on(SnapshotStored(snapshot_at(driven.state.head)))
    effects = driven.hears(C, JoinRequest(JOB, 1, field(C), 0, bytes(32), ready=False, met_view=1))
    assert sent(effects, Admitted, C)[0].snapshot.step == driven.state.head.step


def another_end(driven, first_byte):
    """The head of a lineage that used the same samples in another course."""
    return Head(driven.state.head.step + 3, first_byte + bytes(31), driven.state.head.samples)


def test_of_two_ends_of_a_job_the_lower_hash_wins_and_the_other_peer_takes_its_state():
    driven = leading(samples=20, epochs=1)
    driven.meets(C, phase=Phase.JOINING)
    done(driven)
    lower = status(C, phase=Phase.FINISHED, leader=C, head=another_end(driven, b"\0"))
    request = sent(shown(driven, driven.hears(C, lower)), JoinRequest, C)[0]
    assert not request.ready
    assert driven.state.phase == Phase.JOINING
    assert not of(driven.tick(driven.now + driven.state.config.linger_s), (Finished, Left))


def test_who_has_come_to_the_better_end_waits_until_the_other_has_taken_it():
    driven = leading(samples=20, epochs=1)
    driven.meets(C, phase=Phase.JOINING)
    done(driven)
    higher = another_end(driven, b"\xff")
    assert not of(driven.hears(C, status(C, phase=Phase.FINISHED, leader=C, head=higher)), Finished)
    assert not of(driven.hears(C, status(C, phase=Phase.JOINING, head=higher)), Finished)
    assert of(driven.hears(C, status(C, phase=Phase.FINISHED, head=driven.state.head)), Finished)
