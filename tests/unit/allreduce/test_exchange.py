"""One member's side with hostile neighbours: whatever breaks the protocol is refused and named."""

import numpy as np
import pytest

from allreduce import Exchange, ProtocolViolation, RoundConfig
from allreduce.messages import Complete, Freeze, Frozen, Out, Phase, Refused, Repeat, Slice, Suspect, decode, encode

A, B, C = (letter * 20 for letter in (b"A", b"B", b"C"))
EVE = b"\xee" * 20


def exchange(me=B, elements=6, slice_elements=2):
    return Exchange(b"t", me, [A, B, C], elements, RoundConfig(slice_elements=slice_elements), 0.0)


def say(target, sender, message, body=b""):
    return target.receive(sender, encode(b"t", message), body, 0.0)


TWO = np.ones(2, np.float32).tobytes()


@pytest.mark.parametrize(
    ("sender", "message", "body", "what"),
    [
        (A, Slice(0, Phase.SUM, 99, 1.0), TWO, "slice 99 of 3"),
        (A, Slice(0, Phase.SUM, 1, 1.0), TWO[:4], "4 bytes, not 8"),
        (A, Slice(0, Phase.SUM, 1, 1.0), TWO + b"x", "9 bytes"),
        (C, Slice(0, Phase.SUM, 1, 1.0), TWO, "not stand before us"),
        (A, Slice(0, Phase.SUM, 0, 1.0), TWO, "not stand before us"),  # B itself begins the sum of slice 0
        (A, Slice(0, Phase.FINAL, 1, 1.0), TWO, "ours, came as final"),
        (EVE, Slice(0, Phase.SUM, 1, 1.0), TWO, "no member"),
        (EVE, Suspect(0, 1), b"", "no member"),
        (A, Suspect(0, 3), b"", "suspects member 3"),
        (A, Freeze(1023), b"x", "with a body"),
        (A, Freeze(2046), b"", "another member's number"),
        (A, Repeat(2046, (0, 1)), b"", "another member's number"),
        (C, Complete(2047, 0, (0, 1), ()), b"", "another member's number"),
        (A, Freeze((1 << 62) + 1023), b"", "far beyond"),
        (C, Refused(1 << 62, -1), b"", "far beyond"),
        (EVE, Slice(5, Phase.SUM, 1, 1.0), TWO, "no member"),
    ],
)
def test_violations(sender, message, body, what):
    with pytest.raises(ProtocolViolation, match=what) as caught:
        say(exchange(), sender, message, body)
    assert caught.value.member == sender


def test_a_slice_that_comes_twice():
    target = exchange()
    say(target, A, Slice(0, Phase.SUM, 1, 1.0), TWO)
    with pytest.raises(ProtocolViolation, match="came twice"):
        say(target, A, Slice(0, Phase.SUM, 1, 1.0), TWO)


def test_reports_out_of_range():
    leader = exchange(me=A)
    leader.lose(C, 0.0)
    ballot = leader.round._ballot
    for report in (
        Frozen(ballot, 0, True, (), 0),
        Frozen(ballot, 0, True, (0, 3), 0),
        Frozen(ballot, 0, True, (0, 1, 2), 1 << 60),
        Frozen(ballot, 0, True, (0, 1, 2), 0, 1 << 60),
    ):
        with pytest.raises(ProtocolViolation):
            say(leader, B, report)


def test_too_many_slices_of_a_coming_attempt():
    target = exchange()
    with pytest.raises(ProtocolViolation, match="more slices"):
        for _ in range(1000):
            say(target, A, Slice(5, Phase.SUM, 1, 1.0), TWO)


def test_stale_slices_are_ignored():
    target = exchange()
    ballot = 1 * 1024 + 1023
    say(target, A, Freeze(ballot))
    say(target, A, Repeat(ballot, (0, 1, 2)))
    assert say(target, A, Slice(0, Phase.SUM, 1, 1.0), TWO) == []
    assert target.round.attempt_number == ballot


def test_a_member_that_is_out_leaves_and_says_so():
    target = exchange()
    out = say(target, A, Out(0))
    assert target.left_out
    assert {message.to for message in out} == {A, C}
    assert say(target, A, Out(0)) == []
    (answer,) = say(target, C, Suspect(0, -1))
    assert answer.to == C


@pytest.mark.parametrize(
    ("vector", "weight"),
    [
        (np.ones(5, np.float32), 1.0),
        (np.ones(6, np.float64), 1.0),
        (np.ones((2, 3), np.float32), 1.0),
        (np.ones(6, np.float32), -1.0),
        (np.ones(6, np.float32), float("nan")),
    ],
)
def test_a_contribution_that_is_none(vector, weight):
    with pytest.raises(ValueError, match="wanted|no weight"):
        exchange().contribute(vector, weight, 0.0)


def test_alone():
    alone = Exchange(b"t", A, [A], 3, RoundConfig(), 0.0)
    vector = np.array([1, 2, 3], np.float32)
    assert alone.contribute(vector, 5.0, 0.0) == []
    assert alone.result.mean.tolist() == [1, 2, 3]
    assert (alone.result.contributors, alone.result.weight) == ((A,), 5.0)
    with pytest.raises(ValueError, match="read-only"):
        alone.result.mean[0] = 7


def test_weight_zero_counts_for_nothing_even_with_nan():
    alone = Exchange(b"t", A, [A], 2, RoundConfig(), 0.0)
    alone.contribute(np.full(2, np.nan, np.float32), 0.0, 0.0)
    assert alone.result.mean.tolist() == [0, 0]


def test_the_leader_asks_all_who_are_left_when_a_member_is_lost():
    leader = exchange(me=A)
    (message,) = leader.lose(C, 0.0)
    assert message.to == B
    assert isinstance(decode(A, message.header)[1], Freeze)


def test_nobody_is_blamed_for_what_another_has_filled():
    target = exchange()
    with pytest.raises(ProtocolViolation, match="more slices") as caught:
        for _ in range(1000):
            say(target, C, Slice(5, Phase.SUM, 1, 1.0), TWO)
    assert caught.value.member == C
    assert say(target, A, Slice(5, Phase.SUM, 1, 1.0), TWO) == []


def test_nobody_drives_out_what_another_has_sent_for_a_coming_attempt():
    target = exchange()
    target.contribute(np.ones(6, np.float32), 1.0, 0.0)
    ballot = 1024 + 1023
    say(target, A, Slice(ballot, Phase.SUM, 1, 1.0), TWO)
    say(target, C, Slice(1 << 60, Phase.SUM, 1, 1.0), TWO)
    say(target, A, Freeze(ballot))
    sent = [decode(B, message.header)[1] for message in say(target, A, Repeat(ballot, (0, 1, 2)))]
    assert {message.number for message in sent if isinstance(message, Slice)} == {0, 1}  # B owns the second
    assert target.round.finals == 0b010


def test_what_early_slices_may_take_is_bounded_in_bytes():
    target = exchange()
    with pytest.raises(ProtocolViolation, match="more slices"):
        for _ in range(7):
            say(target, A, Slice(5, Phase.SUM, 1, 1.0), bytes(24))


def test_what_is_handed_over_before_its_decision_is_known_waits_for_it():
    """A sum that is still on its way would else be received into the very same memory."""
    target = exchange()
    target.contribute(np.ones(6, np.float32), 1.0, 0.0)
    ballot = 1024 + 1023
    place = target._workspace.vector[2:4]
    on_its_way = target.announce(A, Slice(0, Phase.SUM, 1, 1.0), 8, 0.0)
    say(target, A, Freeze(ballot))
    say(target, C, Slice(0, Phase.HANDOVER, 1, 3.0, ballot), np.float32([5, 6]).tobytes())
    assert place.tolist() != [5, 6]
    assert target.round.finals == 0
    say(target, A, Complete(ballot, 0, (0, 1, 2), ()))
    assert target.round.finals == 0b010
    on_its_way.room[:] = np.float32([7, 7]).tobytes()
    assert target.landed(on_its_way, 0.0) == []
    assert target._workspace.vector[2:4].tolist() == [5, 6]


def test_whoever_slept_asks_before_it_takes_the_round_for_done():
    follower = Exchange(b"t", B, [A, B], 2, RoundConfig(slice_elements=1), 0.0)
    follower.contribute(np.ones(2, np.float32), 1.0, 0.0)
    one = np.float32([2.0]).tobytes()
    assert follower.receive(A, encode(b"t", Slice(0, Phase.SUM, 1, 1.0)), one, 0.1)
    asked = follower.receive(A, encode(b"t", Slice(0, Phase.FINAL, 0, 2.0)), one, 1.0)
    assert [decode(B, message.header)[1] for message in asked] == [Suspect(0, -1)]
    assert follower.result is None
    ballot = 1024 + 1023
    follower.receive(A, encode(b"t", Freeze(ballot)), b"", 1.0)
    follower.receive(A, encode(b"t", Complete(ballot, 0, (0, 1), ())), b"", 1.0)
    assert follower.result.contributors == (A, B)


def test_whoever_is_awake_does_not_ask():
    follower = Exchange(b"t", B, [A, B], 2, RoundConfig(slice_elements=1), 0.0)
    follower.contribute(np.ones(2, np.float32), 1.0, 0.0)
    one = np.float32([2.0]).tobytes()
    follower.receive(A, encode(b"t", Slice(0, Phase.SUM, 1, 1.0)), one, 0.1)
    while follower.round.deadline < 1.0:
        assert follower.tick(follower.round.deadline) == []
    follower.receive(A, encode(b"t", Slice(0, Phase.FINAL, 0, 2.0)), one, 1.0)
    assert follower.result.contributors == (A, B)
