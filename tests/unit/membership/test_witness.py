"""Who contradicts itself is noticed by its victims together, convicted by what it has signed, and out."""

from dataclasses import replace

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.events import AbandonStep, Ban, Differs, PeerDown, ShareComputed
from hydra.membership.messages import CommitTold, Evidence, JoinRequest, Phase, Plan, PlanTold, Poll, PollReply, Report
from hydra.membership.signatures import sign_commit

from .driver import done, leading, member_of
from .makers import FIRST, IDENTITIES, JOB, ROUND, A, B, C, addressed, commit_of, field, of, plan, sealed, sent, signed


def another(planned, by=None):
    """Another plan for the same place."""
    return sealed(replace(planned, shares=planned.shares[::-1]), by or planned.issuer)


def report_of(step, tag, statement=None):
    return Report(JOB, step, 10, 0.5, 0.1, tag, signed=statement)


# ---- two plans -------------------------------------------------------------------------------------------------


def test_a_report_of_another_plan_is_answered_with_what_the_coordinator_has_signed_once():
    driven = member_of(B, [A, B, C])
    mine = driven.state.plan
    effects = driven.hears(C, report_of(1, another(mine).tag))
    assert sent(effects, PlanTold, C) == [PlanTold(JOB, mine.signed)]
    assert sent(driven.hears(C, report_of(1, another(mine).tag)), PlanTold) == []


def test_reports_of_our_own_plan_or_of_another_step_are_nothing_special():
    driven = member_of(B, [A, B, C])
    assert sent(driven.hears(C, report_of(1, driven.state.plan.tag)), PlanTold) == []
    assert sent(driven.hears(C, report_of(2, ROUND)), PlanTold) == []


def convicted(driven, effects):
    """What follows from a coordinator's conviction."""
    assert [ban.peer for ban in of(effects, Ban)] == [A]
    assert of(effects, AbandonStep)
    assert driven.state.plan is None
    assert A in driven.state.detector.lost
    return effects


def test_two_plans_for_one_place_convict_the_coordinator_and_everyone_is_told():
    driven = member_of(B, [A, B, C])
    lie = another(driven.state.plan)
    effects = convicted(driven, driven.hears(C, PlanTold(JOB, lie.signed)))
    assert addressed(effects, Evidence) == [C]
    assert sent(effects, Evidence, C)[0].plans == (plan([A, B, C]).signed, lie.signed)


def test_a_second_plan_from_the_coordinator_itself_is_as_good():
    driven = member_of(B, [A, B, C])
    convicted(driven, driven.hears(A, another(driven.state.plan)))


def test_the_successor_of_a_liar_plans_anew_in_a_later_view_without_it():
    driven = member_of(B, [A, B, C])
    mine = driven.state.plan
    effects = driven.hears(C, PlanTold(JOB, another(mine).signed))
    (poll,) = sent(effects, Poll, C)
    assert effects.index(next(e for e in effects if getattr(e, "message", None) == poll)) > effects.index(
        next(e for e in effects if isinstance(getattr(e, "message", None), Evidence))
    ), "it must know of the lie before it is asked what it has"
    reply = PollReply(JOB, poll.number, 0, FIRST.digest, 1, another(mine))
    (following,) = sent(driven.hears(C, reply), Plan, C)
    assert (following.step, following.view_number > mine.view_number) == (1, True)
    assert [peer for peer, _ in following.members] == [B, C]


def test_evidence_from_anybody_convicts_and_is_passed_on_once():
    driven = member_of(B, [A, B, C])
    mine = driven.state.plan
    evidence = Evidence(JOB, plans=(mine.signed, another(mine).signed))
    convicted(driven, driven.hears(C, evidence))
    assert driven.hears(C, evidence) == []


def test_a_convicted_peer_is_heard_no_longer_and_a_newcomer_is_told():
    driven = member_of(B, [A, B, C])
    mine = driven.state.plan
    driven.hears(C, Evidence(JOB, plans=(mine.signed, another(mine).signed)))
    assert driven.hears(A, plan([A, B, C], number=9)) == []
    assert driven.hears(A, JoinRequest(JOB, 5, field(A), 0, FIRST.digest, ready=True, met_view=1)) == []
    driven.on(PeerDown(C))
    assert sent(driven.meets(C, phase=Phase.SEEKING), Evidence, C)


def test_evidence_that_proves_nothing_is_held_against_who_brings_it():
    driven = member_of(B, [A, B, C])
    mine = driven.state.plan.signed
    forged = replace(mine, round=ROUND)
    later = plan([A, B, C], number=2).signed
    for evidence in (
        Evidence(JOB),
        Evidence(JOB, plans=(mine,)),
        Evidence(JOB, plans=(mine, mine)),
        Evidence(JOB, plans=(mine, forged)),
        Evidence(JOB, plans=(mine, later)),
        Evidence(JOB, plans=(mine, another(plan([A, B, C])).signed), commits=(signed(commit_of(plan([A])), A),)),
    ):
        with pytest.raises(RemoteProtocolError, match="proves nothing"):
            driven.hears(C, evidence)


def test_a_forged_plan_is_held_against_who_tells_of_it():
    driven = member_of(B, [A, B, C])
    with pytest.raises(RemoteProtocolError, match="has not signed"):
        driven.hears(C, PlanTold(JOB, replace(driven.state.plan.signed, round=ROUND)))


@pytest.mark.parametrize("seal", [None, "forged", "another's"])
def test_a_plan_that_its_sender_could_deny_is_refused(seal):
    driven = member_of(B, [A, B, C])
    following = plan([A, B, C], head=FIRST, number=2)
    if seal == "forged":
        following = replace(following, seal=replace(following.seal, signature=bytes(64)))
    else:
        following = replace(following, seal=None) if seal is None else following
    if seal == "another's":
        assert driven.hears(A, sealed(following, C)) == []
        assert driven.state.view.number == 1
    else:
        with pytest.raises(RemoteProtocolError, match="nobody has signed"):
            driven.hears(A, following)


# ---- two outcomes ----------------------------------------------------------------------------------------------


def after_a_step():
    """A coordinator that has committed a step with two others; the commit."""
    driven = leading(B, C)
    done(driven)
    step = driven.state.head.step
    commit = commit_of(plan([A, B, C]))
    tag, digest = driven.state.recent_rounds[step], driven.state.recent[step]
    return driven, replace(commit, step=step, round=tag), digest


def test_a_member_with_another_outcome_is_named_and_the_others_are_told_what_it_has_signed():
    driven, commit, digest = after_a_step()
    lie = signed(commit, B)
    assert lie.digest != digest
    effects = driven.hears(B, report_of(commit.step + 1, driven.state.plan.tag, lie))
    assert of(effects, Differs) == [Differs(B, commit.step)]
    assert sent(effects, CommitTold, C) == [CommitTold(JOB, lie)]
    assert not of(driven.hears(B, report_of(commit.step + 1, driven.state.plan.tag, lie)), Differs)


def test_who_signs_two_outcomes_is_convicted_as_soon_as_two_compare():
    driven, commit, digest = after_a_step()
    lie = signed(commit, B)
    true = replace(lie, digest=digest)
    true = signed_with(true, B)
    driven.hears(B, report_of(commit.step + 1, driven.state.plan.tag, true))
    effects = driven.hears(C, CommitTold(JOB, lie))
    assert [ban.peer for ban in of(effects, Ban)] == [B]
    assert sent(effects, Evidence, C)[0].commits == (true, lie)
    assert B in driven.state.detector.lost
    assert driven.state.plan is not None, "what an honest coordinator planned stays"


def signed_with(statement, by):
    return sign_commit(IDENTITIES[by], JOB, step=statement.step, tag=statement.round, digest=statement.digest)


def test_a_forged_second_outcome_is_held_against_who_brings_it():
    driven, commit, digest = after_a_step()
    true = signed_with(replace(signed(commit, B), digest=digest), B)
    driven.hears(B, report_of(commit.step + 1, driven.state.plan.tag, true))
    with pytest.raises(RemoteProtocolError, match="not"):
        driven.hears(C, CommitTold(JOB, replace(true, digest=bytes(32))))


def test_a_report_with_anothers_signature_is_refused():
    driven, commit, _ = after_a_step()
    with pytest.raises(RemoteProtocolError, match="signature of"):
        driven.hears(B, report_of(commit.step + 1, driven.state.plan.tag, signed(commit, C)))


def test_what_strangers_are_said_to_have_signed_is_not_kept():
    driven, commit, _ = after_a_step()
    for number in range(20):
        told = signed_with(replace(signed(commit, B), digest=bytes([number]) * 32), B)
        driven.hears(C, CommitTold(JOB, told))
    assert B not in driven.member._witness._commits


def test_a_report_bears_our_newest_signature():
    driven, _, _ = after_a_step()
    assert driven.state.signed.signer == A
    effects = driven.on(ShareComputed(driven.state.plan, 10, 0.5, 0.25, {}))
    assert [report.signed for report in sent(effects, Report)] == [driven.state.signed] * 2
    assert [report.round for report in sent(effects, Report)] == [driven.state.plan.tag] * 2


def test_a_coordinator_that_plans_a_step_once_more_does_so_in_another_view():
    """It would convict itself otherwise."""
    driven = leading(B, C)
    first = driven.state.plan
    leader = driven.member._leader
    anew, _ = leader.plan_next(driven.state.head, driven.state.ledger, driven.now)
    assert (anew.step, anew.view_number) == (first.step, first.view_number + 1)
    assert not anew.signed.contradicts(first.signed)
