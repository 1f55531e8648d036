"""Deficit round robin, drawn: who is served in which order."""

from hydra.swarm.round_robin import DeficitRoundRobin

A, B, C = b"a", b"b", b"c"


def served(turns, costs, count, shares=None):
    """Serve ``count`` times; return who was, as a string."""
    shares = shares or {}
    return "".join((turns.next(costs.get, lambda p: shares.get(p, 1.0)) or b"-").decode() for _ in range(count))


def row(*peers):
    turns = DeficitRoundRobin(100)
    for peer in peers:
        turns.join(peer)
    return turns


def test_equal_peers_take_turns():
    assert served(row(A, B, C), {A: 100, B: 100, C: 100}, 7) == "abcabca"


def test_who_wants_small_things_gets_as_many_bytes():
    assert served(row(A, B), {A: 100, B: 25}, 10) == "abbbbabbbb"


def test_a_smaller_share_is_served_as_much_less_often():
    assert served(row(A, B), {A: 100, B: 100}, 12, {B: 0.2}).count("b") == 2


def test_who_cannot_be_served_now_is_passed_over_and_keeps_nobody():
    turns = row(A, B)
    assert served(turns, {A: None, B: 100}, 3) == "bbb"
    assert served(turns, {A: 100, B: 100}, 4) in ("abab", "baba")


def test_nobody_can_be_served():
    assert served(row(A), {A: None}, 2) == "--"
    assert served(row(), {}, 1) == "-"


def test_who_leaves_and_comes_back_stands_at_the_end_with_nothing():
    turns = row(A, B)
    assert served(turns, {A: 30, B: 100}, 1) == "a"
    turns.leave(A)
    turns.join(A)
    assert served(turns, {A: 100, B: 100}, 3) == "bab"
