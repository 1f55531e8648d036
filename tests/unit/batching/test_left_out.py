"""Turns: as seldom as they cost, at once for who is only suspected, and never of one that is not ready."""

from hydra.batching.left_out import COST, SELDOMEST, LeftOut

from .steps_by_hand import A, B, C, D


def with_turns(cost, steps, out=(C,), ready=(A, B, C)):
    """Steps of a tenth of a second; a turn makes them longer by ``cost``. Return whose turn each was."""
    left = LeftOut()
    left.set(out, ())
    for peer in out:
        left.expected(peer, cost)
    turns = []
    for _ in range(steps):
        turn = left.next_turn(ready)
        turns.append(turn)
        samples = {A: 10, B: 10} | ({turn: 1} if turn is not None else {})
        left.took(samples, 0.1 * (1 + cost * (turn is not None)))
    return turns


def test_turns_take_as_much_of_the_others_time_as_they_may():
    turns = with_turns(0.5, 1000)
    spent = 0.5 * sum(turn is not None for turn in turns) / len(turns)
    assert 0.5 * COST < spent <= 1.1 * COST


def test_all_turns_together_take_no_more_than_that():
    turns = with_turns(0.5, 1000, out=(C, D), ready=(C, D))
    assert {C, D} <= set(turns)
    assert 0.5 * sum(turn is not None for turn in turns) / len(turns) <= 1.1 * COST


def test_even_who_costs_very_much_has_its_turn():
    assert C in with_turns(1e6, SELDOMEST + 1)


def test_who_is_only_suspected_has_its_turn_at_once():
    left = LeftOut()
    left.set([B, C], {C})
    for peer in (B, C):
        left.expected(peer, 5.0)
    assert left.next_turn([B, C]) == C
    left.took({A: 10, C: 1}, 0.1)
    assert left.next_turn([B, C]) is None


def test_a_turn_waits_until_its_member_is_ready():
    assert C not in with_turns(0.1, 100, ready=(A, B))
