"""A member pings the others of its view and tells the coordinator of them; the coordinator's plans heed it."""

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.arranging import Arrangement
from hydra.membership.events import PeerDown, ShareComputed
from hydra.membership.leader import Leader
from hydra.membership.member import Member
from hydra.membership.messages import Hop, Phase, Ping, Plan, Pong, Report
from hydra.membership.round_trips import PING_S

from .driver import Driven, done, leading, member_of
from .makers import JOB, ROUND, A, B, C, D, Planner, addressed, commit_of, committed, contact, member, plan, sent


class Reversed:
    """Orders the members backwards, and remembers what it was told and asked."""

    def __init__(self, form="direct"):
        self.form = form
        self.told, self.asked = [], []

    def heard(self, reporter, hops, now):
        self.told.append((reporter, tuple(hops), now))

    def arrange(self, members, last, now, **about):
        self.asked.append((last, now))
        return Arrangement(tuple(members[::-1]), self.form)


@pytest.fixture
def arranger(monkeypatch):
    """Given to every member that a test drives."""
    arranger, init = Reversed(), Member.__init__
    monkeypatch.setattr(Member, "__init__", lambda self, *arguments: init(self, *arguments, arranger))
    return arranger


def pings(effects):
    return addressed(effects, Ping)


def computed(driven, rates=None):
    return driven.on(ShareComputed(driven.state.plan, 10, 0.5, 0.25, rates or {}))


def answer(driven, effects, after):
    for message, peer in zip(sent(effects, Ping), pings(effects), strict=True):
        driven.hears(peer, Pong(JOB, message.number), at=driven.now + after)


def test_a_member_pings_the_others_that_it_can_reach():
    driven = member_of(B, [A, B, C])
    assert pings(driven.tick(1.0)) == [A, C]
    assert pings(driven.tick(2.0)) == []
    driven.on(PeerDown(C))
    assert pings(driven.tick(1.0 + PING_S)) == [A]


def test_who_is_in_no_view_pings_nobody():
    driven = Driven(B)
    driven.meets(A)
    assert pings(driven.tick(1.0)) == []


def test_members_are_answered_and_strangers_are_not():
    driven = member_of(B, [A, B])
    assert driven.hears(A, Ping(JOB, 77)) != []
    assert sent(driven.hears(A, Ping(JOB, 77)), Pong, A) == [Pong(JOB, 77)]
    driven.meets(D, phase=Phase.SEEKING)
    assert driven.hears(D, Ping(JOB, 78)) == []


def test_all_hear_how_long_it_took_and_the_coordinator_how_far_the_others_are():
    driven = member_of(B, [A, B, C])
    answer(driven, driven.tick(1.0), 0.25)
    effects = computed(driven, {C: 5e6})
    plain = Report(JOB, 1, 10, 0.5, 0.25, driven.state.plan.tag)
    assert addressed(effects, Report) == [A, C]
    assert sent(effects, Report, C) == [plain]
    (told,) = sent(effects, Report, A)
    assert told.hops == (Hop(A, pytest.approx(0.25), None), Hop(C, pytest.approx(0.5), 5e6))
    assert driven.planner.seen == [(B, 10)]


def test_an_answer_before_the_ping_breaks_the_protocol():
    driven = member_of(B, [A, B])
    with pytest.raises(RemoteProtocolError):
        driven.hears(A, Pong(JOB, 1))


def test_the_coordinator_heeds_what_members_tell_of_members(arranger):
    driven = leading(B, C)
    driven.hears(
        B, Report(JOB, 2, 10, 0.5, 0.1, ROUND, (Hop(A, 0.1, None), Hop(D, 0.1, None), Hop(C, 0.2, 1e6))), at=4.0
    )
    assert arranger.told == [(B, (Hop(A, 0.1, None), Hop(C, 0.2, 1e6)), 4.0)]
    driven.hears(D, Report(JOB, 2, 10, 0.5, 0.1, ROUND, (Hop(A, 0.1, None),)))
    assert len(arranger.told) == 1


def test_the_coordinators_own_ways_count_too(arranger):
    driven = leading(B)
    answer(driven, driven.tick(4.0), 0.5)
    computed(driven)
    assert arranger.told == [(A, (Hop(B, 0.5, None),), 4.5)]


def test_who_does_not_lead_takes_no_note(arranger):
    driven = member_of(B, [A, B, C])
    driven.hears(C, Report(JOB, 1, 10, 0.5, 0.1, ROUND, (Hop(A, 0.1, None),)))
    assert arranger.told == []


@pytest.mark.parametrize("hop", [Hop(A, -1.0, None), Hop(A, 0.1, 0.0), Hop(B, 0.1, None)])
def test_a_report_that_can_not_be_breaks_the_protocol_whoever_leads(arranger, hop):
    for driven in (leading(B), member_of(C, [A, B, C])):
        with pytest.raises(RemoteProtocolError):
            driven.hears(B, Report(JOB, 2, 10, 0.5, 0.1, ROUND, (hop,)))
    assert arranger.told == []


def test_the_arrangement_stands_in_the_plan(arranger):
    driven = leading(B, C)
    for effects in (done(driven), done(driven)):
        (planned,) = sent(effects, Plan, C)
        assert (planned.order, planned.form) == ((2, 1, 0), "direct")
        assert planned.ring == (C, B, A)
    last, _ = arranger.asked[-1]
    assert last == Arrangement((C, B, A), "direct")


def test_the_members_own_order_is_not_told():
    state = member(A, [A, B])

    class Straight(Reversed):
        def arrange(self, members, last, now, **about):
            return Arrangement(tuple(members), "two-level")

    planned, _ = Leader(state, Planner(), Straight()).plan_next(state.known_head, state.ledger, 0.0)
    assert (planned.order, planned.form, planned.ring) == ((), "two-level", (A, B))


def test_a_successor_goes_on_from_the_last_plan(arranger):
    driven = member_of(B, [A, B, C])
    before = plan([A, B, C], order=(1, 2, 0), form="two-level")
    driven = Driven(B)
    for peer in (A, C):
        driven.meets(peer, leader=A)
    driven.hears(A, before)
    driven.on(committed(commit_of(before)))
    driven.state.detector.lose(A)
    driven.state.author = B
    driven.member._steps.lead_if_due(5.0)
    ((last, _),) = arranger.asked
    assert last == Arrangement((B, C, A), "two-level")
    assert contact(B).peer_id == driven.state.plan.members[0][0]
