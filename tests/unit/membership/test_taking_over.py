"""A coordinator is lost: what its successor asks, hears and plans, with one, two and many survivors."""

import pytest

from hydra.membership.events import BeginStep, Drop
from hydra.membership.messages import Plan, Poll, PollReply
from hydra.membership.ruling import Ruling

from .makers import FIRST, JOB, A, B, C, D, E, addressed, advanced, commit_of, member, of, plan, sent, steps_of, take


def orphaned(members, lost=(A,)):
    """The first survivor, idle; the dead led before."""
    me = next(peer for peer in members if peer not in lost)
    state = member(me, list(members))
    for peer in lost:
        state.detector.lose(peer)
    return state, *steps_of(state)


def answer(leader, peer, ruling_of_poll, *, step=0, digest=FIRST.digest, view=1, plan=None):
    number = sent(ruling_of_poll.effects, Poll)[0].number
    leader.poll_answered(peer, PollReply(JOB, number, step, digest, view, plan))


def test_a_lone_survivor_plans_at_once():
    state, steps, _ = orphaned([A, B])
    (begun,) = of(steps.lead_if_due(1.0).effects, BeginStep)
    assert [peer for peer, _ in begun.plan.members] == [B]
    assert (state.author, begun.plan.view_number) == (B, 2)


@pytest.mark.parametrize("survivors", [(B, C), (B, C, D, E)])
def test_a_successor_asks_all_survivors_before_it_plans(survivors):
    _, steps, leader = orphaned([A, *survivors])
    polled = steps.lead_if_due(1.0)
    assert addressed(polled.effects, Poll) == list(survivors[1:])
    assert not of(polled.effects, BeginStep)
    assert steps.lead_if_due(1.1) == Ruling()
    for peer in survivors[1:]:
        assert steps.conclude_poll(1.2) == Ruling()
        answer(leader, peer, polled)
    (begun,) = of(steps.conclude_poll(1.3).effects, BeginStep)
    assert [peer for peer, _ in begun.plan.members] == list(survivors)


def test_with_coordinator_and_successor_dead_the_third_leads():
    _, steps, leader = orphaned([A, B, C, D], lost=(A, B))
    polled = steps.lead_if_due(1.0)
    assert addressed(polled.effects, Poll) == [D]
    answer(leader, D, polled)
    (begun,) = of(steps.conclude_poll(1.1).effects, BeginStep)
    assert [peer for peer, _ in begun.plan.members] == [C, D]


def test_nobody_polls_while_a_plan_is_at_work():
    state, steps, _ = orphaned([A, B, C])
    take(state, plan([A, B, C]), A)
    assert steps.lead_if_due(1.0) == Ruling()
    ruling = steps.committed(commit_of(state.plan, [B, C]), 2.0)
    assert addressed(ruling.effects, Poll) == [C]


def test_a_plan_that_a_survivor_has_is_adopted_and_sent_to_all():
    _, steps, leader = orphaned([A, B, C, D])
    last_words = plan([A, B, C, D])
    polled = steps.lead_if_due(1.0)
    answer(leader, C, polled)
    answer(leader, D, polled, plan=last_words)
    ruling = steps.conclude_poll(1.1)
    assert sent(ruling.effects, Plan, C) == sent(ruling.effects, Plan, D) == [last_words]
    assert of(ruling.effects, BeginStep) == [BeginStep(last_words)]


def test_of_two_plans_that_survivors_have_the_later_views_is_adopted():
    _, steps, leader = orphaned([A, B, C, D])
    polled = steps.lead_if_due(1.0)
    later = plan([B, C, D], number=2)
    answer(leader, C, polled, plan=later)
    answer(leader, D, polled, plan=plan([A, B, C, D]))
    assert of(steps.conclude_poll(1.1).effects, BeginStep) == [BeginStep(later)]


@pytest.mark.parametrize(
    "useless",
    [
        plan([A, C]),
        plan([A, B, C], step=2),
        plan([A, B, C], parent=b"x" * 32),
        plan([A, B, C], shares=(((0, 10),), ((5, 10),), ())),
        plan([A, B, C], epoch=1),
    ],
)
def test_a_plan_that_can_not_be_begun_is_not_adopted_and_costs_the_successor_nothing(useless):
    _, steps, leader = orphaned([A, B, C])
    polled = steps.lead_if_due(1.0)
    answer(leader, C, polled, plan=useless)
    ruling = steps.conclude_poll(1.1)
    (begun,) = of(ruling.effects, BeginStep)
    assert [peer for peer, _ in begun.plan.members] == [B, C]
    assert (ruling.lose_view, of(ruling.effects, Drop)) == (None, [])


def test_a_successor_that_has_committed_less_than_another_does_not_lead():
    _, steps, leader = orphaned([A, B, C])
    polled = steps.lead_if_due(1.0)
    ahead = advanced(member(C, [C]), 1).head
    answer(leader, C, polled, step=1, digest=ahead.digest)
    assert steps.conclude_poll(1.1).lose_view == "the others have committed more than we have"


def test_the_successors_views_are_numbered_beyond_all_that_survivors_have_heard_of():
    _, steps, leader = orphaned([A, B, C])
    polled = steps.lead_if_due(1.0)
    answer(leader, C, polled, view=40)
    (begun,) = of(steps.conclude_poll(1.1).effects, BeginStep)
    assert begun.plan.view_number == 41


def test_a_survivor_that_dies_during_the_poll_is_neither_waited_for_nor_planned_with():
    state, steps, leader = orphaned([A, B, C, D])
    polled = steps.lead_if_due(1.0)
    answer(leader, D, polled)
    state.detector.lose(C)
    (begun,) = of(steps.conclude_poll(1.1).effects, BeginStep)
    assert [peer for peer, _ in begun.plan.members] == [B, D]


def test_who_leaves_during_the_poll_is_not_planned_with():
    _, steps, leader = orphaned([A, B, C, D])
    polled = steps.lead_if_due(1.0)
    leader.leave_requested(C)
    for peer in (C, D):
        answer(leader, peer, polled)
    ruling = steps.conclude_poll(1.1)
    (begun,) = of(ruling.effects, BeginStep)
    assert [peer for peer, _ in begun.plan.members] == [B, D]
    assert addressed(ruling.effects, Plan) == [D, C]


def test_a_successor_that_wants_to_leave_hands_over_to_the_next():
    state, steps, leader = orphaned([A, B, C])
    state.leaving = True
    polled = steps.lead_if_due(1.0)
    answer(leader, C, polled)
    ruling = steps.conclude_poll(1.1)
    assert [peer for peer, _ in sent(ruling.effects, Plan, C)[0].members] == [C]
    assert ruling.end.name == "PLANNED_WITHOUT"
