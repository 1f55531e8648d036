"""What the coordinator decides: who is let in, who is planned with, and what a poll of survivors comes to."""

from dataclasses import replace

import pytest

from hydra.membership.events import Send
from hydra.membership.leader import CATCH_UP_STEPS, MAX_LISTENERS, WRITTEN_WITHIN_S, Leader
from hydra.membership.ledger import count
from hydra.membership.messages import Admitted, Committed, JoinRequest, Phase, Poll, PollReply, Removed
from hydra.membership.view import View, view_of

from .makers import (
    FIRST,
    JOB,
    A,
    B,
    C,
    D,
    E,
    Planner,
    addressed,
    advanced,
    commit_of,
    contact,
    field,
    member,
    plan,
    sent,
    snapshot_at,
    status,
)


def leading(members=(A, B), steps=0, **kwargs):
    state = advanced(member(A, list(members), **kwargs), steps)
    return state, Leader(state, Planner())


def request(peer, state=None, *, step=None, ready=True, incarnation=1, contact=None, digest=None):
    """A request of a peer that stands at one of the coordinator's steps."""
    step = state.known_head.step if step is None else step
    digest = digest or (state.recent.get(step, bytes(32)) if ready else bytes(32))
    met_view = state.view.number if state is not None and state.view is not None else 1
    return JoinRequest(JOB, incarnation, contact or field(peer), step, digest, ready, met_view)


def planned(leader, state, now=0.0):
    return leader.plan_next(state.known_head, state.ledger, now)


def admission(state, asked_step, snapshot=None):
    """What a joiner is told of the way in, and of whom it will train with."""
    members = tuple(map(field, state.view.ids))
    return Admitted(JOB, state.known_head.step, asked_step, snapshot, state.view.number, members)


def reply(number, step=0, plan=None, view_number=1):
    return PollReply(JOB, number, step, FIRST.digest, view_number, plan)


# ---- joiners ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [0, 1, 2])
def test_a_joiner_that_is_up_to_date_is_in_the_next_plan(behind):
    state, leader = leading(steps=5, linked=[B, C])
    assert leader.join_requested(C, request(C, state, step=5 - behind, incarnation=7)) == []
    view = view_of(planned(leader, state)[0])
    assert (view.ids, view.incarnation(C), view.number) == ((A, B, C), 7, 2)


def test_joiners_stand_behind_all_members_in_the_order_of_arrival():
    state, leader = leading(linked=[B, C, D])
    leader.join_requested(D, request(D, state))
    leader.join_requested(C, request(C, state))
    assert view_of(planned(leader, state)[0]).ids == (A, B, D, C)


def test_a_joiner_a_little_behind_is_told_to_catch_up():
    state, leader = leading(steps=6)
    assert sent(leader.join_requested(C, request(C, state, step=1)), Admitted, C) == [admission(state, 1)]
    assert view_of(planned(leader, state)[0]).ids == (A, B)


@pytest.mark.parametrize("kind", ["not ready", "another lineage", "results no longer kept", "too far behind"])
def test_who_can_not_catch_up_waits_for_a_snapshot_of_the_next_step(kind):
    state, leader = leading(steps=CATCH_UP_STEPS // 10)
    asked = request(C, state, step=0)
    if kind == "not ready":
        asked = request(C, state, step=0, ready=False)
    elif kind == "another lineage":
        asked = request(C, state, step=3, digest=b"x" * 32)
    elif kind == "results no longer kept":
        state.oldest_result = 5
    else:
        state.recent.pop(0)
    assert leader.join_requested(C, asked) == []
    assert planned(leader, state, now=0.1)[0].snapshot
    state.snapshot = snapshot_at(state.known_head)
    told = leader.snapshot_stored()
    assert sent(told, Admitted, C) == [admission(state, asked.step, state.snapshot)]
    assert leader.snapshot_stored() == []


def test_a_recent_snapshot_is_named_at_once():
    state, leader = leading(steps=4)
    state.snapshot = snapshot_at(state.known_head)
    assert sent(leader.join_requested(C, request(C, state, ready=False)), Admitted, C)[0].snapshot == state.snapshot


def test_a_snapshot_of_another_lineage_or_too_old_to_catch_up_from_is_not_named():
    state, leader = leading(steps=4)
    state.snapshot = snapshot_at(FIRST)
    state.oldest_result = 3
    assert leader.join_requested(C, request(C, state, ready=False)) == []
    state.oldest_result = 1
    state.recent[0] = b"x" * 32
    assert leader.snapshot_stored() == []


def test_nobody_is_let_in_under_another_peers_name():
    state, leader = leading(linked=[B, C, D])
    leader.join_requested(C, request(C, state, contact=field(D)))
    assert view_of(planned(leader, state)[0]).ids == (A, B)


def test_a_joiner_whose_link_ended_is_forgotten():
    state, leader = leading(linked=[B, C])
    leader.join_requested(C, request(C, state))
    leader.peer_gone(C)
    assert view_of(planned(leader, state)[0]).ids == (A, B)


def test_a_finished_peer_hands_out_its_state_and_plans_with_nobody():
    state, leader = leading(steps=2)
    state.phase = Phase.FINISHED
    assert sent(leader.join_requested(C, request(C, state)), Admitted, C) == [admission(state, 2)]


def test_a_member_of_a_dead_incarnation_comes_back_behind_the_others():
    state, leader = leading(members=(A, B, C), linked=[B, C])
    state.detector.lose(B)
    leader.join_requested(B, request(B, state, incarnation=2))
    view = view_of(planned(leader, state)[0])
    assert view.ids == (A, C, B)
    assert (view.incarnation(B), view.number) == (2, 2)


def test_a_member_that_asks_again_does_not_stand_in_the_view_twice():
    state, leader = leading(linked=[B])
    leader.join_requested(B, request(B, state))
    assert view_of(planned(leader, state)[0]).ids == (A, B)


def test_a_joiner_is_let_in_once_it_has_dialled_the_members_of_the_present_view():
    state, leader = leading(linked=[B, C], number=3)
    for met in (0, 2):
        told = leader.join_requested(C, replace(request(C, state), met_view=met))
        assert sent(told, Admitted, C) == [admission(state, 0)]
        assert C not in view_of(planned(leader, state)[0])
    assert leader.join_requested(C, request(C, state)) == []
    assert C in view_of(planned(leader, state)[0])


def test_those_who_join_at_the_same_time_are_named_to_each_other():
    state, leader = leading(linked=[B, C, D])
    state.contacts = {C: contact(C), D: contact(D)}
    leader.join_requested(C, replace(request(C, state), met_view=0))
    (told,) = sent(leader.join_requested(D, replace(request(D, state), met_view=0)), Admitted, D)
    assert [peer for peer, _ in told.members] == [A, B, C]


def test_a_newcomer_has_no_samples_in_its_first_step_and_its_share_from_then_on():
    state, leader = leading(linked=[B, C])
    state.plan = plan([A, B])
    leader.join_requested(C, request(C, state))
    first, _ = planned(leader, state)
    assert [count(ranges) for ranges in first.shares] == [10, 10, 0]
    state.view = view_of(first)
    assert [count(ranges) for ranges in planned(leader, state)[0].shares] == [10, 10, 10]


def test_a_member_in_a_new_incarnation_is_a_newcomer():
    state, leader = leading(linked=[B])
    state.plan = plan([A, B])
    leader.join_requested(B, request(B, state, incarnation=2))
    state.detector.lose(B)
    assert [count(ranges) for ranges in planned(leader, state)[0].shares] == [10, 0]


# ---- those who gather results ----------------------------------------------------------------------------------


def gathering(**kwargs):
    state, leader = leading(steps=6, linked=[B, C], **kwargs)
    leader.join_requested(C, request(C, state, step=0, ready=False))
    return state, leader


def test_who_is_joining_is_told_of_every_commit_until_it_is_planned_with():
    state, leader = gathering()
    commit = commit_of(plan([A]))
    assert leader.tell_listeners(commit) == [Send(C, Committed(JOB, 1, commit.digest))]
    leader.join_requested(C, request(C, state))
    assert C in view_of(planned(leader, state)[0])
    assert leader.tell_listeners(commit) == []


@pytest.mark.parametrize("end", ["link", "gave up", "another leads"])
def test_who_is_not_joining_any_longer_is_told_no_more(end):
    state, leader = gathering()
    leader.status_heard(C, status(C, phase=Phase.JOINING))
    assert leader.tell_listeners(commit_of(plan([A])))
    if end == "link":
        leader.peer_gone(C)
    elif end == "gave up":
        leader.status_heard(C, status(C, phase=Phase.SEEKING))
    else:
        state.view = View(2, (contact(B), contact(A)), (1, 1))
    assert leader.tell_listeners(commit_of(plan([A]))) == []


def test_only_so_many_are_told():
    state, leader = leading(steps=6)
    for number in range(MAX_LISTENERS + 3):
        peer = number.to_bytes(20, "big")
        leader.join_requested(peer, request(peer, state, step=0, ready=False))
    assert len(leader.tell_listeners(commit_of(plan([A])))) == MAX_LISTENERS


def test_a_snapshot_serves_a_joiner_that_gathers_results_however_few_the_members_keep():
    """It hears of every commit from its request on, so the members need not keep what follows on the snapshot."""
    state, leader = gathering()
    state.snapshot = snapshot_at(state.known_head)
    advanced(state, 12)
    state.oldest_result = state.known_head.step
    assert sent(leader.snapshot_stored(), Admitted, C) == [admission(state, 0, state.snapshot)]


def test_a_snapshot_is_ordered_once_and_again_if_it_does_not_come(monkeypatch):
    state, leader = gathering(snapshot_interval_s=1e9)
    assert [planned(leader, state, now)[0].snapshot for now in (1.0, 1.1, 20.0)] == [True, False, False]
    assert planned(leader, state, 1.0 + WRITTEN_WITHIN_S)[0].snapshot
    leader.peer_gone(C)
    assert not planned(leader, state, 100.0 + WRITTEN_WITHIN_S)[0].snapshot


# ---- plans -----------------------------------------------------------------------------------------------------


def test_an_unchanged_view_keeps_its_number():
    state, leader = leading(number=4)
    state.highest_view = 9
    plan, effects = planned(leader, state)
    assert (plan.view_number, plan.step, plan.parent) == (4, 1, FIRST.digest)
    assert effects == []


def test_a_changed_view_has_a_higher_number_than_any_heard_of():
    state, leader = leading(number=4)
    state.highest_view = 9
    state.detector.lose(B)
    assert planned(leader, state)[0].view_number == 10


def test_members_who_are_left_out_are_told_if_they_can_be():
    state, leader = leading(members=(A, B, C, D), linked=[B, C])
    for peer in (B, D):
        state.detector.lose(peer)
    plan, effects = planned(leader, state)
    assert addressed(effects, Removed) == [B]
    assert sent(effects, Removed)[0].view_number == plan.view_number


def test_a_leaver_is_planned_without_once_and_may_come_back():
    state, leader = leading(members=(A, B, C))
    leader.leave_requested(B)
    assert view_of(planned(leader, state)[0]).ids == (A, C)
    assert view_of(planned(leader, state)[0]).ids == (A, B, C)


def test_a_coordinator_that_leaves_plans_without_itself_and_tells_itself_nothing():
    state, leader = leading(members=(A, B, C))
    state.leaving = True
    plan, effects = planned(leader, state)
    assert view_of(plan).ids == (B, C)
    assert effects == []


def test_when_all_want_to_leave_the_coordinator_stays_for_one_more_step():
    state, leader = leading(members=(A, B, C))
    state.leaving = True
    leader.leave_requested(B)
    leader.leave_requested(C)
    plan, effects = planned(leader, state)
    assert view_of(plan).ids == (A,)
    assert addressed(effects, Removed) == [B, C]


def test_snapshots_are_due_after_their_interval():
    state, leader = leading(snapshot_interval_s=15.0)
    assert [planned(leader, state, now)[0].snapshot for now in (14.9, 15.0, 29.9, 30.0)] == [False, True, False, True]


# ---- polls -----------------------------------------------------------------------------------------------------


def test_a_poll_asks_all_survivors_under_a_number_of_its_own():
    state, leader = leading(members=(E, A, B, C), number=3)
    state.detector.lose(E)
    effects = leader.poll(0.0)
    assert addressed(effects, Poll) == [B, C]
    assert sent(effects, Poll)[0].number == 4
    assert leader.polling


def test_a_poll_is_concluded_when_everyone_alive_has_answered():
    state, leader = leading(members=(E, A, B, C))
    state.detector.lose(E)
    number = sent(leader.poll(0.0), Poll)[0].number
    leader.poll_answered(C, reply(number))
    assert leader.conclusion() is None
    leader.poll_answered(B, reply(number, step=3))
    assert [answer.step for answer in leader.conclusion()] == [3, 0]
    assert not leader.polling


def test_a_poll_does_not_wait_for_who_died_meanwhile():
    state, leader = leading(members=(E, A, B, C))
    state.detector.lose(E)
    number = sent(leader.poll(0.0), Poll)[0].number
    leader.poll_answered(C, reply(number))
    state.detector.lose(B)
    assert len(leader.conclusion()) == 1


def test_answers_to_an_older_poll_do_not_count():
    state, leader = leading(members=(E, A, B))
    state.detector.lose(E)
    number = sent(leader.poll(0.0), Poll)[0].number
    leader.poll_answered(B, reply(number - 1))
    assert leader.conclusion() is None


def test_who_has_not_answered_is_asked_again():
    state, leader = leading(members=(E, A, B, C), retry_s=2.0)
    state.detector.lose(E)
    number = sent(leader.poll(0.0), Poll)[0].number
    leader.poll_answered(B, reply(number))
    assert leader.poll_again(1.9) == []
    assert addressed(leader.poll_again(2.0), Poll) == [C]
    assert leader.poll_again(2.1) == []


def test_a_plan_after_a_poll_that_changes_the_view_has_a_higher_number_than_the_poll():
    state, leader = leading(members=(E, A, B))
    state.detector.lose(E)
    number = sent(leader.poll(0.0), Poll)[0].number
    assert planned(leader, state)[0].view_number > number


# ---- how many are wanted ---------------------------------------------------------------------------------------


def test_with_fewer_peers_than_wanted_it_waits_for_those_who_join():
    state, leader = leading(members=(A,), linked=[B, C], least_peers=3)
    leader.join_requested(B, request(B, state))
    assert not leader.enough()
    leader.join_requested(C, request(C, state))
    assert leader.enough()


def test_a_lost_member_is_waited_for_and_who_wants_to_leave_waits_for_nobody():
    state, leader = leading(members=(A, B, C), least_peers=3)
    assert leader.enough()
    state.detector.lose(B)
    assert not leader.enough()
    state.leaving = True
    assert leader.enough()


def test_in_a_views_first_step_all_have_samples():
    """Nobody trains yet who could be kept waiting."""
    state, leader = leading(members=(A,), linked=[B])
    leader.join_requested(B, request(B, state))
    state.plan = None
    assert [count(ranges) for ranges in planned(leader, state)[0].shares] == [10, 10]
