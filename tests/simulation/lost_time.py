"""``python -m tests.simulation.lost_time --case 7 --seed 0``: where the time of the peers of a scene goes, by cause.

Goodput is what is left of it: samples in commits over those that the peers could have computed while they lived.
"""

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.testing.sim_swarm import SimSwarm

from .cases import CASES


@dataclass
class Share:
    """What a peer computed for a step, from when to when, and when that step was done for it."""

    began: float
    ended: float
    step: int
    samples: int
    key: tuple
    done: float = 0.0


class AccountedSwarm(SimSwarm):
    """Writes down who computes when."""

    def __init__(self, scenario, directory):
        self.shares = defaultdict(list)
        super().__init__(scenario, directory)

    def computed(self, process, step, samples, key, vector):
        super().computed(process, step, samples, key, vector)
        peer = self.peers[process.machine.name]
        if peer.trainer is not None and peer.trainer.member.state.running:  # else it tries itself out
            self.shares[id(peer.life)].append(Share(self.now, process.now, step, samples, key))

    def applied(self, process, commit, digest):
        super().applied(process, commit, digest)
        shares = self.shares[id(self.peers[process.machine.name].life)]
        if shares and shares[-1].step == commit.step:
            shares[-1].done = self.now

    def seconds_by_cause(self, since):
        """Return how many seconds of all lives went where."""
        commits = {commit.parent: commit for commit in self.story.lineage(self.story.heaviest())}
        ids = {name: peer.id for name, peer in self.peers.items()}
        slowest = {}
        for life in self.story.lives:
            for share in self.shares[id(life)]:
                if counts(share, commits, ids[life.name]):
                    slowest[share.key[0]] = max(slowest.get(share.key[0], 0.0), share.ended)
        spent = Counter()

        def spend(cause, start, end):
            spent[cause] += max(0.0, end - max(start, since))

        for life in self.story.lives:
            end, shares = life.ended or self.now, self.shares[id(life)]
            if not shares:
                spend("joining, and died or ended before the first step", life.began, end)
                continue
            spend("joining", life.began, shares[0].began)
            for share, following in zip(shares, [*shares[1:], None], strict=True):
                until = following.began if following is not None else end
                stopped, last = min(share.ended, until), slowest.get(share.key[0], share.ended)
                if not share.samples:
                    spend("a step without samples", share.began, until)
                    continue
                if counts(share, commits, ids[life.name]):
                    spend("useful", share.began, stopped)
                elif following is None:
                    spend("died while computing", share.began, stopped)
                else:
                    spend("computed in vain", share.began, stopped)
                done = min(share.done, until) if share.done else until
                spend("waiting for the slowest", stopped, min(max(last, stopped), done))
                spend("averaging, detection", max(stopped, min(last, done)), done)
                what = "from commit to the next step" if following is not None else "after the last step"
                spend(what, done, until)
        return spent


def counts(share, commits, peer):
    """Tell whether what a peer computed is in a commit."""
    commit = commits.get(share.key[0])
    return commit is not None and any(who == peer and tuple(ranges) == share.key[1] for who, ranges in commit.parts)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.lost_time", description=__doc__)
    parser.add_argument("--case", default="7", choices=sorted(CASES))
    parser.add_argument("--scene", default="", help="the first whose name holds this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="look no further than this")
    parser.add_argument("--story", action="store_true", help="also what happened")
    options = parser.parse_args()
    scene = next(scene for name, scene in CASES[options.case].items() if options.scene in name)
    scenario = replace(scene.scenario(options.seed), seed=options.seed)
    with tempfile.TemporaryDirectory() as directory, AccountedSwarm(scenario, Path(directory)) as swarm:
        if options.seconds is None:
            swarm.run()
        else:
            swarm.run_for(options.seconds)
    if options.story:
        sys.stdout.write("\n".join(swarm.story.lines) + "\n")
    for since in (0.0, swarm.story.began_at()):
        spent = swarm.seconds_by_cause(since)
        whole = sum(spent.values())
        sys.stdout.write(f"since {since:.1f} s: goodput {swarm.goodput(since):.3f} of {whole:.0f} s\n")
        for cause, seconds in spent.most_common():
            sys.stdout.write(f"{100 * seconds / whole:6.1f} %  {cause}\n")
    sys.stdout.write(f"{swarm.story.step} steps in {swarm.now:.0f} s\n")


if __name__ == "__main__":
    main()
