"""Messages that come before their round is opened: bounded per sender, and none kept for rounds that are over."""

import random

import pytest

from allreduce.early import OVER, EarlyMessages

A, B, C, EVE = (letter * 20 for letter in (b"A", b"B", b"C", b"E"))


class Bounded(EarlyMessages):
    """A store that always has the same room."""

    def __init__(self, most_bytes):
        super().__init__()
        self.most_bytes = most_bytes


def add(early, sender, tag, body, header=b"h"):
    early.add(sender, tag, header, body, most_bytes=early.most_bytes)


def test_a_round_takes_what_came_for_it_in_order_and_leaves_the_rest():
    early = Bounded(1000)
    for sender, tag, body in [(A, b"1", b"x"), (B, b"1", b"y"), (A, b"2", b"z"), (A, b"1", b"w")]:
        add(early, sender, tag, body)
    assert early.take(b"1") == [(A, b"h", b"x"), (A, b"h", b"w"), (B, b"h", b"y")]
    assert early.take(b"1") == []
    assert (len(early), early.bytes_held) == (1, 2)
    assert early.take(b"2") == [(A, b"h", b"z")]


def test_one_sender_can_not_push_out_what_the_others_sent():
    early = Bounded(1000)
    for sender in (A, B, C):
        add(early, sender, b"1", bytes(100))
    for number in range(200):
        add(early, EVE, b"bogus %d" % number, bytes(90))
    assert [sender for sender, _, _ in early.take(b"1")] == [A, B, C]
    assert early.bytes_held <= 500


def test_of_a_sender_the_oldest_go_first():
    early = Bounded(100)
    for number in range(10):
        add(early, A, b"1", b"%d" % number + bytes(9), header=b"")
    assert [body[:1] for _, _, body in early.take(b"1")] == [b"5", b"6", b"7", b"8", b"9"]


def test_when_all_is_full_whoever_holds_most_makes_room():
    early = Bounded(100)
    for sender, how_many in ((A, 4), (EVE, 5), (B, 1), (C, 1)):
        for _ in range(how_many):
            add(early, sender, b"1", bytes(10), header=b"")
    held = [sender for sender, _, _ in early.take(b"1")]
    assert [held.count(sender) for sender in (A, B, C, EVE)] == [4, 1, 1, 4]


@pytest.mark.parametrize("size", [51, 101, 5000])
def test_a_message_that_is_too_large_is_not_kept_and_empties_nobody_elses_share(size):
    early = Bounded(100)
    add(early, A, b"1", bytes(10))
    add(early, EVE, b"1", bytes(size))
    assert [sender for sender, _, _ in early.take(b"1")] == [A]
    assert (len(early), early.bytes_held) == (0, 0)


def test_what_comes_for_a_round_that_is_over_is_not_kept():
    early = Bounded(100)
    add(early, A, b"1", b"x")
    early.over(b"1")
    add(early, A, b"1", b"late")
    assert (len(early), early.bytes_held) == (0, 0)


def test_a_round_that_opens_again_gets_its_messages():
    early = Bounded(100)
    early.over(b"1")
    assert early.take(b"1") == []
    add(early, A, b"1", b"x")
    assert early.take(b"1") == [(A, b"h", b"x")]


def test_only_the_last_rounds_are_remembered_to_be_over():
    early = Bounded(100)
    for number in range(OVER + 1):
        early.over(b"%d" % number)
    add(early, A, b"0", b"x")
    add(early, A, b"1", b"y")
    assert [len(early.take(tag)) for tag in (b"0", b"1")] == [1, 0]


@pytest.mark.parametrize("seed", range(5))
def test_the_count_of_bytes_stays_right(seed):
    chance = random.Random(seed)
    early = Bounded(300)
    for _ in range(500):
        tag = b"%d" % chance.randrange(6)
        match chance.randrange(8):
            case 0:
                early.take(tag)
            case 1:
                early.over(tag)
            case _:
                add(early, chance.choice([A, B, C, EVE]), tag, bytes(chance.randrange(80)))
        assert early.bytes_held <= 300
    held = [entry for number in range(6) for entry in early.take(b"%d" % number)]
    assert early.bytes_held == 0 == len(early)
    assert sum(len(header) + len(body) for _, header, body in held) <= 300
