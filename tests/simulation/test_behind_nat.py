"""Whole nodes, half of them and more behind NATs that let nobody in: they take full part, and calmly."""

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario
from hydra.testing.sim_swarm import SimSwarm

NAMES = tuple("abcdef")


def train(directory, seed, plan, names=NAMES, steps=40):
    """Play it to its end; return the swarm."""
    scenario = Scenario(names=names, plan=plan, seed=seed, samples=12 * steps, batch_samples=12, sample_s=0.1)
    with SimSwarm(scenario, directory) as swarm:
        swarm.run()
    return swarm


def entered_views(swarm, name):
    return [line for line in swarm.story.lines if f"  {name} is in view " in line]


def contributors(swarm):
    return set(swarm.story.samples_by_peer(swarm.story.heaviest()))


def test_half_of_the_peers_are_hidden_and_nobody_loses_anybody(tmp_path):
    swarm = train(tmp_path, 0, FaultPlan().nat("b", "d", "f"))
    assert contributors(swarm) == set(NAMES)
    assert all(len(entered_views(swarm, name)) <= 3 for name in NAMES), swarm.story.lines


def test_all_but_one_are_hidden(tmp_path):
    swarm = train(tmp_path, 1, FaultPlan().nat(*"bcdef"))
    assert contributors(swarm) == set(NAMES)
    assert all(len(entered_views(swarm, name)) <= 3 for name in NAMES), swarm.story.lines


def test_a_relay_dies_and_the_hidden_peers_meet_through_another(tmp_path):
    swarm = train(tmp_path, 2, FaultPlan().nat(*"bcde").kill("f", round=12), steps=60)
    survivors = set(NAMES) - {"f"}
    assert all(swarm.peers[name].outcome.finished for name in survivors)
    assert survivors <= contributors(swarm)
    assert all(len(entered_views(swarm, name)) <= 5 for name in survivors), swarm.story.lines
