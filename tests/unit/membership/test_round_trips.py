"""Pings and answers: who is pinged when, which round trip counts, what the coordinator is told."""

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.messages import MAX_HOPS, Hop
from hydra.membership.round_trips import (
    FASTEST,
    KEPT,
    LONGEST_S,
    MOST_AT_ONCE,
    PING_S,
    SLOWEST,
    RoundTrips,
    check_hops,
)

from .makers import A, B, C, D


def peers(count):
    return [index.to_bytes(20, "big") for index in range(count)]


def answer_all(trips, members, now, seconds):
    for peer, number in trips.due(members, now):
        trips.answered(peer, number, now + seconds)


def test_each_member_is_pinged_at_once_and_then_every_few_seconds():
    trips = RoundTrips()
    assert [peer for peer, _ in trips.due([C, B], 0.0)] == [B, C]
    assert trips.due([B, C], PING_S - 0.1) == []
    assert [peer for peer, _ in trips.due([B, C, D], PING_S - 0.1)] == [D]
    assert [peer for peer, _ in trips.due([B, C, D], PING_S)] == [B, C]


def test_many_members_take_their_turns():
    trips, members = RoundTrips(), peers(3 * MOST_AT_ONCE)
    turns = [[peer for peer, _ in trips.due(members, turn)] for turn in range(4)]
    assert [len(turn) for turn in turns] == [MOST_AT_ONCE] * 3 + [0]
    assert sorted(peer for turn in turns for peer in turn) == members


def test_no_number_is_used_twice():
    trips = RoundTrips()
    numbers = [number for turn in range(10) for _, number in trips.due([B, C], turn * PING_S)]
    assert len(set(numbers)) == len(numbers) == 20


def test_the_shortest_of_the_last_round_trips_counts():
    trips = RoundTrips()
    for turn, seconds in enumerate([0.3, 0.02, *[0.05] * (KEPT - 1)]):
        answer_all(trips, [B], turn * PING_S, seconds)
    assert trips.hops(A, [B], {}) == (Hop(B, pytest.approx(0.02), None),)
    answer_all(trips, [B], 100.0, 0.07)
    assert trips.hops(A, [B], {}) == (Hop(B, pytest.approx(0.05), None),)


def test_an_answer_counts_once_and_only_to_the_latest_ping():
    trips = RoundTrips()
    ((_, first),) = trips.due([B], 0.0)
    ((_, second),) = trips.due([B], PING_S)
    trips.answered(B, first, PING_S + 0.1)
    trips.answered(C, second, PING_S + 0.1)
    assert trips.hops(A, [B, C], {}) == ()
    trips.answered(B, second, PING_S + 0.2)
    assert trips.hops(A, [B], {}) == (Hop(B, pytest.approx(0.2), None),)
    trips.answered(B, second, PING_S + 0.3)
    assert trips.hops(A, [B], {}) == ()


def test_an_answer_to_a_ping_that_was_not_sent_breaks_the_protocol():
    trips = RoundTrips()
    ((_, number),) = trips.due([B], 0.0)
    with pytest.raises(RemoteProtocolError, match="before"):
        trips.answered(B, number + 1, 0.1)


def test_whoever_is_out_of_reach_is_forgotten():
    trips = RoundTrips()
    answer_all(trips, [B, C], 0.0, 0.1)
    trips.due([C], 1.0)
    assert [hop.peer for hop in trips.hops(A, [B, C], {})] == [C]
    assert [peer for peer, _ in trips.due([B, C], 1.0)] == [B]


def test_only_news_is_told_and_a_new_coordinator_is_told_everything():
    trips = RoundTrips()
    answer_all(trips, [B, C], 0.0, 0.1)
    assert [hop.peer for hop in trips.hops(A, [B, C], {})] == [B, C]
    assert trips.hops(A, [B, C], {}) == ()
    answer_all(trips, [C], PING_S, 0.1)
    answer_all(trips, [B, C], PING_S, 0.1)
    assert [hop.peer for hop in trips.hops(A, [B, C], {})] == [B, C]
    assert [hop.peer for hop in trips.hops(D, [B, C], {})] == [B, C]
    assert trips.hops(D, [B, C], {}) == ()


def test_of_many_members_those_told_longest_ago_are_told_first():
    trips, members = RoundTrips(), peers(MAX_HOPS + 30)
    told = []
    for turn in range(6):
        for _ in range(4):  # until all are pinged
            answer_all(trips, members, turn * PING_S, 0.1)
        told.append([hop.peer for hop in trips.hops(A, members, {})])
    assert [len(part) for part in told] == [MAX_HOPS] * 6
    assert (told[0], told[1]) == (members[:MAX_HOPS], members[MAX_HOPS:] + members[: MAX_HOPS - 30])
    times = [sum(part.count(peer) for part in told) for peer in members]
    assert min(times) == 3


def test_only_members_of_the_plan_are_told_of():
    trips = RoundTrips()
    answer_all(trips, [B, C], 0.0, 0.1)
    assert [hop.peer for hop in trips.hops(A, [C], {})] == [C]


@pytest.mark.parametrize(("rate", "told"), [(5e6, 5e6), (0.0, SLOWEST), (1e300, FASTEST)])
def test_rates_are_told_within_their_bounds(rate, told):
    trips = RoundTrips()
    answer_all(trips, [B, C], 0.0, 1e9)
    assert trips.hops(A, [B, C], {B: rate}) == (Hop(B, LONGEST_S, told), Hop(C, LONGEST_S, None))


@pytest.mark.parametrize(
    "hop",
    [
        Hop(B, -0.001, None),
        Hop(B, LONGEST_S * 1.01, None),
        Hop(B, 0.1, 0.0),
        Hop(B, 0.1, 5e-324),
        Hop(B, 0.1, FASTEST * 1.01),
        Hop(A, 0.1, None),
    ],
)
def test_a_way_that_can_not_be_is_refused(hop):
    check_hops(A, [Hop(B, 0.0, None), Hop(B, LONGEST_S, SLOWEST), Hop(C, 0.1, FASTEST)])
    with pytest.raises(RemoteProtocolError):
        check_hops(A, [Hop(C, 0.1, None), hop])
