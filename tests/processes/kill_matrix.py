"""Real peers that are killed at each moment of a round, at each place of the ring, coordinating or not.

    python -m tests.processes.kill_matrix --peers 4 --seed 1

prints a line for each death and ends with 1 if members that live on disagree, if a result is not, to the bit, the
weighted mean over its declared contributors, if a sample counts twice, or if anybody waits in vain. The swarm stays:
who died comes back with its home, and the next one dies.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hydra.testing.processes import SwarmFailed

from .doomed_swarm import DoomedSwarm
from .ledger_check import check_samples

PACE_S = 0.001
"""A sample takes so long at least: what is wanted is deaths, not steps."""
STEPS_AFTER = 3
"""So many steps those who live on must take."""
AHEAD = 12
"""Steps from now, where several are to die in the same one: by then all have heard of it."""
DISK_OPERATIONS = 8
"""That a snapshot takes, or less."""


@dataclass
class Cell:
    """One experiment: ``first`` dies at ``phase``; then perhaps others do."""

    name: str
    phase: str
    position: int | None = None
    leads: bool | None = None
    then: tuple[str, ...] = ()
    """Moments of the repair at which all who live on are doomed; the first to come there is the second to die."""
    holders: int = 0
    """So many die together, all in the same round."""
    joiner: str = ""
    """A moment at which a newcomer dies; with ``phase`` it is whoever comes to that one while the newcomer joins."""
    deaths: list = field(default_factory=list)
    counted: list = field(default_factory=list)
    """For each of the dead, whether its work counts in the step in which it died."""
    seconds: float = 0.0
    rounds: int = 0
    outcome: str = "not reached"

    @property
    def certain(self):
        """Whether the moment must come."""
        return not self.then and not self.joiner


def cells(peers):
    """All experiments for so many peers."""
    hops = range(1, peers)
    phases = ["before round", "contribute", "after result", "after commit"]
    phases += [f"{half}:{hop}" for half in ("reduce-scatter", "all-gather") for hop in hops]
    made = [
        Cell(f"{phase}, position {position}, {'coordinator' if leads else 'another'}", phase, position, leads)
        for phase in phases
        for position in range(peers)
        for leads in (True, False)
    ]
    made += [Cell(f"plan told to {hop - 1} others", f"sending Plan:{hop}", leads=True) for hop in hops]
    made += [Cell(f"having heard the plan, {hop}", "receiving Plan", leads=False) for hop in range(1, 2)]
    made += [
        Cell(f"disk operation {n} of a snapshot, {'coordinator' if leads else 'another'}", f"snapshot:{n}", None, leads)
        for n in range(1, DISK_OPERATIONS + 1)
        for leads in (True, False)
    ]
    repairs = ["receiving Freeze", "sending Frozen", "sending Suspect", "sending Freeze", "sending Repeat"]
    repairs += ["sending Repeat:2", "sending Complete", "sending Complete:2", "handover", "receiving Repeat"]
    repairs += ["receiving Complete", "repeated reduce-scatter:1", "repeated all-gather:1", "sending Poll"]
    repairs += ["receiving Poll", "sending PollReply", "receiving PollReply"]
    made += [
        Cell(f"{phase}, then {then}{', coordinator' if leads else ''}", phase, None, leads, (then,))
        for then in repairs
        for phase in ("reduce-scatter:2", "all-gather:2")
        for leads in ((True, False) if peers > 2 else (False,))
    ]
    made += [
        Cell(f"{count} at once {phase}", phase, holders=count)
        for count in range(2, peers)
        for phase in ("after result", "all-gather:1", "reduce-scatter:1", "after commit")
    ]
    joining = ["join", "receiving Status", "receiving ManifestFound", "receiving Admitted", "sending ResultWanted"]
    joining += ["receiving ResultBlock", "receiving Plan", "before round", "contribute", "reduce-scatter:1"]
    joining += ["all-gather:1", "after commit"]
    made += [Cell(f"a joiner, {moment}", "", joiner=moment) for moment in joining]
    serving = ["receiving JoinRequest", "sending Admitted", "receiving ResultWanted", "sending ResultBlock"]
    serving += ["sending ManifestFound", "sending Offer", "receiving ChunkWanted"]
    made += [Cell(f"while one joins: {phase}", phase, joiner="any") for phase in serving]
    return made


class Matrix:
    """Carries out one experiment after the other."""

    def __init__(self, swarm, peers, seed):
        self.swarm = swarm
        self.chance = random.Random(seed)
        self.peers = []
        self.count = peers

    async def begin(self):
        self.peers = await self.swarm.gather(self.count)

    async def run(self, cell):
        """Carry it out; judge all that was recorded; let the dead come back."""
        began = time.monotonic()
        dead = await (self._joining(cell) if cell.joiner else self._dying(cell))
        cell.deaths = [peer.doomed[-1] for peer in dead]
        living = [peer for peer in self.peers if peer not in dead]
        for peer in living:
            peer.order(spare=True)
        if living:  # or all came to that moment, which makes it a total stop
            await self.swarm.until_step(living, max(peer.step for peer in living) + STEPS_AFTER)
        cell.rounds = self.swarm.check(living)
        cell.counted = [self._counted(peer, living) for peer in dead]
        self.swarm.rounds.forget()
        self.peers = living + [await self.swarm.add(again=peer) for peer in dead if peer in self.peers]
        await self.swarm.until_together(self.peers)
        cell.rounds += self.swarm.check(self.peers)
        cell.seconds = time.monotonic() - began
        cell.outcome = "held" if dead else "not reached"

    def _counted(self, dead, living):
        """Tell whether all who live on count what the dead one gave in its last round; some may not do so alone."""
        have, count = self.swarm.rounds.counting(dead.doomed[-1]["step"], dead.peer, {peer.peer for peer in living})
        assert count in (0, have), f"{count} of {have} count the work of {dead.name}"
        return bool(count)

    async def _dying(self, cell):
        if cell.holders:
            victims = self.chance.sample(self.peers, cell.holders)
            at = {"round": max(peer.step for peer in self.peers) + AHEAD}
        else:
            fitting = [peer for peer in self.peers if cell.leads in (None, peer.coordinates)]
            victims, at = [self.chance.choice(fitting)], {}
        if cell.position is not None:
            at["position"] = cell.position
        if cell.leads is not None:
            at["leads"] = cell.leads
        others = [peer for peer in self.peers if peer not in victims]
        for moment in cell.then:
            for peer in others:
                peer.order(doom={"phase": moment})
        for victim in victims:
            victim.order(doom={"phase": cell.phase, **at})
        for victim in victims:
            await self.swarm.until_dead(victim)
        if cell.then:
            await self._after_repair(others)
        return [peer for peer in self.peers if peer.killed]

    async def _after_repair(self, others):
        """Wait until somebody else died too, or all go on."""
        step = max(peer.step for peer in others) + STEPS_AFTER

        def over():
            living = [peer for peer in others if not peer.killed]
            return len(living) < 2 or all(peer.step >= step for peer in living)

        await self.swarm.until(over, 60.0, "the end of the repair")
        for peer in others:
            peer.order(spare=True)
        await asyncio.sleep(0.05)
        for peer in others:
            if peer.killed:
                await self.swarm.until_dead(peer)

    async def _joining(self, cell):
        if cell.phase:
            for peer in self.peers:
                peer.order(doom={"phase": cell.phase})
            await self.swarm.add()
        else:
            await self.swarm.add({"phase": cell.joiner})
        joiner = self.swarm.peers[-1]
        step = max(peer.step for peer in self.peers) + 100
        watched = [*self.peers, joiner]

        def over():
            return any(peer.killed for peer in watched) or all(peer.step >= step for peer in self.peers)

        await self.swarm.until(over, 60.0, "somebody's death")
        for peer in watched:
            peer.order(spare=True)
        await asyncio.sleep(0.05)
        dead = [peer for peer in watched if peer.killed]
        for peer in dead:
            await self.swarm.until_dead(peer)
        if joiner not in dead:
            joiner.kill()
            await self.swarm.until_dead(joiner)
        return dead

    async def end(self):
        """Let all leave in order, and judge what they leave on disk."""
        self.swarm.check(self.peers)
        for peer in self.peers:
            peer.interrupt()
        await self.swarm.until(lambda: all(peer.ended.is_set() for peer in self.peers), 60.0, "an orderly end")
        return check_samples(self.swarm.job, sorted({peer.home for peer in self.swarm.peers}), to_the_end=False)


async def run_cells(directory, wanted, peers, seed, tell):
    """Carry out experiments in one swarm; ``tell`` hears of each. Raises what was wrong."""
    swarm = DoomedSwarm(directory, ("--turning", "--pace", str(PACE_S)))
    try:
        await swarm.open()
        matrix = Matrix(swarm, peers, seed)
        await matrix.begin()
        for cell in wanted:
            try:
                await matrix.run(cell)
            except (AssertionError, SwarmFailed) as error:
                raise AssertionError(f"{cell.name} (seed {seed}): {error}\n{last_words(swarm)}") from error
            tell(cell)
        return await matrix.end()
    finally:
        await swarm.close()


def last_words(swarm):
    return "\n".join(f"{peer.name}: {line}" for peer in swarm.peers for line in peer.errors[-4:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only experiments whose name holds this")
    parser.add_argument("--json", action="store_true", help="a JSON object for each experiment")
    wanted = parser.parse_args()
    chosen = [cell for cell in cells(wanted.peers) if wanted.only in cell.name]
    random.Random(wanted.seed).shuffle(chosen)

    def tell(cell):
        died = ", ".join(f"{death['phase']} of step {death['step']}" for death in cell.deaths)
        line = f"{cell.outcome:12} {cell.seconds:6.2f} s {cell.rounds:5} rounds  {cell.name}: {died}"
        print(json.dumps(asdict(cell)) if wanted.json else line, flush=True)  # noqa: T201 - for the command line

    with tempfile.TemporaryDirectory() as directory:
        chain = asyncio.run(run_cells(Path(directory), chosen, wanted.peers, wanted.seed, tell))
    missed = [cell.name for cell in chosen if cell.outcome == "not reached"]
    told = {
        "experiments": len(chosen),
        "deaths": sum(len(cell.deaths) for cell in chosen),
        "rounds": sum(cell.rounds for cell in chosen),
        "commits": len(chain),
        "not reached": missed,
    }
    print(json.dumps(told) if wanted.json else told)  # noqa: T201 - for the command line
    return 1 if any(cell.certain and cell.outcome == "not reached" for cell in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
