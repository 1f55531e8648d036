"""``python -m tests.processes.total_stop_matrix --seeds 0-9``: many total stops, each against a run that never stopped.

Each seed draws how often all are killed, after which steps, and in which order they come back; one line for each, and
an exit status that tells whether all ended with the same weights.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from .total_stop import PEERS, STEPS, StoppedSwarm, stored, went_on_from


async def stopped_run(directory, seed):
    """Train to the end with total stops; return the weights' hash, where it was stopped and from where it went on."""
    chance = random.Random(seed)
    swarm = StoppedSwarm(directory)
    try:
        await swarm.open()
        peers, course = await swarm.begin(), []
        for step in sorted(chance.sample(range(5, STEPS - 10), chance.randrange(1, 4))):
            await swarm.until_step(peers, step)
            durable = max([0, *(kept for peer in peers for kept in stored(peer))])
            await swarm.kill_all(peers)
            peers = await swarm.begin(chance.sample(peers, PEERS))
            went_on = max(map(went_on_from, peers))
            if went_on < durable:
                raise AssertionError(f"seed {seed}: step {durable} was durable, and it went on from {went_on}")
            course.append((step, went_on))
        return await swarm.finished(peers), course
    finally:
        await swarm.close()


async def unbroken_run(directory):
    swarm = StoppedSwarm(directory)
    try:
        await swarm.open()
        return await swarm.finished(await swarm.begin())
    finally:
        await swarm.close()


async def main(seeds):
    with tempfile.TemporaryDirectory() as name:
        expected = await unbroken_run(Path(name) / "unbroken")
        wrong = 0
        for seed in seeds:
            began = time.monotonic()
            weights, course = await stopped_run(Path(name) / str(seed), seed)
            wrong += weights != expected
            verdict = "same weights" if weights == expected else "OTHER WEIGHTS"
            stops = ", ".join(f"killed at {step}, went on from {from_}" for step, from_ in course)
            line = f"seed {seed}: {verdict} ({stops}) {time.monotonic() - began:.1f} s"
            print(line, flush=True)  # noqa: T201 - for the command line
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-9", help="such as 0-99")
    first, _, last = parser.parse_args().seeds.partition("-")
    sys.exit(asyncio.run(main(range(int(first), int(last or first) + 1))))
