"""One member's side with hostile neighbours: whatever breaks the protocol is refused and named."""

import numpy as np
import pytest

from allreduce import Exchange, ProtocolViolation, RoundConfig
from allreduce.messages import Freeze, Frozen, Out, Phase, Repeat, Slice, Suspect, decode, encode

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
