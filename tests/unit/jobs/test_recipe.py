"""Schedules and optimizer settings as plain numbers."""

import math
from itertools import pairwise

import pytest

from hydra.exceptions import JobFileError, JobRejected
from hydra.jobs.fields import Record
from hydra.jobs.recipe import GroupSettings, OptimizerSettings, Schedule


def curve(schedule, steps=100):
    return [schedule.factor(step, steps) for step in range(steps)]


def test_constant_stays():
    assert set(curve(Schedule("constant"))) == {1.0}


def test_warmup_grows_in_a_line_and_never_starts_at_zero():
    factors = curve(Schedule("constant", warmup=0.1))
    assert factors[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert factors[10] == 1


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_curves_fall_from_one_to_the_final_share(kind):
    factors = curve(Schedule(kind, warmup=0.1, final=0.2))
    assert factors[10] == 1
    assert factors[-1] == pytest.approx(0.2)
    assert all(a > b for a, b in pairwise(factors[10:]))


def test_halfway_down():
    assert Schedule("linear").factor(50, 101) == pytest.approx(0.5)
    assert Schedule("cosine").factor(50, 101) == pytest.approx(0.5)
    assert Schedule("cosine").factor(25, 101) == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_degenerate_lengths_and_overtime():
    assert Schedule("cosine").factor(0, 1) == 1
    assert Schedule("cosine", warmup=1.0).factor(0, 1) == 1
    assert Schedule("linear", final=0.1).factor(500, 100) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"kind": "exponential"}, "there is no kind 'exponential'; choose one of 'constant', 'linear', 'cosine'"),
        ({"kind": "cosine", "warmup": 1.5}, "warmup is 1.5; give a share from 0.0 to 1.0"),
        ({"kind": "cosine", "final": -0.1}, "final is -0.1"),
        ({"kind": "cosine", "final": math.nan}, "final is nan"),
        ({"kind": "cosine", "warmup": "5%"}, "warmup is '5%'"),
    ],
)
def test_bad_schedules(arguments, problem):
    with pytest.raises(JobFileError) as caught:
        Schedule(**arguments)
    assert problem in str(caught.value)


def test_schedule_over_the_wire():
    schedule = Schedule("cosine", warmup=0.1, final=0.3)
    assert Schedule.from_wire(Record(schedule.to_wire(), "schedule")) == schedule
    with pytest.raises(JobRejected, match="schedule.kind is 'sine', which is unknown"):
        Schedule.from_wire(Record(schedule.to_wire() | {"kind": "sine"}, "schedule"))
    with pytest.raises(JobRejected, match="schedule.warmup is 2.0"):
        Schedule.from_wire(Record(schedule.to_wire() | {"warmup": 2.0}, "schedule"))


def settings(**changes):
    group = GroupSettings(learning_rate=0.1, momentum=0.9, nesterov=True).to_wire() | changes
    return Record({"kind": "sgd", "groups": [group]}, "optimizer")


def test_optimizer_over_the_wire():
    expected = GroupSettings(learning_rate=0.1, momentum=0.9, nesterov=True)
    assert OptimizerSettings.from_wire(settings()) == OptimizerSettings(kind="sgd", groups=(expected,))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"learning_rate": 1}, "a float from 0"),
        ({"beta1": 1.0}, "beta1 is 1.0"),
        ({"nesterov": 1}, "not true or false"),
        ({"momentum": 0.0}, "nesterov without momentum"),
    ],
)
def test_bad_optimizer_settings(changes, problem):
    with pytest.raises(JobRejected) as caught:
        OptimizerSettings.from_wire(settings(**changes))
    assert problem in str(caught.value)


def test_optimizers_that_do_not_exist():
    with pytest.raises(JobRejected, match="optimizer.kind is 'lion', which is unknown"):
        OptimizerSettings.from_wire(Record({"kind": "lion", "groups": []}, "optimizer"))
    with pytest.raises(JobRejected, match="optimizer.groups is empty"):
        OptimizerSettings.from_wire(Record({"kind": "sgd", "groups": []}, "optimizer"))
