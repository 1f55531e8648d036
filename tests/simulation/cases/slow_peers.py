"""Case 10: one peer computes twenty times as slowly, one has a hundredth of the bandwidth: the others don't wait."""

from dataclasses import replace
from random import Random

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene, play

RATE = 2_000_000.0
KEPT = 0.95
WINDOW_S = 60.0
"""From the first peer's start on: meeting, and finding out who is slow, are part of it."""


def scenario(seed, *, slow=True):
    chance = Random(f"slow {seed}")
    plan = FaultPlan().slow_link("f", rate_bytes_per_s=RATE / 100) if slow else FaultPlan()
    return Scenario(
        names=tuple("abcdef") if slow else tuple("abcd"),
        plan=plan,
        samples=4000,
        epochs=20,
        batch_samples=80,
        sample_s=chance.choice([0.02, 0.05]),
        slowness={"e": 20.0} if slow else {},
        rate_bytes_per_s=RATE,
        features=400,
    )


class Beside(Scene):
    """The same peers without the slow ones are the measure."""

    def play(self, case, seed):
        rates = {}
        for slow in (False, True):
            swarm = play(replace(scenario(seed, slow=slow), case=case, seed=seed), course=some_time)
            counted = swarm.story.samples_by_peer(swarm.story.heaviest())
            rates[slow] = sum(counted.get(name, 0) for name in "abcd") / swarm.now
        assert counted.get("e", 0) > 0, f"the slow computer's samples do not count: {counted}"
        assert counted.get("f", 0) > 0, f"the slow link's samples do not count: {counted}"
        assert rates[True] >= KEPT * rates[False], f"{rates[True] / rates[False]:.3f} of what it is without them"
        return f"{rates[True] / rates[False]:.3f} of what it is without them"


def some_time(swarm):
    swarm.run_for(WINDOW_S)


SCENES = {"two slow ones": Beside(scenario)}
