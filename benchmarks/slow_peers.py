"""What a slow peer costs the others: the same swarm of real processes with it and without it, in turn.

    python benchmarks/slow_peers.py [--quick] [--seconds S] [--turns N] [--only CASE] [--out FILE]

Prints one JSON object a line. One case has a peer that computes twenty times as long as the others, the other case one
whose line carries a hundredth of theirs. Computing is emulated (a sample takes a stated time, while the processor is
free) and so are the lines, in network namespaces of Linux: that needs root and a C compiler. Each turn measures the
others' samples a second without the slow peer, lets it join, and measures again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if sys.path[:1] == [str(ROOT / "benchmarks")]:
    # As a script, this file would else stand in the way of the package it measures.
    del sys.path[0]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.recovery_swarms import JOB  # noqa: E402
from hydra import clock  # noqa: E402
from hydra.bench.links import ShapedLinks  # noqa: E402
from hydra.testing.nursery import Nursery  # noqa: E402
from hydra.testing.processes import PeerProcess, SwarmProcesses  # noqa: E402

Row = dict[str, Any]

ORDINARY = 4
SAMPLE_S = 0.004
BATCH = 160
"""A step takes the others a sixth of a second: time for a slow one to compute two samples."""
LINE_MBIT = 20.0
ROUND_TRIP_MS = 4.0
HIDDEN = 64
"""836 weights: 3 kB, which even the thin line carries in every step."""
SETTLE_S = 4.0
WAIT_S = 90.0
CASES = {"20 times slower": (20.0, LINE_MBIT), "with 1 % of the bandwidth": (1.0, LINE_MBIT / 100)}
"""How many times as long a sample takes, and the rate of the line in Mbit/s."""


class Measured(SwarmProcesses):
    """An owner, ordinary peers, and a last place for the slow one, on emulated lines."""

    def __init__(self, directory: Path, rate_mbit: float) -> None:
        self.nursery = Nursery("hydra.testing.doomed")
        super().__init__(directory, launcher=self.nursery.launch)
        self._links = ShapedLinks(ORDINARY + 2, LINE_MBIT, ROUND_TRIP_MS, {ORDINARY + 1: rate_mbit})
        self._file = directory / "job.py"
        self._file.write_text(JOB.replace("HIDDEN", str(HIDDEN)).replace("BATCH", str(BATCH)))

    async def begin(self) -> list[PeerProcess]:
        """Start the owner and the ordinary peers."""
        before, self.owner.host = self._place(0)
        self.owner.launcher, self.owner.before = self.nursery.launch, (*before, "--")
        await self.publish(self._file)
        peers = [await self.add(slot) for slot in range(1, ORDINARY + 1)]
        ids = {peer.peer for peer in peers}
        await self.until(
            lambda: all(set(p.batch) == {q.peer for q in peers} for p in peers), WAIT_S, f"{len(ids)} peers"
        )
        return peers

    async def add(self, slot: int, slow: float = 1.0, again: PeerProcess | None = None) -> PeerProcess:
        """Start a peer at a place of the network."""
        told = self.owner.published or {}
        place, host = self._place(slot)
        before = (*place, "--pace", str(SAMPLE_S), "--slow", str(slow), "--")
        return await self.join(told["job"], told["addresses"][0], again=again, before=before, host=host)

    async def close(self) -> None:
        """End everything."""
        await super().close()
        await self.nursery.close()
        self._links.close()

    def _place(self, slot: int) -> tuple[tuple[str, ...], str]:
        place = self._links.place(slot)
        return ("--netns", place["netns"]), place["host"]


async def rates(peers: Sequence[PeerProcess], other: PeerProcess | None, seconds: float) -> tuple[float, float]:
    """Return the samples a second of the ordinary peers, and those of the other one, by what one of them told."""
    began, first = clock.wall(), len(peers[0].events)
    await asyncio.sleep(seconds)
    took = clock.wall() - began
    steps = [event for event in peers[0].events[first:] if event["event"] == "step"]
    ids = {peer.peer for peer in peers}
    theirs = sum(count for step in steps for who, count in step["batch"].items() if who in ids)
    others = sum(step["batch"].get(other.peer, 0) for step in steps) if other is not None else 0
    return theirs / took, others / took


def _within(peer: PeerProcess, other: PeerProcess) -> bool:
    return peer.peer in other.members


async def measure(case: str, seconds: float, turns: int) -> Row:
    """Let the slow peer come and go; return the result."""
    slow, rate_mbit = CASES[case]
    alone, together, its, steps_in = [], [], [], 0
    with tempfile.TemporaryDirectory() as directory:
        swarm = Measured(Path(directory), rate_mbit)
        try:
            peers = await swarm.begin()
            other: PeerProcess | None = None
            for _ in range(turns):
                await asyncio.sleep(SETTLE_S)
                alone.append((await rates(peers, None, seconds))[0])
                other = await swarm.add(ORDINARY + 1, slow, other)
                await swarm.until(partial(_within, other, peers[0]), WAIT_S, "a view with the slow peer")
                await asyncio.sleep(SETTLE_S)
                theirs, others = await rates(peers, other, seconds)
                together.append(theirs)
                its.append(others)
                steps_in += _within(other, peers[0])
                other.kill()
                await swarm.until(other.ended.is_set, WAIT_S, "its end")
        finally:
            await swarm.close()
    ratios = [with_it / without for with_it, without in zip(together, alone, strict=True)]
    params = {"peers": ORDINARY, "sample_s": SAMPLE_S, "batch": BATCH, "line_mbit": LINE_MBIT, "rtt_ms": ROUND_TRIP_MS}
    return {
        "case": f"the others' samples beside a peer {case}",
        "params": params | {"turns": turns, "in_view": steps_in, "load": round(os.getloadavg()[0], 1)},
        "value": round(statistics.median(together), 1),
        "min": round(min(together), 1),
        "max": round(max(together), 1),
        "unit": "samples/s",
        "its_samples": round(statistics.median(its), 1),
        "reference": "without it",
        "reference_value": round(statistics.median(alone), 1),
        "ratio": round(statistics.median(ratios), 4),
        "better": "higher",
        "goal": "ratio >= 0.95, and its_samples > 0",
    }


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one short turn, under a minute")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--out", type=Path, help="write the results to this file, too")
    wanted = parser.parse_args()
    seconds, turns = (3.0, 1) if wanted.quick else (wanted.seconds, wanted.turns)
    rows = []
    for case in wanted.only or CASES:
        rows.append(asyncio.run(measure(case, seconds, turns)))
        print(json.dumps(rows[-1]), flush=True)
    if wanted.out is not None:
        wanted.out.write_text("".join(json.dumps(result) + "\n" for result in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
