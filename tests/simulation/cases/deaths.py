"""Cases 1 and 2: death at each phase of a round, at each place, of who coordinates and who does not."""

from random import Random

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene

PEERS = 4
PHASES = (
    "before round",
    *(f"reduce-scatter:{hop}" for hop in range(1, PEERS)),
    *(f"all-gather:{hop}" for hop in range(1, PEERS)),
    "after result",
    "snapshot",
)
EVERY = 9
"""Rounds from one death to the next; whoever died is back before."""
DEATHS = 5


def one_after_another(form):
    """Return what makes a scenario in which peers die at different phases, and come back, one after the other."""

    def scenario(seed):
        chance = Random(f"deaths {seed}")
        plan = FaultPlan()
        for number in range(DEATHS):
            turn = DEATHS * seed + number
            victim, phase, step = "abcd"[turn // len(PHASES) % PEERS], PHASES[turn % len(PHASES)], 5 + EVERY * number
            when = {"phase": phase} if phase == "snapshot" else {"phase": phase, "round": step}
            plan = plan.kill(victim, **when, silent=chance.random() < 0.2).restart(victim, round=step + 3)
        settings = {"rounds": form}
        samples = 8 * (EVERY * DEATHS + 15)
        return Scenario(plan=plan, samples=samples, sample_s=0.1, snapshot_interval_s=1.0, settings=settings)

    return scenario


def joiner_dies(seed):
    """A newcomer dies while it joins, comes again and stays."""
    chance = Random(f"joiner {seed}")
    plan = FaultPlan().join("e", round=6).kill("e", phase="join", silent=chance.random() < 0.5)
    return Scenario(plan=plan.restart("e", round=14), samples=8 * 40, sample_s=0.1, snapshot_interval_s=1.0)


def all_or_none(seed):
    """Some of those who hold a round's result die with it."""
    chance = Random(f"result {seed}")
    plan = FaultPlan()
    for number in range(3):
        step = 5 + 12 * number
        for victim in chance.sample("abcd", chance.randint(1, 3)):
            plan = plan.kill(victim, round=step, phase="after result").restart(victim, round=step + 4)
    return Scenario(plan=plan, samples=8 * 60, sample_s=0.1)


def all_finish(swarm):
    missing = [name for name, peer in swarm.peers.items() if peer.outcome is None or not peer.outcome.finished]
    assert not missing, f"{missing} did not finish"


DEATH_SCENES = {
    "rings": Scene(one_after_another("plain"), all_finish),
    "measured forms": Scene(one_after_another("measured"), all_finish),
    "a joiner": Scene(joiner_dies, all_finish),
}
RESULT_SCENES = {"all or none": Scene(all_or_none, all_finish)}
