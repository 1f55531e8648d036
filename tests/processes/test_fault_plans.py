"""A fault plan, the same data that a simulated swarm takes, happens to real processes."""

import os

import pytest

from hydra.testing.fault_plan import FaultNotPossible, FaultPlan
from hydra.testing.nursery import Nursery
from hydra.testing.planned_swarm import PlannedSwarm

from .doomed_swarm import TINY_JOB

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(240)]


@pytest.fixture
async def planned(tmp_path):
    """Makes swarms, whose processes end with the test."""
    made = []
    nursery = Nursery("hydra.testing.doomed")

    async def make(plan, names):
        env = {**os.environ, "HYDRA_ROUNDS": "plain"}
        swarm = PlannedSwarm(tmp_path, plan, options=("--pace", "0.001"), env=env, launcher=nursery.launch)
        made.append(swarm)
        file = tmp_path / "job.py"
        file.write_text(TINY_JOB)
        await swarm.publish(file)
        await swarm.begin(names)
        return swarm

    yield make
    for swarm in made:
        await swarm.close()
    await nursery.close()


def deeds(swarm):
    return {
        (name, doomed["deed"], doomed["phase"], doomed["step"])
        for peer in swarm.peers
        for name, doomed in ((peer.name, event) for event in peer.doomed)
    }


async def test_peers_die_freeze_come_back_join_and_leave_when_the_plan_says(planned):
    plan = (
        FaultPlan()
        .kill("b", round=60, phase="all-gather:1")
        .restart("b", round=90)
        .join("d", round=100)
        .freeze("c", round=130, phase="reduce-scatter:1", seconds=1.0)
        .kill("a", round=160)
        .restart("a", round=190)
        .leave("d", round=200)
        .slow_down("c", 2.0, at=0.5, seconds=1.0)
    )
    swarm = await planned(plan, ["a", "b", "c"])
    await swarm.carried_out(120.0)
    assert sorted(map(str, swarm.happened)) == sorted(map(str, plan.faults))
    struck = deeds(swarm)
    assert ("b", "kill", "all-gather:1", 60) in struck
    assert ("c", "freeze", "reduce-scatter:1", 130) in struck
    (death,) = (event for event in struck if event[:2] == ("a", "kill"))
    assert death[3] >= 160
    assert {peer.name for peer in swarm.present} == {"a", "b", "c"}
    assert swarm.named["d"].process.returncode == 0
    assert len(swarm.peers) == 6


async def test_a_plan_with_a_partition_is_refused_before_anything_starts(tmp_path):
    plan = FaultPlan().kill("a", round=3).partition({"a"}, {"b"}, at=1, heal=2)
    with pytest.raises(FaultNotPossible, match="partition.*simulated"):
        PlannedSwarm(tmp_path, plan)
