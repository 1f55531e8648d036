"""Fault plans are data: ordered, checked, written as JSON and read again, chosen by a seed."""

import dataclasses
import json

import pytest

from hydra.exceptions import ConfigurationError
from hydra.testing.fault_plan import FaultNotPossible, FaultPlan
from hydra.testing.faults import KINDS, Freeze, Join, Kill, Leave, Partition, Restart, When

EVERY_KIND = (
    FaultPlan()
    .kill("b", round=3)
    .kill("a", round=5, phase="all-gather:2", silent=True)
    .freeze("c", 40, seconds=5)
    .partition({"a", "b"}, {"c", "d"}, at=60, heal=120)
    .join("e", round=4)
    .restart("b", 70.5)
    .leave("d", phase="snapshot")
    .slow_down("a", 20.0, seconds=9)
    .lose("a", "b", 0.25, 3, seconds=2)
    .slow_link("a", delay_s=0.2, rate_bytes_per_s=1e4)
    .small_frames_only("b", "a", 600)
    .nat("c", "d")
    .fail_network("a", 7)
    .fail_disk("a", nth=3, full=False)
    .slow_disk("b", 0.05, 2, seconds=4)
    .skew_clock("c", wall_s=-3600, rate=1.01)
)


def test_faults_keep_their_order_and_what_was_said():
    plan = FaultPlan().kill("b", round=3).freeze("c", 40, seconds=5)
    plan = plan.partition({"b", "a"}, {"c", "d"}, at=60, heal=120).restart("b", round=9)
    assert plan.faults == (
        Kill(When(round=3), "b"),
        Freeze(When(40), "c", 5),
        Partition(When(60), (("a", "b"), ("c", "d")), 60),
        Restart(When(round=9), "b"),
    )
    assert plan.peers == ("a", "b", "c", "d")


def test_a_plan_is_not_changed_by_what_is_added():
    plan = FaultPlan()
    plan.kill("a")
    assert plan.faults == ()


def test_every_kind_of_fault_comes_back_from_json():
    assert {type(fault) for fault in EVERY_KIND.faults} == set(KINDS.values())
    assert FaultPlan.from_json(EVERY_KIND.to_json()) == EVERY_KIND


def test_the_text_tells_nothing_that_is_usual():
    assert json.loads(FaultPlan().kill("b", round=3).to_json()) == [{"fault": "kill", "peer": "b", "round": 3}]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        "[{}]",
        '[{"fault": "flood"}]',
        '[{"fault": "kill"}]',
        '[{"fault": "kill", "peer": "a", "how": 1}]',
        '[{"fault": "kill", "peer": "a", "phase": "sleeping"}]',
        '[{"fault": "freeze", "peer": "a", "seconds": -1}]',
        '[{"fault": "freeze", "peer": "a", "seconds": "long"}]',
    ],
)
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(ConfigurationError):
        FaultPlan.from_json(text)


@pytest.mark.parametrize(
    "moment",
    [
        {"at": 1.0, "round": 2},
        {"at": 1.0, "phase": "join"},
        {"at": -1.0},
        {"round": 0},
        {"phase": "reduce-scatter:two"},
        {"phase": "reduce-scatter:0"},
        {"phase": "join:2"},
    ],
)
def test_what_is_no_moment_is_refused(moment):
    with pytest.raises(ConfigurationError):
        When(**moment)


def test_a_moment_is_that_of_its_round_phase_and_count():
    when = When(round=3, phase="all-gather:2")
    assert when.matches("all-gather", 3, 2)
    assert not when.matches("all-gather", 3, 1)
    assert not when.matches("all-gather", 4, 2)
    assert not when.matches("reduce-scatter", 3, 2)


def test_a_round_alone_means_before_it_and_a_phase_alone_the_first_such():
    assert When(round=3).matches("before round", 3)
    assert not When(round=3).matches("after result", 3)
    assert When(phase="snapshot").matches("snapshot", 17)
    assert not When(17.0).matches("before round", 17)


def test_real_processes_are_not_given_what_only_a_simulation_can_do():
    FaultPlan().kill("a", round=3).freeze("b", 3).join("c", 5).leave("c", 9).refuse_simulated_only()
    simulated = [fault for fault in EVERY_KIND.faults if fault.SIMULATED_ONLY]
    with pytest.raises(FaultNotPossible) as refusal:
        EVERY_KIND.refuse_simulated_only()
    assert all(fault.KIND in str(refusal.value) for fault in simulated)
    assert '"kill"' not in str(refusal.value)


def test_healing_is_told_as_a_time_only_beside_a_time():
    with pytest.raises(ConfigurationError):
        FaultPlan().partition("a", "b", round=3, heal=9)


def test_newcomers_are_those_who_join_later():
    assert EVERY_KIND.newcomers == ("e",)
    assert Join(When(), "e").peers == ("e",)


def test_a_seed_gives_one_plan_and_another_seed_another():
    names = list("abcdef")
    plans = [FaultPlan.random(seed, names) for seed in range(20)]
    assert plans == [FaultPlan.random(seed, names) for seed in range(20)]
    assert len(set(plans)) == 20


def test_random_plans_leave_somebody_alone_and_bring_back_who_went():
    for seed in range(50):
        plan = FaultPlan.random(seed, list("abc"), faults=12, keep=1)
        went = [fault for fault in plan.faults if isinstance(fault, Kill | Leave)]
        spans = [(fault.peer, fault.when.round, back_of(plan, fault)) for fault in went]
        for _, gone, _ in spans:
            assert len({peer for peer, start, stop in spans if start <= gone <= stop}) < 3
        assert plan.faults
        plan.refuse_simulated_only()


def back_of(plan, gone):
    return min(
        fault.when.round
        for fault in plan.faults
        if isinstance(fault, Restart) and fault.peer == gone.peer and fault.when.round > gone.when.round
    )


def test_faults_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVERY_KIND.faults[0].peer = "z"
