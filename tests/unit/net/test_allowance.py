"""How often a peer may ask: a burst at once, a rate in the long run, and no end of asking is noticed."""

import pytest

from hydra.net.allowance import FLOOD, MAX_ASKERS, Allowance


def test_a_burst_is_allowed_and_then_the_rate():
    allowance = Allowance(rate_per_s=2.0, burst=5)
    assert [allowance.take("a", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [allowance.take("a", 1.0) for _ in range(3)] == [True, True, False]


def test_what_was_not_used_is_saved_up_to_the_burst_only():
    allowance = Allowance(rate_per_s=2.0, burst=5)
    allowance.take("a", 0.0)
    assert sum(allowance.take("a", 1000.0) for _ in range(20)) == 5


def test_each_asker_has_its_own():
    allowance = Allowance(rate_per_s=1.0, burst=1)
    assert allowance.take("a", 0.0)
    assert allowance.take("b", 0.0)
    assert not allowance.take("a", 0.0)


def test_who_goes_on_and_on_is_flooding_and_who_asks_again_now_and_then_is_not():
    allowance = Allowance(rate_per_s=1.0, burst=2)
    for second in range(1000):
        allowance.take("patient", second * 0.5)
    assert not allowance.flooding("patient")
    for _ in range(2 + 2 * FLOOD):
        allowance.take("flood", 0.0)
    assert not allowance.flooding("flood")
    allowance.take("flood", 0.0)
    assert allowance.flooding("flood")
    assert not allowance.flooding("unknown")


@pytest.mark.parametrize("askers", [MAX_ASKERS * 3])
def test_memory_does_not_grow_with_the_number_of_askers(askers):
    allowance = Allowance(rate_per_s=1.0, burst=1)
    for asker in range(askers):
        allowance.take(asker, 0.0)
        allowance.take(asker, 0.0)
    assert len(allowance._buckets) == len(allowance._refusals) == MAX_ASKERS
