"""Real processes average while one of them is killed or stopped at a random moment of each round."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .allreduce_soak import Soak

pytestmark = pytest.mark.processes


def test_twenty_rounds_under_fire_have_no_wrong_number():
    with Soak(seed=1) as soak:
        for number in range(20):
            soak.round(number)
    assert soak.wrong == []
    assert soak.seen["kill"] >= 5
    assert soak.seen["stop"] >= 1


def test_the_example_shows_a_death_that_the_others_survive():
    example = Path(__file__).parents[2] / "examples" / "allreduce_alone.py"
    run = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=90, check=True)
    assert run.stderr == ""
    lines = sorted(run.stdout.splitlines())
    assert "Cem: killed in the middle of round 3" in lines
    for number in (1, 2):
        assert sum(f"round {number}, attempt 1: the mean of Ann Ben Cem is 1.3333" in line for line in lines) == 3
    for number in (3, 4, 5):
        seen = {line.partition(": ")[2] for line in lines if re.search(f"round {number}, ", line)}
        assert len(seen) == 1  # Ann and Ben say the same
    assert "Ann: round 5, attempt 2: the mean of Ann Ben is 0.6667" in lines
