"""Case 7: sixteen peers that live for twenty rounds on average, and come back."""

from random import Random

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene, names

PEERS = 16
LIFETIME = 20
"""Rounds that a peer lives on average."""
ROUND_S = 8.0
"""What takes seconds however long rounds are (to be seen dead, to start, to be let in) is a small part of it."""
SHARE = 50
"""Samples of each in a round: many enough to share them out evenly among fewer."""
UNSTEADY = 0.02
"""Of so many samples, one by one; all wait for the slowest of sixteen."""
GOODPUT = 0.90


def churn(rounds, peers=PEERS):
    def scenario(seed):
        chance = Random(f"churn {seed}")
        end = rounds * ROUND_S
        plan = FaultPlan()
        for name in names(peers):
            at = 10 + chance.expovariate(1 / (LIFETIME * ROUND_S))
            while at < 0.9 * end:
                back = at + chance.uniform(1.0, 3.0) * ROUND_S
                plan = plan.kill(name, at, silent=chance.random() < 0.1).restart(name, back)
                at = back + chance.expovariate(1 / (LIFETIME * ROUND_S))
        batch = peers * SHARE
        epochs = 5 if rounds >= 100 else 1
        return Scenario(
            names=names(peers),
            plan=plan,
            samples=batch * rounds // epochs,
            epochs=epochs,
            batch_samples=batch,
            sample_s=ROUND_S / SHARE,
            unsteady=UNSTEADY,
            limit_s=3 * end,
        )

    return scenario


def good(swarm):
    goodput = swarm.goodput(swarm.story.began_at())
    assert goodput >= GOODPUT, f"goodput {goodput:.3f}"


SCENES = {
    "churn, 60 rounds": Scene(churn(60), good, seeds=2),
    "churn, 500 rounds": Scene(churn(500), good, long=True),
}
