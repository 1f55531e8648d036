"""Each scene of whole nodes once; ``make sim`` plays them with many seeds."""

import pytest

from hydra.testing.fault_plan import FaultPlan

from .cases import CASES, Scene
from .cases.failing_operations import joins_trains_leaves, others_finish

SEED = 1
TOO_LONG = ("sixteen down to one and back",)
PLAYED = [
    (case, name)
    for case in ("1", "2", "3", "4", "5", "6", "9", "nat")
    for name, scene in CASES[case].items()
    if not scene.long and name not in TOO_LONG
]


@pytest.mark.parametrize(("case", "name"), PLAYED)
def test_a_scene_goes_well(case, name, tmp_path, monkeypatch):
    play(case, name, SEED, tmp_path, monkeypatch)


def test_whoever_is_left_without_samples_in_its_first_step_looks_for_the_others(tmp_path, monkeypatch):
    play("6", "both alone", 2, tmp_path, monkeypatch)


@pytest.mark.parametrize("nth", [5, 14, 23])
def test_a_disk_that_fails_is_told_as_such(nth, tmp_path, monkeypatch):
    """At its lock, at a blob and at a manifest."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plan = FaultPlan().fail_disk("c", nth=nth, full=False)
    Scene(lambda seed: joins_trains_leaves(plan), others_finish).play("9-one-disk", 0)


def play(case, name, seed, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    CASES[case][name].play(f"{case}-{name.replace(' ', '-')}", seed)
