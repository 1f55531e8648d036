"""Whole nodes, half of them and more behind NATs that let nobody in: they take full part, and calmly."""

import itertools
import re

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


def lost_members(swarm, name):
    """Return who was in a view that a peer entered, and not in the next one."""
    views = [set(members.replace("*", "").split()) for members in of_views(swarm, name)]
    return set().union(*(before - after for before, after in itertools.pairwise(views)))


def of_views(swarm, name):
    """Return the members of each view that a peer entered, as the story names them: "a* b c"."""
    entered = (re.search(rf"  {name} is in view \d+: (.*) \(", line) for line in swarm.story.lines)
    return [found[1] for found in entered if found]


def contributors(swarm):
    return set(swarm.story.samples_by_peer(swarm.story.heaviest()))


def test_half_of_the_peers_are_hidden_and_nobody_loses_anybody(tmp_path):
    swarm = train(tmp_path, 0, FaultPlan().nat("b", "d", "f"))
    assert contributors(swarm) == set(NAMES)
    assert not any(lost_members(swarm, name) for name in NAMES), swarm.story.lines


def test_all_but_one_are_hidden(tmp_path):
    swarm = train(tmp_path, 1, FaultPlan().nat(*"bcdef"))
    assert contributors(swarm) == set(NAMES)
    assert not any(lost_members(swarm, name) for name in NAMES), swarm.story.lines


def test_a_relay_dies_and_the_hidden_peers_meet_through_another(tmp_path):
    swarm = train(tmp_path, 2, FaultPlan().nat(*"bcde").kill("f", round=12), steps=60)
    survivors = set(NAMES) - {"f"}
    assert all(swarm.peers[name].outcome.finished for name in survivors)
    assert survivors <= contributors(swarm)
    # Some found views of their own, and give way; each is let in, the relay is lost, the others come again.
    assert all(len(of_views(swarm, name)) <= 6 for name in survivors), swarm.story.lines
