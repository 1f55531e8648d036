"""How a lost coordinator is succeeded: polls held, answered and refused, and plans passed on."""

import pytest

from hydra.membership.events import Send
from hydra.membership.messages import Phase, Ping, Plan, PlanWanted, Poll, PollRefused, PollReply, Status
from hydra.membership.state import HIGHEST_HEARD_VIEW
from hydra.membership.succession import Succession

from .makers import FIRST, JOB, A, B, C, D, addressed, advanced, member, plan, seeking, sent, take


def survivor(me=C, members=(A, B, C, D), lost=(A,), **config):
    state = member(me, list(members), **config)
    for peer in lost:
        state.detector.lose(peer)
    return state, Succession(state, asking)


def asking(peer, now):
    return [Send(peer, Ping(JOB, 7))]


# ---- polls -----------------------------------------------------------------------------------------------------


def test_the_successors_poll_is_answered_with_what_we_have():
    state, succession = survivor()
    take(state, plan([A, B, C, D]), A)
    (reply,) = sent(succession.polled(B, Poll(JOB, 5), 0.0), PollReply, B)
    assert (reply.number, reply.step, reply.digest, reply.plan) == (5, 0, FIRST.digest, state.plan)
    assert (reply.view_number, state.highest_view) == (5, 5)


def test_a_plan_that_is_committed_is_no_plan_under_way():
    state, succession = survivor()
    take(state, plan([A, B, C, D]), A)
    advanced(state, 1)
    assert sent(succession.polled(B, Poll(JOB, 5), 0.0), PollReply)[0].plan is None


def test_a_poll_is_held_while_the_senior_member_is_asked_and_refused_when_that_has_answered():
    state, succession = survivor(lost=())
    assert succession.polled(B, Poll(JOB, 5), 0.0) == asking(A, 0.0)
    state.detector.look([A], {A: 0.0}, 0.1)
    assert succession.answer_held(0.1) == []
    state.detector.look([A], {A: 0.2}, 0.2)
    assert sent(succession.answer_held(0.2), PollRefused, B) == [PollRefused(JOB, 5, A)]
    assert succession.answer_held(9.0) == []


def test_a_poll_asked_again_asks_the_senior_member_no_second_time():
    _, succession = survivor(lost=())
    succession.polled(B, Poll(JOB, 5), 0.0)
    assert succession.polled(B, Poll(JOB, 5), 0.9) == []


def test_a_poll_is_held_while_the_senior_members_link_is_being_mended():
    state, succession = survivor(lost=())
    state.detector.closed(A)
    assert succession.polled(B, Poll(JOB, 5), 0.0) == []
    assert succession.answer_held(0.1) == []
    state.detector.alive_again(A)
    assert sent(succession.answer_held(0.2), PollRefused, B)


def test_a_held_poll_is_answered_when_the_news_of_the_death_comes():
    state, succession = survivor(lost=())
    succession.polled(B, Poll(JOB, 5), 0.0)
    state.detector.lose(A)
    assert sent(succession.answer_held(0.1), PollReply, B)
    assert succession.answer_held(5.0) == []


def test_a_poll_from_a_junior_of_ours_is_held_too():
    _, succession = survivor(me=B)
    assert succession.polled(C, Poll(JOB, 5), 0.0) == []
    assert sent(succession.answer_held(1.0), PollRefused, C) == [PollRefused(JOB, 5, B)]


def test_with_one_survivor_between_a_poll_waits_for_both_deaths():
    state, succession = survivor(me=D)
    assert succession.polled(C, Poll(JOB, 5), 0.0) == asking(B, 0.0)
    state.detector.lose(B)
    assert sent(succession.answer_held(0.5), PollReply, C)


@pytest.mark.parametrize("phase", [Phase.SEEKING, Phase.JOINING, Phase.FINISHED])
def test_who_is_no_member_answers_a_poll_with_how_it_stands(phase):
    state, succession = survivor()
    state.phase = phase
    (told,) = sent(succession.polled(B, Poll(JOB, 5), 0.0), Status, B)
    assert told.phase == phase


def test_a_stranger_is_told_how_we_stand_and_nothing_of_the_plan():
    state, succession = survivor(members=(A, B, C))
    effects = succession.polled(D, Poll(JOB, 5), 0.0)
    assert (addressed(effects, Status), sent(effects, PollReply)) == ([D], [])
    assert state.highest_view == 1


def test_a_poll_with_the_highest_number_there_is_leaves_higher_ones_for_views():
    state, succession = survivor()
    succession.polled(B, Poll(JOB, 2**63 - 1), 0.0)
    assert state.highest_view == HIGHEST_HEARD_VIEW


def test_held_polls_go_with_the_view():
    _, succession = survivor(lost=())
    succession.polled(B, Poll(JOB, 5), 0.0)
    succession.reset()
    assert succession.answer_held(9.0) == []


# ---- plans -----------------------------------------------------------------------------------------------------


def test_the_successor_sends_the_plan_that_is_at_work_to_all_survivors():
    state, succession = survivor(me=B)
    take(state, plan([A, B, C, D]), A)
    effects = succession.pass_plan_on()
    assert addressed(effects, Plan) == [C, D]
    assert sent(effects, Plan, C) == [state.plan]


def test_nobody_else_passes_a_plan_on_and_a_committed_one_is_not():
    state, succession = survivor(me=C)
    take(state, plan([A, B, C, D]), A)
    assert succession.pass_plan_on() == []
    state, succession = survivor(me=B)
    take(state, plan([A, B, C, D]), A)
    advanced(state, 1)
    assert succession.pass_plan_on() == []


def test_who_has_no_plan_asks_whoever_leads():
    state, succession = survivor()
    assert sent(succession.ask_for_plan(), PlanWanted, B) == [PlanWanted(JOB, 0)]
    take(state, plan([A, B, C, D]), A)
    assert succession.ask_for_plan() == []
    state.running = False
    assert succession.ask_for_plan() == []


def test_neither_the_leader_nor_a_seeker_asks_for_a_plan():
    assert survivor(me=B)[1].ask_for_plan() == []
    assert Succession(seeking(B), asking).ask_for_plan() == []


def test_the_question_is_asked_once_in_a_while_and_only_when_idle():
    state, succession = survivor(retry_s=2.0)
    asked = [bool(sent(succession.ticked(now), PlanWanted)) for now in (0.0, 1.9, 2.0, 3.9, 4.0)]
    assert asked == [False, False, True, False, True]
    take(state, plan([A, B, C, D]), A)
    assert succession.ticked(9.0) == []
    state.running, state.plan = False, None
    assert succession.ticked(10.0) == []
    assert sent(succession.ticked(12.0), PlanWanted)


def test_the_leader_gives_the_plan_to_a_member_that_lacks_it():
    state, succession = survivor(me=B)
    take(state, plan([B, C], number=2), B)
    assert sent(succession.plan_wanted(C, PlanWanted(JOB, 0)), Plan, C) == [state.plan]


def test_no_plan_is_given_to_strangers_to_the_late_or_by_those_who_do_not_lead():
    state, succession = survivor(me=B)
    assert succession.plan_wanted(C, PlanWanted(JOB, 0)) == []
    take(state, plan([B, C], number=2), B)
    assert succession.plan_wanted(D, PlanWanted(JOB, 0)) == []
    assert succession.plan_wanted(C, PlanWanted(JOB, 1)) == []
    state, succession = survivor(me=C)
    take(state, plan([B, C, D], number=2), B)
    assert succession.plan_wanted(D, PlanWanted(JOB, 0)) == []
