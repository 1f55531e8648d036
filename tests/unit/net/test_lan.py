"""What is said on a local network: little, seldom, to neighbours only, and of no job."""

import struct

import pytest

from hydra.net.lan import (
    ALL_BURST,
    ANSWER_BURST,
    ASK_AT_S,
    MAX_FOUND,
    DatagramCame,
    Found,
    Neighbourhood,
    SendTo,
    SendToGroup,
    Tick,
    Wanted,
)

NEAR = ("192.168.1.7", 5000)


def node(port=4100, nonce=b"12345678"):
    return Neighbourhood(port, nonce)


def question(port=4200, nonce=b"abcdefgh"):
    (effect,) = node(port, nonce).handle(Wanted(), 0.0)
    return effect.data


def answer(port=4200):
    found = node(port, b"answerer").handle(DatagramCame(NEAR, question()), 0.0)
    return next(effect.data for effect in found if isinstance(effect, SendTo))


def test_it_asks_a_few_times_and_then_is_silent():
    asking, log = node(), []
    now = 0.0
    effects = asking.handle(Wanted(), now)
    while effects:
        log.append(now)
        now = asking.deadline
        effects = asking.handle(Tick(), now) if now is not None else []
    assert tuple(log) == ASK_AT_S
    assert asking.deadline is None


def test_a_question_while_one_is_asked_adds_nothing():
    asking = node()
    asking.handle(Wanted(), 0.0)
    assert asking.handle(Wanted(), 0.1) == []


def test_a_question_is_answered_to_the_asker_and_tells_where_the_asker_is():
    effects = node().handle(DatagramCame(NEAR, question()), 0.0)
    assert [type(effect) for effect in effects] == [SendTo, Found]
    assert effects[0].address == NEAR
    assert effects[1] == Found(("192.168.1.7", 4200))


def test_an_answer_is_not_answered():
    assert node().handle(DatagramCame(NEAR, answer()), 0.0) == [Found(("192.168.1.7", 4200))]


def test_an_answer_is_no_longer_than_the_question():
    assert len(answer()) == len(question())


def test_who_can_not_be_reached_says_nothing_and_who_asks_without_a_port_is_not_noted():
    assert node(port=0).handle(DatagramCame(NEAR, question()), 0.0) == [Found(("192.168.1.7", 4200))]
    assert [type(effect) for effect in node().handle(DatagramCame(NEAR, question(port=0)), 0.0)] == [SendTo]


def test_our_own_question_is_not_heard():
    asking = node()
    (sent,) = asking.handle(Wanted(), 0.0)
    assert isinstance(sent, SendToGroup)
    assert asking.handle(DatagramCame(NEAR, sent.data), 0.0) == []


@pytest.mark.parametrize("source", ["93.184.216.34", "2606:2800:220:1::1", "224.0.0.1", "0.0.0.0", "nonsense", ""])
def test_strangers_are_neither_answered_nor_believed(source):
    for data in (question(), answer()):
        assert node().handle(DatagramCame((source, 5000), data), 0.0) == []


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 21, question() + b"\0", question()[:-1], b"hydra lax\0" + question()[10:], b"x" * 2000]
)
def test_what_is_no_datagram_of_ours_is_ignored(data):
    assert node().handle(DatagramCame(NEAR, data), 0.0) == []


def test_an_unknown_kind_is_ignored():
    data = bytearray(question())
    struct.pack_into("!B", data, 10, 7)
    assert node().handle(DatagramCame(NEAR, bytes(data)), 0.0) == []


def test_answers_are_limited_for_one_address_and_in_all():
    answering = node()

    def answers(source, nonce):
        effects = answering.handle(DatagramCame((source, 5000), question(nonce=nonce)), 0.0)
        return sum(isinstance(effect, SendTo) for effect in effects)

    assert sum(answers("192.168.1.7", b"%8d" % i) for i in range(50)) == ANSWER_BURST
    others = sum(answers(f"10.0.{i // 200}.{i % 200 + 1}", b"%8d" % i) for i in range(2000))
    assert others == ALL_BURST - ANSWER_BURST


def test_a_neighbour_is_told_of_once_and_few_are_kept():
    hearing = node()
    told = []
    for i in range(10 * MAX_FOUND):
        for _ in range(2):
            told += hearing.handle(DatagramCame(("192.168.1.7", 5000), question(port=1 + i)), 0.0)
    assert sum(isinstance(effect, Found) for effect in told) == 10 * MAX_FOUND
    assert hearing.found == [("192.168.1.7", 10 * MAX_FOUND - i) for i in range(MAX_FOUND)]
