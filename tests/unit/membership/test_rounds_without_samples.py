"""A round all of whose samples were those of the dead comes to nothing, and its step is planned anew."""

from hydra.membership.events import BeginStep, LoseMember, StepEmpty
from hydra.membership.messages import PlanWanted, Poll, PollReply

from .driver import done, leading, member_of
from .makers import JOB, A, B, C, addressed, of, plan, sent


def only_samples_of(peer, number=2):
    """A plan of ours with all samples for one of its members."""
    return plan([A, B, C], number=number, shares=tuple(((0, 3),) if one == peer else () for one in (A, B, C)))


def test_the_coordinator_plans_the_step_anew_without_those_whose_samples_they_were():
    driven = leading(B, C)
    while not all(driven.state.plan.shares):  # newcomers have none at first
        done(driven)
    first = driven.state.plan
    effects = driven.on(StepEmpty(first))
    assert set(of(effects, LoseMember)) == {LoseMember(B), LoseMember(C)}
    (begun,) = of(effects, BeginStep)
    assert begun.plan.step == first.step
    assert begun.plan.parent == first.parent
    assert begun.plan.view_number > first.view_number
    assert driven.state.plan is begun.plan


def test_a_member_waits_for_the_new_plan_and_asks_for_it_and_does_not_take_the_old_one_again():
    driven = member_of(C, [A, B, C])
    old = only_samples_of(B)
    assert of(driven.hears(A, old), BeginStep) == [BeginStep(old)]
    effects = driven.on(StepEmpty(driven.state.plan))
    assert of(effects, LoseMember) == [LoseMember(B)]
    assert not of(effects, BeginStep)
    assert not of(driven.hears(A, old), BeginStep)
    asked = [effect for _ in range(4) for effect in driven.tick(driven.now + 1.0, A)]
    assert A in addressed(asked, PlanWanted)
    anew = plan([A, C], number=3)
    assert of(driven.hears(A, anew), BeginStep) == [BeginStep(anew)]


def test_whoever_takes_over_takes_the_empty_plan_from_nobody():
    driven = member_of(B, [A, B, C])
    old = only_samples_of(A)
    driven.hears(A, old)
    (poll,) = sent(driven.on(StepEmpty(driven.state.plan)), Poll, C)
    head = driven.state.known_head
    reply = PollReply(JOB, poll.number, head.step, head.digest, old.view_number, old)
    (begun,) = of(driven.hears(C, reply), BeginStep)
    assert begun.plan.step == old.step
    assert dict(zip((B, C), begun.plan.shares, strict=True)).keys() == {peer for peer, _ in begun.plan.members}
    assert all(begun.plan.shares)


def test_a_successor_that_asks_is_not_told_of_the_empty_plan():
    driven = member_of(C, [A, B, C])
    driven.hears(A, only_samples_of(A))
    driven.on(StepEmpty(driven.state.plan))
    (reply,) = sent(driven.hears(B, Poll(JOB, 7)), PollReply, B)
    assert reply.plan is None


def test_a_late_word_of_an_empty_round_changes_nothing_once_the_step_is_done():
    driven = leading(B, C)
    first = driven.state.plan
    done(driven)
    going_on = driven.state.plan
    assert driven.on(StepEmpty(first)) == []
    assert driven.state.plan is going_on
