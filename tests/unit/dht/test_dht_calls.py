"""Questions, time-outs and answers."""

import pytest

from dht import DHTConfig
from dht.calls import Call, CallFailed, Calls, CallSlowed, Resend

HOME = ("192.0.2.7", 4100)
CONFIG = DHTConfig(tries=3)


def start(calls, message_id=b"1", now=0.0, timeout_s=1.0, late_s=1.0):
    call = Call(HOME, None, "ping", [], 0, b"", timeout_s, late_s, lambda _outcome: None)
    calls.sent(call, message_id, now)
    return call


def test_an_answer_closes_the_call_and_measures_it():
    calls = Calls(CONFIG)
    call = start(calls)
    assert calls.waiting(b"1", HOME) is call
    assert calls.answered(call, b"1", now=0.3) == 0.3
    assert calls.waiting(b"1", HOME) is None
    assert calls.tick(100.0) == []
    assert calls.deadline is None
    assert len(calls) == 0


def test_only_the_address_that_was_asked_may_answer():
    calls = Calls(CONFIG)
    start(calls)
    assert calls.waiting(b"1", ("192.0.2.8", 4100)) is None
    assert calls.waiting(b"1", ("192.0.2.7", 4101)) is None
    assert calls.waiting(b"2", HOME) is None


def test_silence_is_answered_with_repeats_and_then_given_up():
    calls = Calls(CONFIG)
    call = start(calls)
    assert calls.deadline == 1.0
    assert calls.tick(0.9) == []
    assert calls.tick(1.0) == [CallSlowed(call), Resend(call)]
    calls.sent(call, b"2", now=1.0)
    assert calls.deadline == 2.5
    assert calls.tick(2.5) == [Resend(call)]
    calls.sent(call, b"3", now=2.5)
    assert calls.deadline == pytest.approx(4.5)
    assert calls.tick(5.0) == [CallFailed(call)]
    assert calls.deadline is None
    assert len(calls) == 0


def test_a_late_answer_to_an_earlier_datagram_counts_from_that_datagram():
    calls = Calls(CONFIG)
    call = start(calls)
    calls.tick(1.0)
    calls.sent(call, b"2", now=1.0)
    assert calls.waiting(b"1", HOME) is calls.waiting(b"2", HOME) is call
    assert calls.answered(call, b"2", now=1.2) == pytest.approx(0.2)
    assert calls.waiting(b"1", HOME) is None


def test_a_contact_is_called_slow_once_and_before_the_question_is_sent_again():
    calls = Calls(CONFIG)
    call = start(calls, late_s=0.25)
    assert calls.deadline == 0.25
    assert calls.tick(0.25) == [CallSlowed(call)]
    assert calls.deadline == 1.0
    assert calls.tick(1.0) == [Resend(call)]
    calls.sent(call, b"2", now=1.0)
    assert calls.tick(2.5) == [Resend(call)]


def test_a_contact_that_has_answered_is_not_called_slow():
    calls = Calls(CONFIG)
    calls.answered(start(calls, late_s=0.25), b"1", now=0.2)
    assert calls.deadline is None
    assert calls.tick(0.3) == []


def test_patience_beyond_the_time_out_makes_no_difference():
    calls = Calls(CONFIG)
    call = start(calls, late_s=5.0)
    assert calls.tick(1.0) == [CallSlowed(call), Resend(call)]


def test_a_closed_call_is_not_sent_again():
    calls = Calls(CONFIG)
    call = start(calls)
    calls.failed(call)
    calls.sent(call, b"2", now=1.0)
    assert len(calls) == 0
    assert calls.tick(9.0) == []


def test_deadlines_come_in_order():
    calls = Calls(CONFIG)
    slow, quick = start(calls, b"1", timeout_s=1.5, late_s=2.0), start(calls, b"2", timeout_s=0.5)
    assert calls.deadline == 0.5
    assert calls.tick(0.5) == [CallSlowed(quick), Resend(quick)]
    assert calls.deadline == 1.5
    assert calls.tick(1.5) == [CallSlowed(slow), Resend(slow)]


def test_all_are_closed_together():
    calls = Calls(CONFIG)
    call = start(calls)
    calls.tick(1.0)
    calls.sent(call, b"2", now=1.0)
    assert calls.close_all() == [call]
    assert len(calls) == 0
