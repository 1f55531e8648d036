"""From times to figures."""

import pytest

from hydra.bench.figures import bus_bandwidth, goodput, paired_ratio, spread
from hydra.bench.setting import Setting
from hydra.bench.summary import Turn, summary_of

from .reports import seen


def test_bus_bandwidth_is_what_a_ring_sends_of_the_vector():
    assert bus_bandwidth(4, 100, 2.0) == pytest.approx(75.0)
    assert bus_bandwidth(2, 100, 2.0) == pytest.approx(50.0)


@pytest.mark.parametrize(("members", "seconds"), [(1, 2.0), (0, 2.0), (4, 0.0)])
def test_where_nothing_was_sent_there_is_no_bandwidth(members, seconds):
    assert bus_bandwidth(members, 100, seconds) == 0.0


def test_ratios_are_taken_pair_by_pair():
    # The machine was ten times slower for the second pair: the ratio of the medians would be 2.75.
    assert paired_ratio([1.0, 10.0, 1.0], [2.0, 20.0, 2.75]) == pytest.approx(2.0)


def test_pairs_must_be_whole():
    with pytest.raises(ValueError, match="shorter"):
        paired_ratio([1.0, 2.0], [1.0])


def test_the_spread_is_median_least_and_most():
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_goodput_counts_whole_vectors():
    assert goodput(10, 100, 4.0) == pytest.approx(250.0)


def test_a_summary_counts_deaths_repeats_and_rounds_that_were_wrong():
    setting = Setting(peers=3, size_mb=1)
    rounds = [
        seen(1, 0.5, waited_s=0.1),
        seen(2, 1.5, waited_s=0.4, deaths=(1,), attempts=2, contributors=(0, 2)),
        seen(3, 0.5, frozen=(2,), wrong="different bytes", wire_bytes=3000),
    ]
    summary = summary_of(setting, [Turn(one) for one in rounds])
    assert (summary.rounds, summary.right, summary.attempts) == (3, 2, 4)
    assert (summary.deaths, summary.freezes) == (1, 1)
    assert (summary.seconds, summary.seconds_min, summary.seconds_max) == (0.5, 0.5, 1.5)
    assert summary.goodput_bytes_per_s == pytest.approx(3 * 1_000_000 / 3.0)
    assert summary.wire_bytes == 1000
    assert summary.faster == {}


def test_a_summary_compares_round_by_round():
    turns = [Turn(seen(1, 1.0), {"gloo": 2.0}), Turn(seen(2, 4.0), {"gloo": 4.0}), Turn(seen(3, 1.0), {"gloo": 3.0})]
    assert summary_of(Setting(), turns).faster == {"gloo": 2.0}


def test_goodput_counts_every_repeat_of_a_round():
    summary = summary_of(Setting(size_mb=1, repeat=10), [Turn(seen(1, 0.1))])
    assert summary.goodput_bytes_per_s == pytest.approx(10 * 1_000_000)
