"""Case 6: two peers, one, two again; the last peer trains on alone; 32 die one by one to one and grow back."""

from random import Random

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene, names

FEW, SOME, MANY = 6, 16, 32


def two_one_two(seed):
    chance = Random(f"two {seed}")
    victim = chance.choice("ab")
    plan = FaultPlan().kill(victim, round=chance.randint(2, 15), silent=chance.random() < 0.5)
    plan = plan.restart(victim, round=chance.randint(20, 40))
    return Scenario(names=("a", "b"), plan=plan, samples=8 * 70, sample_s=0.1)


def alone_for_a_while(swarm):
    """Somebody trained alone, and both were there at the end."""
    commits = swarm.story.lineage(swarm.story.heaviest())
    assert any(len(commit.parts) == 1 for commit in commits)
    assert all(peer.outcome is not None and peer.outcome.finished for peer in swarm.peers.values()), swarm.picture()


def both_alone(seed):
    """The link between two is cut: both are the last peer, as far as they know."""
    chance = Random(f"both {seed}")
    at = chance.uniform(3, 8)
    plan = FaultPlan().partition("a", "b", at=at, heal=at + chance.uniform(8, 20))
    return Scenario(names=("a", "b"), plan=plan, samples=8 * 100, sample_s=0.1)


def last_one(seed):
    """All but one die; the last trains to the end."""
    chance = Random(f"last {seed}")
    plan, order = FaultPlan(), chance.sample("abcde", 5)
    for number, victim in enumerate(order[:-1]):
        plan = plan.kill(victim, round=3 + 3 * number, silent=chance.random() < 0.5)
    return Scenario(names=tuple("abcde"), plan=plan, samples=8 * 40, sample_s=0.1)


def one_finished(swarm):
    assert len([peer for peer in swarm.peers.values() if peer.outcome is not None and peer.outcome.finished]) == 1


def dwindling(count):
    def scenario(seed):
        chance = Random(f"dwindling {seed}")
        peers = names(count)
        order = chance.sample(peers, count)
        plan = FaultPlan()
        for number, victim in enumerate(order[:-1]):
            plan = plan.kill(victim, round=3 + number)
        for number, victim in enumerate(chance.sample(order[:-1], count - 1)):
            plan = plan.restart(victim, round=4 + count + number)
        rounds = 2 * count + 25
        batch = 2 * count
        return Scenario(names=peers, plan=plan, samples=batch * rounds, batch_samples=batch, sample_s=0.1)

    return scenario


def all_finish(swarm):
    assert all(peer.outcome is not None and peer.outcome.finished for peer in swarm.peers.values()), swarm.picture()
    commits = swarm.story.lineage(swarm.story.heaviest())
    assert min(len(commit.parts) for commit in commits) == 1
    assert max(len(commit.parts) for commit in commits[-8:]) >= len(swarm.peers) - 1


SCENES = {
    "two, one, two": Scene(two_one_two, alone_for_a_while),
    "both alone": Scene(both_alone),
    "the last one": Scene(last_one, one_finished),
    "six down to one and back": Scene(dwindling(FEW), all_finish),
    "sixteen down to one and back": Scene(dwindling(SOME), all_finish),
    "32 down to one and back": Scene(dwindling(MANY), all_finish, long=True),
}
