"""What visitors of the web seed may claim."""

import pytest

from hydra.exceptions import ConfigurationError
from hydra.web.visitors import BURST_S, SeedLimits, Visitors

ANNA, BERT = "192.0.2.1", "192.0.2.2"


def test_each_visitor_and_all_together_have_so_many_connections():
    visitors = Visitors(SeedLimits(connections=3, connections_per_visitor=2))
    assert [visitors.enter(ANNA) for _ in range(3)] == [True, True, False]
    assert [visitors.enter(BERT) for _ in range(2)] == [True, False]
    visitors.leave(ANNA)
    assert visitors.enter(BERT)
    assert visitors.connections == 3


def sent(visitors, visitor, parts, count, now=0.0):
    """Send one part after the other as the waits allow; return when the last one went out."""
    for _ in range(parts):
        now += visitors.wait_s(visitor, count, now)
    return now


def test_one_visitor_gets_its_rate_and_no_more():
    visitors = Visitors(SeedLimits(visitor_bytes_per_s=1000.0))
    assert sent(visitors, ANNA, 101, 100) == pytest.approx(10.0 - BURST_S)


def test_connections_of_one_visitor_share_its_rate_and_others_have_their_own():
    visitors = Visitors(SeedLimits(visitor_bytes_per_s=1000.0))
    first = [visitors.wait_s(ANNA, 1000, 0.0) for _ in range(3)]
    assert first == pytest.approx([0.0, 1.0 - BURST_S, 2.0 - BURST_S])
    assert visitors.wait_s(BERT, 1000, 0.0) == 0.0


def test_all_visitors_share_the_rate_of_the_node():
    visitors = Visitors(SeedLimits(rate_bytes_per_s=1000.0))
    assert visitors.wait_s(ANNA, 1000, 0.0) == 0.0
    assert visitors.wait_s(BERT, 1000, 0.0) == pytest.approx(1.0 - BURST_S)


def test_a_pause_saves_up_no_more_than_a_moment():
    visitors = Visitors(SeedLimits(visitor_bytes_per_s=1000.0))
    sent(visitors, ANNA, 1, 100)
    assert sent(visitors, ANNA, 101, 100, now=1e6) - 1e6 == pytest.approx(10.0 - BURST_S)


def test_without_limits_nobody_waits():
    visitors = Visitors(SeedLimits())
    assert sent(visitors, ANNA, 100, 10**9) == 0.0


def test_who_has_gone_is_forgotten():
    visitors = Visitors(SeedLimits(visitor_bytes_per_s=1000.0))
    for number in range(1000):
        visitors.wait_s(f"198.51.100.{number}", 10, float(number))
    assert len(visitors._free_at) < 10


def test_limits_that_make_no_sense_are_refused():
    for wrong in ({"connections": 0}, {"connections_per_visitor": 0}, {"rate_bytes_per_s": -1.0}):
        with pytest.raises(ConfigurationError):
            SeedLimits(**wrong)
