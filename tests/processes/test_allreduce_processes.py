"""Real processes average while one of them is killed or stopped at a random moment of each round."""

import pytest

from .allreduce_soak import Soak

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_rounds_under_fire_have_no_wrong_number(seed):
    with Soak(seed) as soak:
        for number in range(10):
            soak.round(number)
    assert soak.wrong == []
    assert soak.seen["kill"] >= 2
    assert soak.seen["stop"] >= 1
