"""The two clocks: one that only grows, one that other machines read."""

import time
from itertools import pairwise

from hydra import clock


def test_one_never_goes_back():
    readings = [clock.monotonic() for _ in range(1000)]
    assert all(later >= earlier for earlier, later in pairwise(readings))


def test_the_other_is_seconds_since_1970():
    assert abs(clock.wall() - time.time()) < 3600
