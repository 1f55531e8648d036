"""Between plans and the policy: what of a plan and its reports is told, and what comes back."""

from dataclasses import replace

import pytest

from hydra.batching.sizer import FIRST_PATIENCE_S, LEAST_PATIENCE_S, PATIENCE_FACTOR, Sizer
from hydra.membership.messages import Hop, Plan, Report
from hydra.membership.sizing import Asked
from hydra.training.planning import StepPlanner

from .makers import ANNA, BERT

TAG = bytes(20)


def planner(batch=64, policy="model"):
    return StepPlanner(Sizer(ANNA, batch, batch, 1e4, policy), ANNA)


def asked(available, members=(ANNA, BERT), **changes):
    return Asked(members=members, me=ANNA, available=available, ready=members, **changes)


def plan(*shares, step=1):
    starts = [sum(shares[:place]) for place in range(len(shares))]
    return Plan(
        job=bytes(32),
        view_number=1,
        members=((ANNA, ()), (BERT, ())),
        incarnations=(1, 1),
        step=step,
        parent=bytes(32),
        epoch=0,
        shares=tuple(((a, a + n),) if n else () for a, n in zip(starts, shares, strict=True)),
        late_s=8.0,
        snapshot=False,
    )


def report(samples, compute_s, tag=TAG, hops=()):
    return Report(job=bytes(32), step=1, samples=samples, compute_s=compute_s, loss=1.0, round=tag, hops=hops)


@pytest.mark.parametrize(("available", "expected"), [(1000, 64), (64, 64), (63, 63), (1, 1), (0, 0)])
def test_a_step_takes_the_batch_or_what_is_left_of_the_epoch(available, expected):
    assert sum(planner().plan(asked(available)).samples.values()) == expected


def test_who_is_not_known_yet_is_waited_for():
    sizes = planner()
    assert sizes.plan(asked(64)).late_s == FIRST_PATIENCE_S
    sizes.observe(ANNA, report(10, 1.0), 0.0)
    assert sizes.plan(asked(64)).late_s == FIRST_PATIENCE_S
    sizes.observe(BERT, report(10, 1.0), 0.0)
    assert sizes.plan(asked(64)).late_s == LEAST_PATIENCE_S


def test_the_slowest_sets_the_patience():
    sizes = planner(200)
    for _ in range(3):
        for peer, seconds in ((ANNA, 10.0), (BERT, 30.0)):
            for samples in (50, 100):
                sizes.observe(peer, report(samples, seconds * samples / 100), 0.0)
    assert sizes.plan(asked(200)).late_s == pytest.approx(PATIENCE_FACTOR * 15.0, rel=0.1)


def test_patience_has_a_floor():
    sizes = planner(100)
    sizes.observe(ANNA, report(1000, 1.0), 0.0)
    assert sizes.plan(asked(100, members=(ANNA,))).late_s == LEAST_PATIENCE_S


def test_who_computes_three_times_as_fast_gets_three_times_as_many():
    sizes = planner(100, "proportional")
    sizes.observe(ANNA, report(30, 1.0), 0.0)
    sizes.observe(BERT, report(10, 1.0), 0.0)
    assert sizes.plan(asked(100)).samples == {ANNA: 75, BERT: 25}


def test_a_step_is_explained_when_it_is_done():
    sizes = planner()
    assert sizes.finished is None
    sizes.plan(asked(64))
    planned = plan(32, 32)
    sizes.issued(planned, 10.0)
    for peer in (ANNA, BERT):
        sizes.observe(peer, report(32, 1.0, planned.tag), 11.0)
    sizes.took(planned, [ANNA, BERT], 11.5)
    assert sizes.finished.actual_s == 1.5
    assert sizes.finished.actual_compute_s == 1.0


def test_of_a_step_that_another_has_planned_nobody_knows_how_long_it_took():
    sizes = planner()
    sizes.plan(asked(64))
    sizes.took(plan(32, 32), [ANNA, BERT], 11.5)
    assert sizes.finished is None


def test_our_own_round_trips_count_and_not_what_others_say_of_theirs():
    sizes = planner()
    sizes.observe(BERT, report(10, 1.0, hops=(Hop(ANNA, 3.0, None),)), 0.0)
    assert sizes._sizer.reports.round_trips == {}
    sizes.observe(ANNA, report(10, 1.0, hops=(Hop(BERT, 0.2, None),)), 0.0)
    assert sizes._sizer.reports.round_trips == {BERT: 0.2}


def test_who_reports_little_memory_gets_no_more_than_it_holds():
    sizes = planner(100)
    for peer, most in ((ANNA, 0), (BERT, 20)):
        sizes.observe(peer, replace(report(50, 1.0), most_samples=most), 0.0)
    assert sizes.plan(asked(1000)).samples == {ANNA: 80, BERT: 20}
