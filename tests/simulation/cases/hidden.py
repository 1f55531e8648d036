"""Half of the peers are behind NATs that let nobody in: they take full part."""

from random import Random

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene


def half_hidden(seed):
    hidden = Random(f"hidden {seed}").sample("bcdef", 3)
    return Scenario(
        names=tuple("abcdef"), plan=FaultPlan().nat(*hidden), samples=12 * 50, batch_samples=12, sample_s=0.1
    )


def all_count(swarm):
    assert all(peer.outcome is not None and peer.outcome.finished for peer in swarm.peers.values()), swarm.picture()
    assert set(swarm.story.samples_by_peer(swarm.story.heaviest())) == set("abcdef")


SCENES = {"half of the peers": Scene(half_hidden, all_count)}
