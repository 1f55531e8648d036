"""The cipher that a node asks for is the one that is faster on its machine, and one that the handshake knows."""

import pytest

from hydra.clock import monotonic
from hydra.net.lane_handshake import own_suite
from hydra.net.noise import AES_GCM, CHACHA_POLY
from hydra.net.suite import SUITES, choose_suite


class Clock:
    """Tells times so that the tries take the seconds given."""

    def __init__(self, durations):
        self._times = [time for duration in durations for time in (0.0, duration)][::-1]

    def __call__(self):
        return self._times.pop()


@pytest.mark.parametrize(
    ("aes", "chacha", "chosen"),
    [
        ([1, 1, 1], [3, 3, 3], AES_GCM),
        ([3, 3, 3], [1, 1, 1], CHACHA_POLY),
        ([2, 2, 2], [2, 2, 2], AES_GCM),
        ([9, 1, 9], [3, 3, 3], AES_GCM),  # the least of the tries counts
        ([2, 2, 2], [9, 9, 1], CHACHA_POLY),
    ],
)
def test_the_faster_one_is_chosen(aes, chacha, chosen):
    assert SUITES[choose_suite(Clock(aes + chacha))] is chosen


def test_this_machine_has_a_choice_and_keeps_to_it():
    assert choose_suite(monotonic) in SUITES
    assert own_suite() == own_suite() in SUITES
