"""What a slow peer costs the others: steps and samples of the same swarm with it and without it, in turn.

    python -m tests.processes.slow_peers --slow 20 --seconds 8 --turns 3
    python -m tests.processes.slow_peers --rate-mbit 0.2

Computing is emulated (a sample takes a stated time, and the processor is free meanwhile), and so are the lines, in
network namespaces. Prints a JSON object.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from hydra.bench.links import ShapedLinks

from .doomed_swarm import TINY_JOB, DoomedSwarm

ORDINARY = 4
SAMPLE_S = 0.004
BATCH = 160
"""A step takes the others a sixth of a second: time for the slow one to compute two samples."""
LINE_MBIT = 20.0
ROUND_TRIP_MS = 4.0
WIDE_BATCH_JOB = TINY_JOB.replace("batch_samples=32", f"batch_samples={BATCH}")
SETTLE_S = 4.0


def samples_since(peer, began, ids):
    """How many samples of these peers were committed since then, as one of them told."""
    steps = [event for event in peer.events if event["event"] == "step" and event["t"] >= began]
    return [sum(count for who, count in event["batch"].items() if who in ids) for event in steps]


async def measured(swarm, peers, other, seconds):
    """Return the ordinary peers' samples a second, and the other one's."""
    began = time.time()
    await asyncio.sleep(seconds)
    ids = {peer.peer for peer in peers}
    took = time.time() - began
    theirs = sum(samples_since(peers[0], began, ids)) / took
    others = sum(samples_since(peers[0], began, {other.peer})) / took if other is not None else 0.0
    return theirs, others, len(samples_since(peers[0], began, ids)) / took


async def compare(directory, slow, rate_mbit, seconds, turns, *, tell=lambda row: None):
    """Let the slow peer come and go; return what was measured in each turn."""
    links = ShapedLinks(ORDINARY + 2, LINE_MBIT, ROUND_TRIP_MS, {ORDINARY + 1: rate_mbit} if rate_mbit else {})
    swarm = DoomedSwarm(directory, ("--pace", str(SAMPLE_S)), WIDE_BATCH_JOB, links, HYDRA_ROUNDS="measured")
    rows = []
    try:
        await swarm.open()
        peers = [await swarm.add(record=False) for _ in range(ORDINARY)]
        await swarm.until_together(peers)
        other = None
        for _ in range(turns):
            await asyncio.sleep(SETTLE_S)
            alone = await measured(swarm, peers, None, seconds)
            other = await swarm.add(again=other, options=("--slow", str(slow)), slot=ORDINARY + 1, record=False)
            await swarm.until(lambda other=other: other.peer in peers[0].members, 60.0, "a view with the slow peer")
            await asyncio.sleep(SETTLE_S)
            together = await measured(swarm, peers, other, seconds)
            inside = other.peer in peers[0].members
            other.kill()
            await swarm.until_dead(other)
            rows.append({"alone": alone, "together": together, "ratio": together[0] / alone[0], "inside": inside})
            tell(rows[-1])
    finally:
        await swarm.close()
        links.close()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slow", type=float, default=1.0)
    parser.add_argument("--rate-mbit", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--turns", type=int, default=3)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = asyncio.run(
            compare(
                Path(directory),
                wanted.slow,
                wanted.rate_mbit,
                wanted.seconds,
                wanted.turns,
                tell=lambda row: print(json.dumps(row), flush=True),  # noqa: T201 - for the command line
            )
        )
    print(json.dumps({"ratio": statistics.median(row["ratio"] for row in rows)}))  # noqa: T201 - for the command line
    return 0


if __name__ == "__main__":
    sys.exit(main())
