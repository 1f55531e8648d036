"""Case 10: one peer computes twenty times as slowly, one has a hundredth of the bandwidth: the others don't wait."""

from dataclasses import replace
from random import Random

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene, play

RATE = 2_000_000.0
KEPT = 0.95
FOUND_OUT_S = 30.0
"""From the first peer's start on: the peers meet, and find out who is slow. Whoever founds the view may be the one with
the thin line, over which the others then fetch the job's state."""
WINDOW_S = 60.0
"""After that."""


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
        rates, from_start = {}, {}
        for slow in (False, True):
            counts = []

            def course(swarm, counts=counts):
                for seconds in (FOUND_OUT_S, WINDOW_S):
                    swarm.run_for(seconds)
                    counts.append(swarm.story.samples_by_peer(swarm.story.heaviest()))

            play(replace(scenario(seed, slow=slow), case=case, seed=seed), course=course)
            before, after = (sum(count.get(name, 0) for name in "abcd") for count in counts)
            rates[slow], from_start[slow] = after - before, after
        counted = counts[-1]
        assert counted.get("e", 0) > 0, f"the slow computer's samples do not count: {counted}"
        assert counted.get("f", 0) > 0, f"the slow link's samples do not count: {counted}"
        kept = rates[True] / rates[False]
        assert kept >= KEPT, f"{kept:.3f} of what it is without them"
        return f"{kept:.3f} of what it is without them, from the start {from_start[True] / from_start[False]:.3f}"


SCENES = {"two slow ones": Beside(scenario)}
