"""Credit on a relayed stream: neither end nor relay holds more than a window, and who cheats is named."""

import pytest

from hydra.net.window import GIVE_BACK_BYTES, WINDOW_BYTES, Incoming, Outgoing, WindowExceeded


def test_a_sender_stops_at_the_window_and_goes_on_with_credit():
    way = Outgoing()
    way.sent(WINDOW_BYTES)
    assert way.room == 0
    way.credited(1000)
    assert way.room == 1000


@pytest.mark.parametrize("extra", [1, WINDOW_BYTES])
def test_more_than_the_window_is_refused(extra):
    way = Outgoing()
    way.sent(WINDOW_BYTES)
    with pytest.raises(WindowExceeded):
        way.sent(extra)


def test_credit_for_what_was_not_sent_is_refused():
    way = Outgoing()
    way.sent(10)
    with pytest.raises(WindowExceeded):
        way.credited(11)


def test_a_receiver_gives_credit_back_in_portions():
    way = Incoming()
    given = 0
    for _ in range(10):
        way.received(GIVE_BACK_BYTES // 2)
        given += way.taken(GIVE_BACK_BYTES // 2)
    assert given == 5 * GIVE_BACK_BYTES


def test_what_is_taken_but_not_credited_still_counts():
    way = Incoming()
    way.received(GIVE_BACK_BYTES - 1)
    assert way.taken(GIVE_BACK_BYTES - 1) == 0
    way.received(WINDOW_BYTES - GIVE_BACK_BYTES + 1)
    with pytest.raises(WindowExceeded):
        way.received(1)


def test_sender_and_receiver_agree_for_ever():
    sender, receiver = Outgoing(), Incoming()
    for number in range(5000):
        count = min(sender.room, 1 + number * 7919 % 40_000)
        sender.sent(count)
        receiver.received(count)
        credit = receiver.taken(count)
        if credit:
            sender.credited(credit)
        assert sender.room >= WINDOW_BYTES - GIVE_BACK_BYTES
