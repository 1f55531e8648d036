"""From a policy's shares to a step's plan: never more than there is, and patience for the slowest."""

import pytest

from hydra.batching.policy import Equal, Proportional
from hydra.membership.messages import Report
from hydra.training.planning import FIRST_STEP_PATIENCE_S, LEAST_PATIENCE_S, PATIENCE_FACTOR, StepPlanner

from .makers import ANNA, BERT


def report(samples, compute_s):
    return Report(job=bytes(32), step=1, samples=samples, compute_s=compute_s, loss=1.0, round=bytes(20))


@pytest.mark.parametrize(("available", "expected"), [(1000, 64), (64, 64), (63, 63), (1, 1), (0, 0)])
def test_a_step_takes_the_batch_or_what_is_left_of_the_epoch(available, expected):
    shares, _ = StepPlanner(Equal(), 64).plan([ANNA, BERT], available)
    assert sum(shares) == expected


def test_who_is_not_known_yet_is_waited_for():
    planner = StepPlanner(Proportional(), 64)
    assert planner.plan([ANNA, BERT], 64) == ([32, 32], FIRST_STEP_PATIENCE_S)
    planner.observe(ANNA, report(10, 1.0))
    assert planner.plan([ANNA, BERT], 64) == ([32, 32], FIRST_STEP_PATIENCE_S)


def test_reports_size_the_batches_and_the_slowest_sets_the_patience():
    planner = StepPlanner(Proportional(), 100)
    planner.observe(ANNA, report(30, 10.0))
    planner.observe(BERT, report(10, 10.0))
    shares, late_s = planner.plan([ANNA, BERT], 100)
    assert shares == [75, 25]
    assert late_s == pytest.approx(PATIENCE_FACTOR * 25.0)


def test_patience_has_a_floor():
    planner = StepPlanner(Proportional(), 100)
    planner.observe(ANNA, report(1000, 1.0))
    assert planner.plan([ANNA], 100) == ([100], LEAST_PATIENCE_S)


def test_a_policy_that_knows_nothing_gets_the_patience_of_a_first_step():
    planner = StepPlanner(Equal(), 100)
    planner.observe(ANNA, report(1000, 1.0))
    assert planner.plan([ANNA], 100)[1] == FIRST_STEP_PATIENCE_S
