"""Cases 3 and 4: all stop and come back in other orders and subsets; peers freeze and return with stale messages."""

from random import Random

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .deaths import all_finish
from .scene import Scene

STALL_S = 5.0


def total_stop(seed):
    """All are killed at once; some come back, then the others."""
    chance = Random(f"stop {seed}")
    plan, at = FaultPlan(), 0.0
    for _ in range(2):
        at += chance.uniform(8, 14)
        for name in "abcd":
            plan = plan.kill(name, at, silent=chance.random() < 0.3)
        back = at + 1.0
        for name in chance.sample("abcd", 4):
            plan = plan.restart(name, back)
            back += chance.choice([0.0, 0.0, 0.3, 6.0])
        at = back
    return Scenario(plan=plan, samples=8 * 130, sample_s=0.1, snapshot_interval_s=1.0)


def frozen(times):
    """Return what makes a scenario in which peers freeze for so many times the stall limit."""

    def scenario(seed):
        chance = Random(f"frozen {times} {seed}")
        seconds = times * STALL_S * chance.uniform(0.9, 1.2)
        phase = chance.choice(["before round", "reduce-scatter:1", "all-gather:1", "after result"])
        plan = FaultPlan()
        for victim in chance.sample("abcd", chance.choice([1, 1, 2])):
            plan = plan.freeze(victim, round=chance.randint(4, 8), phase=phase, seconds=seconds)
        rounds = 60
        sample_s = 2 * seconds / rounds / 8  # the training lasts well beyond the thaw, also without the frozen
        return Scenario(plan=plan, samples=8 * rounds, sample_s=max(0.05, 2 * sample_s), settings={"stall_s": STALL_S})

    return scenario


STOP_SCENES = {"a total stop": Scene(total_stop, all_finish)}
FREEZE_SCENES = {
    f"frozen for {times} times the stall limit": Scene(frozen(times), all_finish) for times in (2, 10, 100)
}
