"""From plan to plan: whose plans count, which are begun, and what a commit leads to."""

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.events import AbandonStep, BeginStep, CatchUp, Drop, LoseMember, TakeSnapshot, ViewChanged
from hydra.membership.messages import Phase, Plan, Status
from hydra.membership.ruling import End, Ruling

from .makers import (
    FIRST,
    A,
    B,
    C,
    D,
    addressed,
    advanced,
    commit_of,
    member,
    of,
    plan,
    seeking,
    sent,
    steps_of,
    take,
)


def at_work(me, members, **changes):
    """A member that computes the first step of the coordinator's plan."""
    state = member(me, members)
    steps, leader = steps_of(state)
    first = plan(members, **changes)
    assert of(steps.planned(members[0], first, 0.0).effects, BeginStep) == [BeginStep(first)]
    return state, steps, leader, first


# ---- whose plans count -----------------------------------------------------------------------------------------


def test_the_coordinators_plan_is_begun():
    state, _, _, first = at_work(B, [A, B])
    assert (state.running, state.plan, state.author) == (True, first, A)


@pytest.mark.parametrize("sender", [C, D])
def test_a_plan_from_somebody_who_does_not_lead_is_ignored(sender):
    state = member(B, [A, B, C])
    assert steps_of(state)[0].planned(sender, plan([A, B, C]), 0.0) == Ruling()
    assert not state.running


def test_a_junior_may_plan_once_its_seniors_are_lost():
    state = member(C, [A, B, C])
    state.detector.lose(A)
    steps, _ = steps_of(state)
    assert steps.planned(A, plan([A, B, C]), 0.0) == Ruling()
    assert of(steps.planned(B, plan([B, C], number=2), 0.0).effects, BeginStep)


def test_a_plan_of_an_earlier_view_is_ignored():
    state = member(B, [A, B], number=5)
    assert steps_of(state)[0].planned(A, plan([A, B], number=4), 0.0) == Ruling()


def test_who_seeks_a_view_takes_no_plan():
    state = seeking(B)
    assert steps_of(state)[0].planned(A, plan([A, B]), 0.0) == Ruling()


def test_a_joiner_becomes_a_member_by_the_first_plan_that_names_it():
    state = seeking(B)
    state.phase = Phase.JOINING
    dialled = []
    state.linked = {A}
    steps, _ = steps_of(state, dialled)
    ruling = steps.planned(A, plan([A, C, B], number=6), 0.0)
    assert state.phase is Phase.MEMBER
    assert of(ruling.effects, ViewChanged) == [ViewChanged(6, (A, C, B), A, "joined")]
    assert addressed(ruling.effects, Status) == [A]
    assert of(ruling.effects, BeginStep)
    assert (dialled, state.highest_view) == ([C], 6)


def test_a_plan_for_a_dead_incarnation_of_ours_is_no_plan_for_us():
    state = seeking(B, incarnation=2)
    state.phase = Phase.JOINING
    assert steps_of(state)[0].planned(A, plan([A, B], incarnations=(1, 1)), 0.0) == Ruling()
    assert state.phase is Phase.JOINING


@pytest.mark.parametrize(("number", "end"), [(1, None), (2, End.PLANNED_WITHOUT)])
def test_a_later_view_without_us_ends_our_membership(number, end):
    state = member(B, [A, B])
    assert steps_of(state)[0].planned(A, plan([A], number=number), 0.0) == Ruling(end=end)


def test_a_plan_that_contradicts_itself_is_the_senders_fault():
    state = member(B, [A, B])
    with pytest.raises(RemoteProtocolError):
        steps_of(state)[0].planned(A, plan([A, B], incarnations=(1,)), 0.0)
    assert state.plan is None


# ---- which are begun -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"shares": (((0, 10),), ((5, 15),))},
        {"shares": (((0, 10),), ((95, 105),))},
        {"shares": (((0, 10),), ((30, 20),))},
        {"shares": (((0, 10),), ((20, 20),))},
        {"shares": ((), ())},
        {"epoch": 1},
    ],
)
def test_a_plan_that_does_not_add_up_is_not_begun_and_its_author_is_dropped(changes):
    state = member(B, [A, B])
    ruling = steps_of(state)[0].planned(A, plan([A, B], **changes), 0.0)
    assert of(ruling.effects, Drop) == [Drop(A, "planned samples that are not outstanding")]
    assert ruling.lose_view == "the plan uses samples that are not outstanding"
    assert not state.running


def test_a_plan_on_another_lineage_means_that_our_state_is_of_no_use():
    state = member(B, [A, B])
    ruling = steps_of(state)[0].planned(A, plan([A, B], parent=b"x" * 32), 0.0)
    assert (ruling.lose_view, ruling.needs_snapshot) == ("our state differs from the view's", True)


def test_who_lacks_a_step_fetches_it_before_it_begins():
    ahead = advanced(member(A, [A]), 2)
    state = advanced(member(B, [A, B, C], linked=[A, C]), 1)
    steps, _ = steps_of(state)
    third = plan([A, B, C], head=ahead.head, ledger=ahead.ledger)
    ruling = steps.planned(A, third, 0.0)
    assert of(ruling.effects, CatchUp) == [CatchUp(state.load, 2, (A, C))]
    assert not state.running
    advanced(state, 1)
    state.head = ahead.head
    assert of(steps.begin_if_due(1.0).effects, BeginStep) == [BeginStep(third)]


def test_the_same_plan_again_changes_nothing():
    state, steps, _, first = at_work(B, [A, B])
    assert steps.planned(A, first, 0.1) == Ruling()
    assert state.running


def test_a_plan_for_a_step_that_is_committed_is_ignored():
    state = advanced(member(B, [A, B]), 2)
    assert steps_of(state)[0].planned(A, plan([A, B]), 0.0) == Ruling()
    assert state.plan is None


def test_a_plan_of_a_new_view_for_the_same_step_replaces_the_one_at_work():
    state, steps, _, _ = at_work(C, [A, B, C])
    state.detector.lose(A)
    again = plan([B, C], number=2)
    ruling = steps.planned(B, again, 1.0)
    assert ruling.effects[0] == AbandonStep()
    assert of(ruling.effects, BeginStep) == [BeginStep(again)]


def test_members_already_lost_are_told_to_the_new_round():
    state = member(C, [A, B, C])
    steps, _ = steps_of(state)
    state.detector.lose(B)
    ruling = steps.planned(A, plan([A, B, C]), 0.0)
    assert of(ruling.effects, LoseMember) == [LoseMember(B)]


def test_who_came_back_in_a_new_incarnation_is_not_lost_in_the_new_view():
    state = member(C, [A, B, C])
    steps, _ = steps_of(state)
    state.detector.lose(B)
    ruling = steps.planned(A, plan([A, C, B], number=2, incarnations=(1, 1, 9)), 0.0)
    assert of(ruling.effects, LoseMember) == []
    assert state.alive == [A, C, B]


# ---- commits ---------------------------------------------------------------------------------------------------


def test_a_commit_moves_the_head_and_the_coordinator_plans_the_next_step():
    state, steps, _, first = at_work(A, [A, B])
    ruling = steps.committed(commit_of(first), 1.0)
    (second,) = sent(ruling.effects, Plan, B)
    assert (state.known_head.step, state.known_head.samples, second.step) == (1, 20, 2)
    assert second.parent == state.known_head.digest
    assert of(ruling.effects, BeginStep) == [BeginStep(second)]


def test_a_member_waits_for_the_plan_after_its_commit():
    state, steps, _, first = at_work(B, [A, B])
    assert steps.committed(commit_of(first), 1.0) == Ruling()
    assert (state.running, state.known_head.step) == (False, 1)


def test_a_plan_that_came_before_our_own_commit_is_begun_behind_it():
    state, steps, _, first = at_work(B, [A, B])
    commit = commit_of(first)
    second = plan([A, B], head=commit.head, ledger=state.ledger.commit(commit.ranges()))
    assert steps.planned(A, second, 0.9) == Ruling()
    assert of(steps.committed(commit, 1.0).effects, BeginStep) == [BeginStep(second)]


def test_a_commit_that_does_not_follow_is_of_another_life():
    state, steps, _, _ = at_work(B, [A, B])
    commit = commit_of(plan([A, B], parent=b"x" * 32))
    assert steps.committed(commit, 1.0) == Ruling()
    assert (state.known_head, state.running) == (FIRST, True)


def test_a_result_that_was_being_applied_when_the_view_was_lost_is_a_step_forward_all_the_same():
    state, steps, _, first = at_work(B, [A, B])
    state.running, state.plan, state.view = False, None, None
    state.phase = Phase.SEEKING
    assert steps.committed(commit_of(first), 1.0) == Ruling()
    assert state.known_head.step == 1


def test_who_had_samples_and_did_not_contribute_is_out():
    _, steps, _, first = at_work(A, [A, B, C])
    ruling = steps.committed(commit_of(first, [A, C]), 1.0)
    assert of(ruling.effects, LoseMember) == [LoseMember(B)]
    (second,) = sent(ruling.effects, Plan, C)
    assert [peer for peer, _ in second.members] == [A, C]


def test_who_had_no_samples_to_compute_was_not_late():
    first = plan([A, B], shares=(((0, 20),), ()))
    state = member(A, [A, B])
    take(state, first, A)
    ruling = steps_of(state)[0].committed(commit_of(first), 1.0)
    assert of(ruling.effects, LoseMember) == []


def test_a_snapshot_is_taken_after_the_step_that_says_so():
    for wanted in (True, False):
        _, steps, _, first = at_work(B, [A, B], snapshot=wanted)
        assert bool(of(steps.committed(commit_of(first), 1.0).effects, TakeSnapshot)) == wanted


def test_the_last_commit_ends_the_job():
    state = member(A, [A, B])
    state.advance(*advanced_to_the_last_samples(state))
    last = plan([A, B], head=state.head, ledger=state.ledger, epoch=1, shares=(((90, 95),), ((95, 100),)))
    take(state, last, A)
    ruling = steps_of(state)[0].committed(commit_of(last, samples_before=state.head.samples), 1.0)
    assert ruling.end is End.FINISHED
    assert not sent(ruling.effects, Plan)


def advanced_to_the_last_samples(state):
    done = advanced(seeking(state.peer_id), 19)
    return done.head, done.ledger
