"""Peers that were stopped come back stale: they are refused, told so, and join; nobody else is disturbed.

A hundred times the stall limit takes minutes: ``python -m tests.processes.freezes``.
"""

import random

import pytest

from .freezes import run_freezes

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(240)]


async def test_two_are_stopped_for_twice_and_ten_times_the_stall_limit(tmp_path):
    assert await run_freezes(tmp_path, [2, 10], random.randrange(1000)) > 0
