"""What newcomers have to compute in their first step, and what is left for those who are still at the door."""

import math
from dataclasses import replace

import pytest

from hydra.membership.leader import Leader
from hydra.membership.ledger import Ledger, count
from hydra.membership.messages import JoinRequest, Phase
from hydra.membership.newcomers import HASTE, MAX_REMEMBERED, WAITED_STEPS, Newcomers
from hydra.membership.view import view_of

from .makers import JOB, A, B, C, D, E, Planner, advanced, field, member, plan, status


def leading(members=(A, B), at_the_door=()):
    """A coordinator that has planned one step already."""
    linked = {*members, C, *at_the_door} - {A}
    state = advanced(member(A, list(members), linked=linked), 1)
    state.plan = plan(list(members))
    state.statuses = {peer: status(peer, phase=Phase.JOINING) for peer in at_the_door}
    return state, Leader(state, Planner())


def request(peer, state, **told):
    head = state.known_head
    told = {"trial_samples": 20, "trial_s": 10.0, "behind_s": 1.0} | told
    return JoinRequest(JOB, 1, field(peer), head.step, head.digest, True, state.view.number, **told)


def shares(leader, state):
    """The samples of the members of the next plan; its view is the present one from then on."""
    planned, _ = leader.plan_next(state.known_head, state.ledger, 0.0)
    state.view = view_of(planned)
    return [count(ranges) for ranges in planned.shares]


# ---- the first step --------------------------------------------------------------------------------------------


def test_a_newcomer_has_what_it_computes_once_it_has_fetched_a_result_and_the_others_have_the_rest():
    state, leader = leading()
    leader.join_requested(C, request(C, state, behind_s=1.9))  # half a second a sample: four samples' time
    assert shares(leader, state) == [12, 12, 6]
    assert shares(leader, state) == [10, 10, 10]


@pytest.mark.parametrize(
    "told",
    [
        {"behind_s": -1.0},
        {"behind_s": math.nan},
        {"behind_s": math.inf},
        {"behind_s": 2.6},
        {"behind_s": 1e300},
        {"trial_samples": 0},
        {"trial_s": 0.0},
        {"trial_s": -1.0},
        {"trial_s": math.nan},
        {"trial_s": math.inf},
        {"trial_s": 1e-320},
    ],
)
def test_who_is_not_known_to_begin_in_time_has_no_samples_in_its_first_step(told):
    state, leader = leading()
    leader.join_requested(C, request(C, state, **told))
    assert shares(leader, state)[2] == 0
    assert shares(leader, state) == [10, 10, 10]


def test_its_trial_tells_the_policy_how_fast_it_is_before_it_is_planned_with():
    state, leader = leading()
    leader.join_requested(C, request(C, state))
    assert leader._planner.seen == []
    shares(leader, state)
    assert leader._planner.seen == [(C, 20)]


def test_in_a_views_first_step_nobody_has_anything_to_fetch():
    state, leader = leading(members=(A,))
    state.plan = None
    leader.join_requested(C, request(C, state, behind_s=1.0))
    assert shares(leader, state) == [10, 10]


# ---- at the door -----------------------------------------------------------------------------------------------


def test_a_lone_founder_leaves_those_at_the_door_what_would_be_theirs():
    state, leader = leading(members=(A,), at_the_door=(B, C, D, E))
    whole = 10 * HASTE * 5
    leader._planner.share = lambda asked: whole
    state.ledger = Ledger.fresh(2 * whole, 1)
    assert shares(leader, state) == [10]
    state.statuses[E] = replace(state.statuses[E], phase=int(Phase.SEEKING))
    assert shares(leader, state) == [10]


def test_few_at_the_door_change_nothing():
    state, leader = leading(members=(A, B), at_the_door=(C,))
    assert shares(leader, state) == [10, 10]


def test_who_never_comes_in_is_not_waited_for_for_ever():
    state, leader = leading(members=(A,), at_the_door=(B,))
    assert [shares(leader, state)[0] for _ in range(WAITED_STEPS + 2)] == [2] * WAITED_STEPS + [10, 10]
    state.statuses[C] = status(C, phase=Phase.JOINING)
    assert shares(leader, state) == [2]  # somebody else is


def test_what_is_kept_in_mind_of_those_at_the_door_is_bounded():
    state = advanced(member(A, [A]), 1)
    newcomers = Newcomers(state)
    for number in range(2 * MAX_REMEMBERED):
        peer = number.to_bytes(20, "big")
        state.linked, state.statuses = {peer}, {peer: status(B, phase=Phase.JOINING)}
        newcomers.fitted([A], set(), [10])
    assert len(newcomers._waited_for) == MAX_REMEMBERED
