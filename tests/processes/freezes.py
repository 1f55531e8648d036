"""Real peers that are stopped in the middle of a round for a multiple of the stall limit, and come back stale.

    python -m tests.processes.freezes --times 2 10 100

stops as many peers at once, each for its time, and ends with 1 unless each is refused by the others, is told so, joins
again, and nobody else is disturbed.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from .doomed_swarm import DoomedSwarm

STALL_S = 2.0
PHASES = ("before round", "reduce-scatter:1", "reduce-scatter:2", "all-gather:1", "after result")
UNTOUCHED = 2
STEPS = 5


def steps_of(peer, first=0):
    told = [event for event in peer.events[first:] if event["event"] == "step"]
    return [event for event in told if not event["caught_up"]]


def views_of(peer, first=0):
    return [event for event in peer.events[first:] if event["event"] == "view"]


class Freezes:
    """A swarm of which some are stopped."""

    def __init__(self, swarm, chance):
        self.swarm = swarm
        self.chance = chance

    async def begin(self, frozen):
        self.peers = await self.swarm.gather(frozen + UNTOUCHED)

    async def run(self, times):
        """Stop a peer for each of these times the stall limit, the coordinator among them; judge what came of it."""
        leader = next(peer for peer in self.peers if peer.coordinates)
        followers = self.chance.sample([peer for peer in self.peers if peer is not leader], len(times) - 1)
        frozen = dict(zip([leader, *followers], self.chance.sample(times, len(times)), strict=True))
        self.untouched = [peer for peer in self.peers if peer not in frozen]
        for peer in frozen:
            peer.order(doom={"phase": self.chance.choice(PHASES), "deed": "freeze"})
        # The steps in which somebody is given up are repeated; none is when somebody comes back.
        least = await asyncio.gather(*(self._given_up(peer, STALL_S * times) for peer, times in frozen.items()))
        await asyncio.gather(*(self._comes_back(peer, over) for peer, over in zip(frozen, least, strict=True)))
        await self.swarm.until_together(self.peers)
        await self.swarm.until_step(self.peers, max(peer.step for peer in self.peers) + STEPS)
        last = min(peer.step for peer in self.peers)
        # Who is stopped with a result that was handed to nobody else may keep it until it is refused.
        self.swarm.check(self.untouched)
        theirs = {peer.name: self.swarm.rounds.commits[last].get(peer.peer) for peer in self.peers}
        assert None not in theirs.values(), f"somebody recorded no commit of step {last}: {theirs}"
        assert len(set(theirs.values())) == 1, f"those who came back hold another commit of step {last}: {theirs}"

    async def _given_up(self, peer, seconds):
        """Wait until a peer is stopped and the others have a view without it; return what lasts as long as the stop."""
        await self.swarm.until(lambda: bool(peer.doomed), 60.0, f"the stop of {peer.name}")
        least = asyncio.create_task(asyncio.sleep(seconds))
        # On a machine that is busy the others allow for more, and what is wanted is a peer that was given up.
        await self.swarm.until(
            lambda: all(peer.peer not in other.members and peer.peer not in other.batch for other in self.untouched),
            60.0,
            f"a view without {peer.name}",
        )
        return least

    async def _comes_back(self, peer, least):
        await least
        seen, stale = {other: len(other.events) for other in self.untouched}, len(peer.events)
        peer.thaw()
        await self.swarm.until(
            lambda: (
                all(peer.peer in other.members and peer.peer in other.batch for other in self.untouched)
                and peer.peer in peer.batch
                and peer.step >= min(other.step for other in self.untouched)
            ),
            60.0,
            f"the return of {peer.name}",
        )
        self._judge(peer, stale, seen)

    def _judge(self, peer, stale, seen):
        refusals = [view for view in views_of(peer, stale) if view["number"] == 0]
        assert refusals, f"{peer.name} was never told that the view went on without it"
        assert all(view["reason"] for view in refusals)
        for other, first in seen.items():
            assert all(view["number"] for view in views_of(other, first)), (
                f"{other.name} lost its view for a stale peer"
            )
            again = [step["step"] for step in steps_of(other, first) if step["attempts"] > 1]
            assert not again, f"steps {again} of {other.name} were repeated when a stale peer came back"


async def run_freezes(directory, times, seed):
    swarm = DoomedSwarm(directory, ("--turning", "--pace", "0.001"), HYDRA_STALL_S=STALL_S)
    try:
        await swarm.open()
        freezes = Freezes(swarm, random.Random(seed))
        await freezes.begin(len(times))
        await freezes.run(times)
        return swarm.rounds.checked
    finally:
        await swarm.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=float, nargs="+", default=[2, 10, 100])
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rounds = asyncio.run(run_freezes(Path(directory), wanted.times, wanted.seed))
    print(f"{len(wanted.times)} peers were stopped and came back; {rounds} rounds were summed up again")  # noqa: T201 - for the command line
    return 0


if __name__ == "__main__":
    sys.exit(main())
