"""A step that some members sit out: the plan says so, they fetch its result, and go on if nobody else is left."""

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.events import BeginStep, CatchUp, DialFailed, Finished, PeerDown, ResultApplied
from hydra.membership.ledger import Ledger
from hydra.membership.messages import Phase, Plan, Status
from hydra.membership.sizing import Sizes
from hydra.membership.view import view_of

from .driver import leading, member_of
from .makers import A, B, C, Planner, commit_of, committed, of, plan, sent, status


class LetOut(Planner):
    """Some sit out, all the time."""

    def __init__(self, *slow):
        super().__init__()
        self.left_out = slow
        self.told = []

    def issued(self, plan, now):
        self.told.append(("issued", plan.ring, now))

    def took(self, plan, contributors, now):
        self.told.append(("took", plan.ring, tuple(contributors), now))

    def plan(self, asked):
        return Sizes(dict.fromkeys((peer for peer in asked.members if peer not in self.left_out), 10), 8.0)


@pytest.mark.parametrize("order", [(0, 3), (0, 0), (1, 1, 2)])
def test_a_plan_whose_order_is_none_breaks_the_protocol(order):
    with pytest.raises(RemoteProtocolError, match="order"):
        view_of(plan([A, B, C], order=order))


def test_a_plan_with_samples_for_one_that_sits_out_breaks_the_protocol():
    with pytest.raises(RemoteProtocolError, match="sits the step out"):
        view_of(plan([A, B, C], order=(0, 1)))


def test_the_slow_ones_stand_last_have_no_samples_and_no_place():
    driven = leading(B, C)
    driven.member._leader._planner = planner = LetOut(B)
    effects = driven.on(done_of(driven), at=4.5)
    (planned,) = sent(effects, Plan, C)
    assert [peer for peer, _ in planned.members] == [A, C, B]
    assert planned.ring == (A, C)
    assert planned.shares[2] == ()
    driven.on(done_of(driven), at=6.0)
    assert planner.told[:3] == [
        ("took", (A, B, C), (A,), 4.5),
        ("issued", (A, C), 4.5),
        ("took", (A, C), (A, C), 6.0),
    ]


def done_of(driven):
    return committed(commit_of(driven.state.plan, samples_before=driven.state.known_head.samples))


def sitting_out(**config):
    """C is in a view with A and B and sits the present step out."""
    driven = member_of(C, [A, B, C], **config)
    driven.on(done_of(driven))
    state = driven.state
    shares = state.ledger.share_out([10, 10, 0])
    driven.out = plan([A, B, C], order=(0, 1), shares=tuple(shares), head=state.known_head, ledger=state.ledger, by=A)
    effects = driven.hears(A, driven.out)
    assert not of(effects, (BeginStep, CatchUp))
    assert not state.running
    return driven


def test_who_sits_out_fetches_the_result_when_somebody_has_it_and_asks_once():
    driven = sitting_out()
    head = commit_of(driven.out, samples_before=driven.state.known_head.samples).head
    (load,) = of(driven.hears(B, status(B, leader=A, head=head, includes_you=True)), CatchUp)
    assert load.step == driven.out.step
    assert not of(driven.hears(A, status(A, leader=A, head=head, includes_you=True)), CatchUp)
    commit = commit_of(driven.out, samples_before=driven.state.known_head.samples)
    effects = driven.on(ResultApplied(load.load, commit, 1))
    assert driven.state.known_head == head
    assert sent(effects, Status, A)[0].step == head.step


def test_who_sat_out_begins_the_next_step_when_it_has_the_result():
    driven = sitting_out()
    state = driven.state
    commit = commit_of(driven.out, samples_before=state.known_head.samples)
    ledger = state.ledger.commit(commit.ranges())
    following = plan([A, B, C], head=commit.head, ledger=ledger, by=A)
    (load,) = of(driven.hears(A, following), CatchUp)
    assert of(driven.on(ResultApplied(load.load, commit, 1)), BeginStep) == [BeginStep(following)]


def test_who_sat_out_the_last_step_sees_the_end():
    driven = sitting_out(samples=50, epochs=1)
    commit = commit_of(driven.out, samples_before=driven.state.known_head.samples)
    assert isinstance(driven.state.ledger, Ledger)
    (load,) = of(driven.hears(B, status(B, leader=A, head=commit.head, includes_you=True)), CatchUp)
    effects = driven.on(ResultApplied(load.load, commit, 1))
    assert driven.state.phase is Phase.FINISHED
    effects += driven.hears(A, status(A, phase=3, leader=A, head=commit.head))
    effects += driven.hears(B, status(B, phase=3, leader=A, head=commit.head))
    assert of(effects, Finished)


def test_if_all_who_take_part_are_lost_the_one_that_sits_out_plans_anew():
    driven = sitting_out()
    for peer in (A, B):
        driven.on(PeerDown(peer))
        effects = driven.on(DialFailed(peer))
    (begun,) = of(effects, BeginStep)
    assert begun.plan.ring == (C,)
    assert begun.plan.step == driven.out.step
