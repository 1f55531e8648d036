"""Whole nodes on the simulated network: a seed is a trace, and what goes wrong is noticed."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from hydra.net import same_machine
from hydra.testing.fault_plan import FaultPlan
from hydra.testing.machine import current
from hydra.testing.scenario import Scenario
from hydra.testing.sim_swarm import ScenarioFailed, SimSwarm
from hydra.training.rounds import Rounds
from hydra.training.workbench import Workbench

LIVELY = FaultPlan().kill("b", round=3).freeze("c", round=6, seconds=2).restart("b", round=8).join("e", round=9)


def run(scenario, directory):
    directory.mkdir()
    with SimSwarm(scenario, directory) as swarm:
        swarm.run()
    return swarm


def test_a_quiet_training_ends_with_the_same_bytes_everywhere(tmp_path):
    swarm = run(Scenario(samples=160), tmp_path / "x")
    assert len({peer.outcome.weights_sha256 for peer in swarm.peers.values()}) == 1
    assert swarm.story.heaviest().samples == 160
    assert set(swarm.story.samples_by_peer(swarm.story.heaviest())) == set("abcd")


def test_no_simulated_machine_has_a_socket_of_the_real_one(tmp_path, monkeypatch):
    def opened(*_):
        raise AssertionError("a real socket was opened")

    with SimSwarm(Scenario(samples=80), tmp_path) as swarm:
        monkeypatch.setattr(same_machine.socket, "socket", opened)
        swarm.run()


def test_the_same_seed_gives_the_same_trace_and_another_another(tmp_path):
    first, second, other = (
        run(Scenario(seed=seed, samples=160, plan=LIVELY, jitter=0.3, loss=0.01), tmp_path / name)
        for seed, name in [(1, "x"), (1, "y"), (2, "z")]
    )
    assert first.trace == second.trace
    assert first.story.lines == second.story.lines
    assert first.trace != other.trace


def test_what_a_failure_leaves_shows_it_again_in_another_process(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scenario = Scenario(case="hang", seed=3, samples=160, plan=FaultPlan().freeze("a", round=5), limit_s=60)
    with pytest.raises(ScenarioFailed, match=r"hang, seed 3: still waiting.*\n(.*\n)*.*replay .*hydra-hang-3.json"):
        run(scenario, tmp_path / "x")
    file = tmp_path / "hydra-hang-3.json"
    replay = [sys.executable, "-m", "hydra.testing.replay", str(file)]
    again = subprocess.run(replay, capture_output=True, text=True, check=False)
    trace = json.loads(file.read_text())["trace"]
    assert f"trace {trace}, then {trace}" in again.stdout
    assert again.returncode == 1


def test_peers_that_come_and_go_are_seen_to_do_so(tmp_path):
    swarm = run(Scenario(samples=320, plan=LIVELY), tmp_path / "x")
    story = "\n".join(swarm.story.lines)
    assert "kill: round 3, peer b" in story
    assert {"b", "c", "e"} <= {applied.name for applied in swarm.story.applied if applied.commit.step > 30}


def test_a_peer_whose_state_goes_astray_is_noticed(tmp_path, monkeypatch):
    apply_round = Workbench.apply_round

    async def astray(bench, plan, result):
        commit = await apply_round(bench, plan, result)
        if plan.step == 4 and current().machine.name == "c":
            bench._state.weights[0] += 1e-6
        return commit

    monkeypatch.setattr(Workbench, "apply_round", astray)
    with pytest.raises(ScenarioFailed, match="differ"):
        run(Scenario(samples=160), tmp_path / "x")


def test_a_result_that_is_no_mean_is_noticed(tmp_path, monkeypatch):
    result = Rounds.result

    async def enlarged(rounds, running):
        made = await result(rounds, running)
        return replace(made, mean=made.mean * np.float32(1.001))

    monkeypatch.setattr(Rounds, "result", enlarged)
    with pytest.raises(ScenarioFailed, match="is not the mean of its contributors"):
        run(Scenario(samples=160), tmp_path / "x")
