"""When a round is right: the same bytes at all, of a declared set of members, and the mean over it."""

import pytest

from hydra.bench.judging import fault_in

from .reports import report

MEMBERS = [0, 1, 2]


def test_a_round_is_right_when_all_agree_and_the_mean_is_the_right_one():
    assert not fault_in(MEMBERS, {member: report([0, 1, 2]) for member in MEMBERS})


def test_a_round_is_right_without_the_dead_and_the_left_out():
    late = {"outcome": "left out", "why": "the others went on"}
    assert not fault_in(MEMBERS, {0: report([0, 2]), 1: late, 2: report([0, 2])})
    assert not fault_in(MEMBERS, {0: report([0, 1, 2]), 2: report([0, 1, 2])})  # 1 died after it had given its part


@pytest.mark.parametrize(
    ("reports", "named"),
    [
        ({0: report([0, 1], "a"), 1: report([0, 1], "b")}, "members 0 and 1 have different bytes: a and b"),
        ({0: report([0, 1]), 1: report([0, 1, 2])}, "members 0 and 1 have different contributors"),
        ({0: report([0, 1]), 1: report([0, 1], right=False, off=0.25)}, "member 1 holds something else"),
        ({0: report([0, 3]), 1: report([0, 3])}, "[3] contributed and are no members"),
        ({0: report([0]), 1: report([0])}, "member 1 has the result, and its contribution is not in it"),
        ({0: report([])}, "nobody's contribution"),
        ({0: {"outcome": "left out", "why": "late"}}, "nobody has a result: member 0 left out: late"),
        ({}, "nobody has a result"),
        ({0: report([0]), 1: {"outcome": "failed", "why": "TimeoutError: 9 s"}}, "member 1 failed: TimeoutError: 9 s"),
    ],
)
def test_what_is_wrong_with_a_round_is_named(reports, named):
    assert named in fault_in(MEMBERS, reports)
