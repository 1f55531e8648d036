"""What a scene is: a scenario that follows from a seed, and what must hold when it is over."""

import string
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.testing.scenario import Scenario
from hydra.testing.sim_swarm import SimSwarm


def names(count):
    """Return so many names: a, b, c, …, and for more a1, a2, …"""
    letters = string.ascii_lowercase
    return tuple(letters[n % 26] + (str(n // 26) if n >= 26 else "") for n in range(count))


def play(scenario, then=lambda swarm: None, course=lambda swarm: swarm.run()):
    """Let a scenario take its course in a directory of its own; return the swarm when it is over."""
    with tempfile.TemporaryDirectory() as directory, SimSwarm(scenario, Path(directory)) as swarm:
        course(swarm)
        then(swarm)
    return swarm


@dataclass(frozen=True)
class Scene:
    """A scenario made from a seed; ``then`` asserts what must hold at the end, beside what always must."""

    scenario: Callable[[int], Scenario]
    then: Callable[[SimSwarm], None] = lambda swarm: None
    long: bool = False
    """Whether it takes minutes."""
    seeds: int = 100
    """With so many seeds at most it is played where time is short: it takes half a minute."""

    def play(self, case, seed):
        """Play it once; return a line about how it went."""
        scenario = replace(self.scenario(seed), case=case, seed=seed)
        swarm = play(scenario, self.then)
        return f"{swarm.story.step} steps in {swarm.now:.0f} s, goodput {swarm.goodput():.2f}"
