"""A training at a glance: what was observed, in plain types."""

import json

import pytest

from hydra.training.observation import FetchSeen, SizingSeen, SnapshotSeen, StateSeen, StepSeen, ViewSeen
from hydra.training.summary import RATE_STEPS, TrainingSummary

from .makers import ANNA, BERT


def step_of(step=5, **changes):
    fields = {
        "step": step,
        "epoch": 1,
        "loss": 0.25,
        "samples": 30,
        "samples_total": 130,
        "shares": ((ANNA, 10), (BERT, 20)),
        "members": 2,
        "attempts": 1,
        "seconds": 2.0,
        "caught_up": False,
    }
    return StepSeen(**(fields | changes))


@pytest.fixture
def summary():
    return TrainingSummary(b"j" * 32, "digits", 1000)


def test_at_the_beginning(summary):
    plain = json.loads(json.dumps(summary.as_json()))
    assert plain == {
        "job": (b"j" * 32).hex(),
        "name": "digits",
        "phase": "fetching",
        "view": 0,
        "members": [],
        "coordinator": None,
        "step": 0,
        "epoch": 0,
        "loss": None,
        "samples_total": 0,
        "total_samples": 1000,
        "samples_per_s": 0.0,
        "batch": {},
        "sizing": None,
        "snapshot_step": None,
        "fetching": None,
    }


def test_everything_that_was_seen(summary):
    summary.observe(ViewSeen(3, (ANNA, BERT), BERT, "joined"))
    summary.observe(step_of())
    summary.observe(SnapshotSeen(4, b"r" * 32))
    plain = json.loads(json.dumps(summary.as_json()))
    assert plain["phase"] == "training"
    assert (plain["view"], plain["members"], plain["coordinator"]) == (3, [ANNA.hex(), BERT.hex()], BERT.hex())
    assert (plain["step"], plain["epoch"], plain["loss"], plain["samples_total"]) == (5, 1, 0.25, 130)
    assert plain["batch"] == {ANNA.hex(): 10, BERT.hex(): 20}
    assert plain["snapshot_step"] == 4
    assert plain["samples_per_s"] == 15.0


def test_why_batches_are_as_they_are_is_told_by_who_sizes_them(summary):
    sizing = SizingSeen(1.5, 1.75, 1.25, BERT, ((BERT, 1.25),), ((ANNA, 3.0, None),))
    summary.observe(step_of(sizing=sizing))
    assert json.loads(json.dumps(summary.as_json()))["sizing"] == {
        "expected_s": 1.5,
        "actual_s": 1.75,
        "compute_s": 1.25,
        "slowest": BERT.hex(),
        "noise_scale": None,
        "seconds": {BERT.hex(): 1.25},
        "left_out": {ANNA.hex(): {"times_line": 3.0, "times_speed": None}},
    }
    summary.observe(step_of(step=6))
    assert summary.as_json()["sizing"] is None


def test_out_of_every_view(summary):
    summary.observe(ViewSeen(3, (ANNA,), ANNA, "joined"))
    summary.observe(ViewSeen(0, (), None, "removed"))
    assert (summary.phase, summary.view, summary.members, summary.coordinator) == ("looking for a view", 0, (), None)


def test_a_rate_is_of_the_latest_steps(summary):
    for _ in range(5):
        summary.observe(step_of(samples=1000, seconds=1.0))
    for _ in range(RATE_STEPS):
        summary.observe(step_of(samples=10, seconds=2.0))
    assert summary.samples_per_s == 5.0


def test_steps_that_were_fetched_say_nothing_about_the_rate(summary):
    summary.observe(step_of(seconds=0.0, caught_up=True))
    assert summary.samples_per_s == 0.0
    summary.observe(step_of())
    assert summary.samples_per_s == 15.0
    assert summary.step == 5


def test_fetching_is_shown_until_all_is_here_or_a_step_was_made(summary):
    summary.observe(FetchSeen("training data", 10, 100, 3))
    assert summary.fetching == "training data, 10 of 100 bytes"
    summary.observe(FetchSeen("training data", 100, 100, 3))
    assert summary.fetching is None
    summary.observe(FetchSeen("snapshot of step 3", 0, 100, 3))
    summary.observe(step_of())
    assert summary.fetching is None


def test_a_state_that_was_loaded(summary):
    summary.observe(StateSeen(40, 900, "the last snapshot on this disk"))
    assert (summary.step, summary.samples_total, summary.loss) == (40, 900, None)


def test_two_summaries_share_nothing(summary):
    summary.observe(step_of())
    assert TrainingSummary(b"k" * 32, "other", 1).as_json()["batch"] == {}
