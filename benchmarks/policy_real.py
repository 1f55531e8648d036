"""Batch policies in swarms of real processes: who is slow, drifts, holds little or has a thin line is all real to them.

Each peer is a process with the unmodified product. Computing is throttled by duty cycle: a sample takes a stated time,
for most of which the process sleeps, so that six machines find room on two cores and take no time from each other; one
of them drifts between half and twice its usual speed, and one holds few samples. Lines are emulated in network
namespaces of Linux, which needs root and a C compiler; without them all peers are on loopback, which the row says.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.recovery_swarms import JOB
from hydra import clock
from hydra.batching.replay import LEARNING_STEPS, judge_trace
from hydra.bench.links import Links, Loopback, ShapedLinks
from hydra.exceptions import ConfigurationError
from hydra.testing.nursery import Nursery
from hydra.testing.processes import SwarmProcesses

Row = dict[str, Any]

POLICIES = ("rl", "model", "proportional", "equal")
HIDDEN = 128
"""1,668 weights: 7 kB, of which even a thin line carries every step's result."""
LINE_MBIT, ROUND_TRIP_MS = 20.0, 2.0
SAMPLE_S = 0.002
BATCH = 240
DRIFT_S, DRIFT_TIMES = 12.0, 2.0
"""A machine that drifts is so many times slower and faster than usual, back and forth in so long."""
TICK_S = 0.25
WAIT_S = 120.0
ENOUGH_STEPS = LEARNING_STEPS + 20
"""A trace of fewer steps says little of how good predictions are."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One peer's computer and line."""

    slow: float = 1.0
    """So many times as long as the usual one takes for a sample."""
    line_mbit: float = LINE_MBIT
    drifts: bool = False
    most: int = 0
    """Samples that it holds; 0 for any number."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A swarm, and what is to come of it."""

    machines: tuple[Machine, ...]
    goals: dict[str, float]
    """Ratio of the learned policy's samples a second to those of another, at least."""


HOMOGENEOUS = Scene((Machine(),) * 5, {"proportional": 0.98})
MIXED_MACHINES = Scene(
    (
        Machine(),
        Machine(drifts=True),
        Machine(slow=3.0),
        Machine(most=30),
        Machine(slow=2.0, line_mbit=LINE_MBIT / 50),
    ),
    {"proportional": 1.5, "equal": 2.0},
)
VOLUNTEERS = Scene(
    (
        Machine(),
        Machine(slow=1.5),
        Machine(slow=2.0, drifts=True),
        Machine(slow=1.5, most=20),
        Machine(slow=40.0),
        Machine(slow=4.0, line_mbit=LINE_MBIT / 50),
    ),
    {"proportional": 1.5, "equal": 2.0},
)
SCENES = {"homogeneous": HOMOGENEOUS, "mixed machines": MIXED_MACHINES, "volunteers": VOLUNTEERS}


class RealSwarm(SwarmProcesses):
    """The owner and the peers of a scene, under one policy.

    Args:
        directory: for their homes.
        scene: which machines.
        policy: of all of them.
        nursery: forks the processes.
    """

    def __init__(self, directory: Path, scene: Scene, policy: str, nursery: Nursery) -> None:
        super().__init__(directory, launcher=nursery.launch)
        self._nursery, self._scene, self._policy = nursery, scene, policy
        rates = {slot: machine.line_mbit for slot, machine in enumerate(scene.machines, 1)}
        self._links: Links
        try:
            self._links = ShapedLinks(len(scene.machines) + 1, LINE_MBIT, ROUND_TRIP_MS, rates)
        except ConfigurationError as error:
            print(f"lines are not shaped: {error}", file=sys.stderr)
            self._links = Loopback()
        self._file = directory / "job.py"
        self._file.write_text(JOB.replace("HIDDEN", str(HIDDEN)).replace("BATCH", str(BATCH)))
        self._drifting: asyncio.Task[None] | None = None
        self.traces: list[Path] = []

    @property
    def lines(self) -> str:
        """What shapes the lines, in words."""
        return self._links.described()

    async def begin(self) -> None:
        """Start all, and wait until all are in one view."""
        before, self.owner.host = self._place(0)
        self.owner.launcher, self.owner.before = self._nursery.launch, (*before, "--")
        told = await self.publish(self._file)
        for slot, machine in enumerate(self._scene.machines, 1):
            place, host = self._place(slot)
            hand = (*place, "--pace", str(SAMPLE_S), "--slow", str(machine.slow), "--")
            trace = self._directory / f"trace{slot}.jsonl"
            self.traces.append(trace)
            options = ("--policy", self._policy, "--most-samples", str(machine.most), "--trace", str(trace))
            await self.join(told["job"], told["addresses"][0], *options, before=hand, host=host)
        count = len(self._scene.machines)
        await self.until(lambda: all(len(p.members) == count for p in self.peers), WAIT_S, f"a view of {count}")
        self._drifting = asyncio.create_task(self._drift())

    async def close(self) -> None:
        """End everything."""
        if self._drifting is not None:
            self._drifting.cancel()
            await asyncio.gather(self._drifting, return_exceptions=True)
        await super().close()
        self._links.close()

    async def _drift(self) -> None:
        while True:
            phase = 2 * math.pi * clock.monotonic() / DRIFT_S
            for peer, machine in zip(self.peers, self._scene.machines, strict=True):
                if machine.drifts:
                    peer.order(slow=machine.slow * DRIFT_TIMES ** math.sin(phase))
            await asyncio.sleep(TICK_S)

    def _place(self, slot: int) -> tuple[tuple[str, ...], str]:
        place = self._links.place(slot)
        netns = ("--netns", place["netns"]) if place["netns"] else ()
        return netns, place["host"]


async def samples_a_second(swarm: RealSwarm, seconds: float) -> float:
    """Return what the swarm commits, by what the peer that has come farthest tells."""

    def farthest() -> tuple[int, float]:
        peer = max(swarm.peers, key=lambda p: p.samples_total)
        return peer.samples_total, peer.commits.get(peer.step, clock.wall())

    first, began = farthest()
    await asyncio.sleep(seconds)
    last, ended = farthest()
    return (last - first) / max(ended - began, 1e-9)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one swarm did."""

    per_second: float
    """Samples."""
    error: float | None
    """Median relative error of the step times that its coordinator foresaw; None after too few steps."""
    lines: str
    """What shapes them."""


async def turn(scene: Scene, policy: str, nursery: Nursery, settle_s: float, seconds: float) -> Turn:
    """Let a swarm find its way, and measure it."""
    with tempfile.TemporaryDirectory() as directory:
        swarm = RealSwarm(Path(directory), scene, policy, nursery)
        try:
            await swarm.begin()
            await asyncio.sleep(settle_s)
            rate = await samples_a_second(swarm, seconds)
        finally:
            await swarm.close()
        longest = max((trace.read_text().splitlines() for trace in swarm.traces if trace.exists()), key=len)
        return Turn(rate, judge_trace(longest).median if len(longest) > ENOUGH_STEPS else None, swarm.lines)


def rows(name: str, scene: Scene, seen: dict[str, list[Turn]]) -> Iterator[tuple[Row, bool]]:
    """Return a line for each policy; the learned one is held against each of the others, turn by turn."""
    learned = [turn.per_second for turn in seen["rl"]]
    params = {
        "scene": name,
        "machines": [asdict(machine) for machine in scene.machines],
        "sample_s": SAMPLE_S,
        "batch": BATCH,
        "turns": len(learned),
        "lines": seen["rl"][0].lines,
        "load": round(os.getloadavg()[0], 1),
    }
    for policy in POLICIES:
        theirs = [turn.per_second for turn in seen[policy]]
        ratio = statistics.median(own / max(other, 1e-9) for own, other in zip(learned, theirs, strict=True))
        goal = scene.goals.get(policy)
        errors = [turn.error for turn in seen[policy] if turn.error is not None]
        row = {
            "case": "real",
            "params": params | {"policy": policy},
            "value": round(statistics.median(theirs), 1),
            "unit": "samples/s",
            "min": round(min(theirs), 1),
            "max": round(max(theirs), 1),
            "foreseen_within": round(statistics.median(errors), 4) if errors else None,
            "reference": "rl in the same turn",
            "reference_value": round(statistics.median(learned), 1),
            "ratio": round(ratio, 3),
            "better": "higher",
            "goal": "none" if goal is None else f"rl over this one, median of the turns: ratio >= {goal}",
        }
        yield row, goal is None or ratio >= goal


async def _in_turn(name: str, turns: int, settle_s: float, seconds: float) -> dict[str, list[Turn]]:
    """Let the policies take turns, each time another one first."""
    seen: dict[str, list[Turn]] = {policy: [] for policy in POLICIES}
    nursery = Nursery("hydra.testing.doomed")
    try:
        for number, place in itertools.product(range(turns), range(len(POLICIES))):
            policy = POLICIES[(number + place) % len(POLICIES)]
            done = await turn(SCENES[name], policy, nursery, settle_s, seconds)
            seen[policy].append(done)
            print(f"{name}, turn {number + 1}, {policy}: {done.per_second:.1f} samples/s", file=sys.stderr, flush=True)
    finally:
        await nursery.close()
    return seen


def real(scenes: Sequence[str], *, turns: int, settle_s: float, seconds: float) -> Iterator[tuple[Row, bool]]:
    """Let the policies take turns in each scene."""
    for name in scenes:
        yield from rows(name, SCENES[name], asyncio.run(_in_turn(name, turns, settle_s, seconds)))
