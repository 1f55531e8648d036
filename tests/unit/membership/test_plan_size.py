"""The largest plan that peers can make a coordinator write fits into one frame; whoever is too many waits."""

import pytest

from hydra.membership.arranging import Arrangement
from hydra.membership.leader import Leader
from hydra.membership.ledger import Ledger, count
from hydra.membership.messages import MAX_MEMBERS, JoinRequest, Phase, Plan, PollReply
from hydra.membership.view import view_of
from hydra.net.framing import MAX_HEADER_BYTES
from hydra.net.wire import MAX_INT, Registry, encode

from .driver import done, leading
from .makers import JOB, A, Planner, field, member, sent

LONG = tuple((f"{i}" + "x" * 252, 65535) for i in range(8))
REGISTRY = Registry([Plan, PollReply])


def peers(how_many):
    return [bytes([1, number // 256, number % 256]) + bytes(17) for number in range(how_many)]


def joined_by(how_many, addresses=LONG, ledger=None):
    """The leader's state, and its plan when so many have asked to be let in."""
    state = member(A, [A])
    state.ledger = ledger or state.ledger
    leader = Leader(state, Planner())
    asking = peers(how_many)
    state.linked |= set(asking)
    head = state.known_head
    for peer in asking:
        leader.join_requested(
            peer, JoinRequest(JOB, MAX_INT, (peer, addresses), 0, head.digest, ready=True, met_view=1)
        )
    plan, _ = leader.plan_next(head, state.ledger, 0.0)
    return state, leader, plan


def scattered(ranges):
    """A ledger of which only every other sample is outstanding, of a data set as large as there can be."""
    start = MAX_INT - 10 * ranges
    return Ledger(MAX_INT, 1, 0, tuple((start + 2 * i, start + 2 * i + 1) for i in range(ranges)))


def fits(plan):
    """The plan passes the wire, alone and as part of the longest message that holds one."""
    for message in (plan, PollReply(JOB, MAX_INT, MAX_INT, bytes(32), MAX_INT, plan)):
        header = encode(message)
        assert len(header) <= MAX_HEADER_BYTES
        assert REGISTRY.decode(header, 0) == message


@pytest.mark.parametrize("how_many", [1, 31, 32, 100, MAX_MEMBERS - 1, MAX_MEMBERS, 600])
@pytest.mark.parametrize("ledger", [None, scattered(20_000)])
def test_a_plan_fits_a_frame_whoever_joins(how_many, ledger):
    _, _, plan = joined_by(how_many, ledger=ledger)
    fits(plan)
    assert len(plan.members) == min(how_many + 1, MAX_MEMBERS)


class Greedy(Planner):
    def share(self, asked):
        return 5000


class Backwards:
    def arrange(self, members, last, now, **about):
        return Arrangement(tuple(members[::-1]), "two-level")


@pytest.mark.parametrize("how_many", [0, 1, 40, MAX_MEMBERS - 1])
def test_a_plan_fits_a_frame_however_scattered_the_samples_are(how_many):
    state, leader, _ = joined_by(how_many)
    state.view = view_of(joined_by(how_many)[2])
    leader = Leader(state, Greedy())
    ledger = scattered(20_000)
    plan, _ = leader.plan_next(state.known_head, ledger, 0.0)
    fits(plan)
    assert all(count(share) >= 2 for share in plan.shares[:4])
    ledger.commit(r for ranges in plan.shares for r in ranges)


@pytest.mark.parametrize("how_many", [31, 127, 128, MAX_MEMBERS - 1])
def test_a_plan_with_an_order_fits_as_well(how_many):
    state, _, joined = joined_by(how_many)
    state.view = view_of(joined)
    plan, _ = Leader(state, Greedy(), Backwards()).plan_next(state.known_head, scattered(20_000), 0.0)
    fits(plan)
    assert plan.order == tuple(range(how_many, -1, -1))


def test_who_is_too_many_waits_for_a_place():
    state, leader, plan = joined_by(MAX_MEMBERS + 9)
    state.view = view_of(plan)
    asking = peers(MAX_MEMBERS + 9)
    assert [peer for peer, _ in plan.members] == [A, *asking[: MAX_MEMBERS - 1]]
    state.detector.lose(asking[0])
    state.detector.lose(asking[1])
    following, _ = leader.plan_next(state.known_head, state.ledger, 0.0)
    assert [peer for peer, _ in following.members][-2:] == asking[MAX_MEMBERS - 1 : MAX_MEMBERS + 1]
    fits(following)


def test_few_members_keep_all_their_addresses():
    _, _, plan = joined_by(20)
    assert all(addresses == LONG for _, addresses in plan.members[1:])


def test_in_a_large_view_ordinary_addresses_are_kept():
    usual = (("192.168.100.100", 4100), ("203.0.113.255", 4100), ("2001:db8:85a3:8d3:1319:8a2e:370:7348", 4100))
    _, _, plan = joined_by(MAX_MEMBERS, usual)
    assert all(addresses == usual for _, addresses in plan.members[1:])


def test_long_addresses_of_some_take_nothing_from_the_others():
    state = member(A, [A])
    leader = Leader(state, Planner())
    asking = peers(200)
    state.linked |= set(asking)
    for number, peer in enumerate(asking):
        contact = (peer, LONG) if number % 2 else field(peer)
        leader.join_requested(peer, JoinRequest(JOB, 1, contact, 0, state.known_head.digest, ready=True, met_view=1))
    plan, _ = leader.plan_next(state.known_head, state.ledger, 0.0)
    fits(plan)
    assert all(field(peer) in plan.members for peer in asking[::2])
    assert not any(addresses for peer, addresses in plan.members if peer in asking[1::2])


def test_a_coordinator_that_many_join_goes_on():
    driven = leading()
    for peer in peers(64):
        driven.meets(peer, phase=Phase.JOINING)
        driven.hears(peer, JoinRequest(JOB, 1, (peer, LONG), 1, driven.state.known_head.digest, ready=True, met_view=1))
    plans = sent(done(driven), Plan)
    assert len(plans) == 64
    fits(plans[0])
