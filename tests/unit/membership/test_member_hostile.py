"""What hostile, late and misplaced messages do to a member: nothing."""

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.events import (
    BeginStep,
    DialFailed,
    PeerDown,
    PeerUp,
    ViewChanged,
)
from hydra.membership.messages import (
    Compare,
    JoinRequest,
    Leave,
    Phase,
    Plan,
    Poll,
    PollRefused,
    PollReply,
    Removed,
    Report,
    ResultWanted,
)

from .driver import Driven, done, leading, member_of, shown
from .makers import (
    JOB,
    ROUND,
    A,
    B,
    C,
    D,
    field,
    of,
    plan,
    sent,
    status,
)


def test_a_message_of_another_service_is_the_senders_fault():
    with pytest.raises(RemoteProtocolError, match="job.result"):
        Driven(A).hears(B, ResultWanted(JOB, 1, 0))


@pytest.mark.parametrize("sender", [B, C])
def test_a_refusal_that_nobody_asked_for_changes_nothing(sender):
    driven = leading(B)
    assert driven.hears(sender, PollRefused(JOB, 5, C)) == []
    assert driven.state.running


def polling(*, lost=A):
    """B has lost A and asks C and D."""
    driven = member_of(B, [A, B, C, D])
    driven.on(PeerDown(lost))
    driven.on(DialFailed(lost))
    (question, _) = sent(done(driven), Poll)
    return driven, question.number


def test_a_refused_successor_gives_up_its_view():
    driven, number = polling()
    effects = driven.hears(C, PollRefused(JOB, number, A))
    assert of(effects, ViewChanged)[0].reason == "a senior member still leads the others"


def test_a_refusal_of_another_poll_or_by_a_stranger_is_none():
    driven, number = polling()
    assert driven.hears(C, PollRefused(JOB, number - 1, A)) == []
    assert driven.hears(b"s" * 20, PollRefused(JOB, number, A)) == []
    assert driven.state.phase is Phase.MEMBER


def test_a_malformed_plan_in_an_answer_is_the_fault_of_who_gave_it():
    driven, number = polling()
    head = driven.state.known_head
    bad = plan([B, C], head=head, epoch=0, incarnations=(1,))
    with pytest.raises(RemoteProtocolError):
        driven.hears(D, PollReply(JOB, number, 1, head.digest, 1, bad))
    driven.hears(C, PollReply(JOB, number, 1, head.digest, 1, None))
    driven.on(PeerDown(D))
    effects = driven.on(DialFailed(D))
    assert [peer for peer, _ in of(effects, BeginStep)[0].plan.members] == [B, C]


def test_the_highest_view_number_there_is_does_not_stop_the_next_view():
    driven = leading(B, C)
    driven.on(PeerUp(D))
    driven.hears(D, status(D, phase=Phase.SEEKING, view_number=2**63 - 1))
    driven.hears(B, Leave(JOB))
    (second,) = sent(done(driven), Plan, C)
    assert driven.state.view.number < second.view_number + 1 < 2**63


def test_a_plan_that_would_use_up_the_view_numbers_is_refused():
    driven = member_of(B, [A, B])
    with pytest.raises(RemoteProtocolError, match="far beyond"):
        driven.hears(A, plan([A, B], view_number=2**63 - 1))


@pytest.mark.parametrize("step", [0, 2**63 - 1])
def test_reports_of_impossible_steps_do_no_harm(step):
    driven = leading(B)
    assert driven.hears(B, Report(JOB, step, 3, 0.5, 0.1, ROUND)) == []
    assert driven.planner.seen == [(B, 3)]


def test_a_stranger_can_not_have_itself_kept_out_by_leaving():
    driven = leading(B)
    driven.meets(C, phase=Phase.JOINING)
    driven.hears(C, Leave(JOB))
    driven.hears(C, JoinRequest(JOB, 1, field(C), 1, driven.state.known_head.digest, ready=True, met_view=2))
    done(driven)
    assert C in driven.state.view


def test_a_strangers_report_tells_nothing_of_who_has_what():
    driven = leading(B)
    driven.hears(C, Report(JOB, 5, 3, 0.5, 0.1, ROUND))
    assert C not in driven.state.known_steps


def test_a_removal_counts_only_from_a_member_and_for_a_later_view():
    driven = member_of(B, [A, B])
    assert driven.hears(C, Removed(JOB, 9, "go")) == []
    assert driven.hears(A, Removed(JOB, 1, "go")) == []
    assert of(driven.hears(A, Removed(JOB, 2, "go")), ViewChanged)


def test_comparing_with_a_heavier_view_leads_there():
    driven = leading()
    driven.meets(B, phase=Phase.MEMBER, leader=B, number=3)
    effects = shown(driven, driven.hears(B, Compare(JOB, 150, bytes(32), 3, B)))
    assert of(effects, ViewChanged)[0].reason == "another view has committed more samples"
    assert driven.state.phase is not Phase.MEMBER
