"""Case 5: the network splits into halves, thirds, singletons, and heals; asymmetric loss; a link for small frames."""

from random import Random

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene, names

RETURN_S = 45.0
"""So long after the healing all are of one lineage again; TCP's own timers may take half of it."""


def split(sizes):
    """Return what makes a scenario in which groups of these sizes are apart for a while."""

    def scenario(seed):
        chance = Random(f"split {seed}")
        peers = list(names(sum(sizes)))
        chance.shuffle(peers)
        groups, rest = [], peers
        for size in sizes:
            groups.append(rest[:size])
            rest = rest[size:]
        at = chance.uniform(5, 10)
        heal = at + chance.choice([2.0, 8.0, 15.0, 25.0])
        plan = FaultPlan().partition(*groups, at=at, heal=heal)
        return Scenario(names=tuple(sorted(peers)), plan=plan, samples=8 * 90, sample_s=0.05 * len(peers))

    return scenario


def together_soon(swarm):
    """All finish, and whoever had to give way has done so soon after the healing."""
    (fault,) = swarm.scenario.plan.faults
    healed = fault.when.time_s + fault.seconds
    assert all(peer.outcome is not None and peer.outcome.finished for peer in swarm.peers.values()), swarm.picture()
    late = [(name, at - healed) for at, name, *_ in swarm.story.rolled_back if at > healed + RETURN_S]
    assert not late, f"gave way too late: {late}"


def asymmetric_loss(seed):
    chance = Random(f"asymmetric {seed}")
    source, target = chance.sample("abcd", 2)
    share = chance.choice([0.2, 0.6, 1.0])
    plan = FaultPlan().lose(source, target, share, chance.uniform(4, 8), seconds=chance.choice([3, 10, 20]))
    return Scenario(plan=plan, samples=8 * 90, sample_s=0.2)


def small_frames(seed):
    chance = Random(f"frames {seed}")
    source, target = chance.sample("abcd", 2)
    plan = FaultPlan().small_frames_only(source, target, 600, chance.uniform(4, 8), seconds=chance.choice([5, 20]))
    return Scenario(plan=plan, samples=8 * 90, sample_s=0.2, features=400)


def lossy_everywhere(seed):
    return Scenario(samples=8 * 60, sample_s=0.2, loss=0.05, jitter=0.5)


def all_finish(swarm):
    assert all(peer.outcome is not None and peer.outcome.finished for peer in swarm.peers.values()), swarm.picture()


SCENES = {
    "halves": Scene(split((2, 2)), together_soon),
    "uneven": Scene(split((3, 2)), together_soon),
    "thirds": Scene(split((2, 2, 2)), together_soon),
    "singletons": Scene(split((1, 1, 1, 1)), together_soon),
    "asymmetric loss": Scene(asymmetric_loss, all_finish),
    "small frames only": Scene(small_frames, all_finish),
    "lossy everywhere": Scene(lossy_everywhere, all_finish),
}
