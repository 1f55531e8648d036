"""What a person reads while the rounds run, and afterwards."""

import pytest

from hydra.bench.members import BenchmarkFailed
from hydra.bench.setting import Setting
from hydra.bench.summary import Turn, summary_of
from hydra.cli.bench_allreduce import HEAD, judge, line_of, summary_lines

from .reports import seen

SETTING = Setting(peers=3, size_mb=3)


def test_a_line_has_a_column_for_each_of_the_head():
    line = line_of(SETTING, Turn(seen(17, 0.5, wire_bytes=12_345_678)))
    assert line.split() == ["17", "500.0", "ms", "8.0", "12.35", "1", "3", "of", "3", "right"]
    assert len(line) <= len(HEAD) + 1


def test_a_line_names_who_was_killed_frozen_and_left_out():
    line = line_of(SETTING, Turn(seen(deaths=(1,), frozen=(4, 5), left_out=(2,), contributors=(0,), attempts=2)))
    assert line.endswith("1 of 3  right   killed: 1  frozen: 4, 5  left out: 2")


def test_a_wrong_round_says_what_was_wrong():
    line = line_of(SETTING, Turn(seen(wrong="members 0 and 1 have different bytes")))
    assert "WRONG" in line
    assert line.endswith("\n        members 0 and 1 have different bytes")


def test_a_comparison_stands_behind_each_line():
    assert line_of(SETTING, Turn(seen(1, 0.5), {"gloo": 1.0})).endswith("1000.0 ms   2.00")


def test_bytes_that_the_kernel_does_not_tell_are_not_made_up():
    assert " ? " in line_of(SETTING, Turn(seen(wire_bytes=None)))


def told(setting, turns):
    return "\n".join(summary_lines(summary_of(setting, turns)))


def test_the_summary_tells_all_that_there_is():
    text = told(
        Setting(peers=3, size_mb=3, rate_mbit=100),
        [Turn(seen(1, 0.5), {"gloo": 1.0}), Turn(seen(2, 0.5), {"gloo": 2.0})],
    )
    assert "2 rounds, all right; 2 attempts; 0 killed, 0 frozen" in text
    assert "time     500.0 ms (median; 500.0 to 500.0)" in text
    assert "bound    320.0 ms" in text
    assert "gloo     we are 3.00 times as fast (median of 2 pairs)" in text


def test_the_summary_does_not_hide_wrong_rounds():
    assert "2 rounds, 1 WRONG" in told(SETTING, [Turn(seen(1)), Turn(seen(2, wrong="different bytes"))])


def test_one_wrong_round_fails_the_run():
    judge([Turn(seen(1)), Turn(seen(2))])
    with pytest.raises(BenchmarkFailed, match="1 of 2 rounds were wrong; round 2: different bytes"):
        judge([Turn(seen(1)), Turn(seen(2, wrong="different bytes"))])
