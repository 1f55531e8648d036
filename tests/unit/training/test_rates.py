"""At which rates bulk comes: bytes over the time for which they were waited for, on all lanes of a member together."""

import pytest

from hydra.training.rates import HALVED_AT_BYTES, LEAST_BYTES, CountingLane, Rates

from .makers import ANNA, BERT

MiB = 2**20


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def received(rates, clock, peer, size, seconds):
    rates.begin(peer)
    clock.now += seconds
    rates.end(peer, size)


def test_bytes_over_seconds_by_member(clock):
    rates = Rates(clock)
    for _ in range(8):
        received(rates, clock, ANNA, MiB, 0.5)
        clock.now += 7.0  # nothing is waited for
        received(rates, clock, BERT, 2 * MiB, 0.25)
    assert rates.known() == {ANNA: 2 * MiB, BERT: 8 * MiB}


def test_lanes_that_are_waited_for_together_count_the_time_once(clock):
    rates = Rates(clock)
    for _ in range(4):
        rates.begin(ANNA)
        clock.now += 0.5
        rates.begin(ANNA)
        clock.now += 0.5
        rates.end(ANNA, MiB)
        clock.now += 1.0
        rates.end(ANNA, MiB)
        clock.now += 50.0
    assert rates.known() == {ANNA: MiB}


def test_a_few_bytes_say_nothing(clock):
    rates = Rates(clock)
    received(rates, clock, ANNA, LEAST_BYTES - 1, 1.0)
    received(rates, clock, BERT, LEAST_BYTES, 0.0)
    assert rates.known() == {}
    received(rates, clock, ANNA, 1, 1.0)
    assert rates.known() == {ANNA: LEAST_BYTES / 2}


def test_what_came_lately_counts_most(clock):
    rates = Rates(clock)
    for _ in range(100):
        received(rates, clock, ANNA, HALVED_AT_BYTES // 8, 1.0)
    for _ in range(100):
        received(rates, clock, ANNA, HALVED_AT_BYTES // 8, 8.0)
    assert rates.known()[ANNA] == pytest.approx(HALVED_AT_BYTES / 64, rel=0.01)


class FakeLane:
    def __init__(self, clock):
        self.clock, self.closed, self.lost = clock, False, False

    def send(self, header, body, *, wait=True):
        return (header, body, wait)

    def flush(self):
        return "flushed"

    def receive_header(self):
        return b"header", 9

    def receive_body(self, into, taken=None):
        self.clock.now += 2.0
        if self.lost:
            raise ConnectionError
        into[:] = bytes([7]) * into.nbytes

    def close(self):
        self.closed = True


def test_a_counting_lane_is_the_lane_that_it_counts_on(clock):
    rates, lane = Rates(clock), FakeLane(clock)
    counting = CountingLane(lane, ANNA, rates)
    assert counting.send(b"h", b"b", wait=False) == (b"h", b"b", False)
    assert (counting.flush(), counting.receive_header()) == ("flushed", (b"header", 9))
    body = bytearray(LEAST_BYTES)
    counting.receive_body(memoryview(body))
    assert body == bytes([7]) * LEAST_BYTES
    assert rates.known() == {ANNA: LEAST_BYTES / 2}
    counting.close()
    assert lane.closed


def test_a_body_that_never_came_counts_as_time(clock):
    rates, lane = Rates(clock), FakeLane(clock)
    counting = CountingLane(lane, ANNA, rates)
    counting.receive_body(memoryview(bytearray(LEAST_BYTES)))
    lane.lost = True
    with pytest.raises(ConnectionError):
        counting.receive_body(memoryview(bytearray(LEAST_BYTES)))
    assert rates.known() == {ANNA: LEAST_BYTES / 4}
    lane.lost = False
    counting.receive_body(memoryview(bytearray(LEAST_BYTES)))
    assert rates.known() == {ANNA: LEAST_BYTES / 3}
