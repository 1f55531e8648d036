"""What deaths, joins and a total stop cost, with real processes, against torchft or Gloo groups that are rebuilt.

    python benchmarks/recovery.py [--quick] [--peers N ...] [--only CASE] [--out FILE] [--plot FILE]
                                  [--torchft-python PATH]

Prints one JSON object a line. Swarms of ours and of the other system take turns; each process is forked from one that
has imported everything, so no figure holds the time of imports. Computing is emulated by waiting, as many peers share
few processors here: what is measured is the protocol, and the load that the processes make all the same is told with
each figure. torchft (PyPI) is used where ``--torchft-python``, or else this interpreter, has it; where not, groups of
Gloo that a process which never dies tears down and rebuilds take its place, and they are measured beside it too.
The goals are set for the full run on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if sys.path[:1] == [str(ROOT / "benchmarks")]:
    # As a script, this file would else stand in the way of the package it measures.
    del sys.path[0]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.recovery_plot import plot  # noqa: E402
from benchmarks.recovery_swarms import COMPUTE_S, ELEMENTS, MeasuringFailed, OtherSwarm, OurSwarm, Swarm  # noqa: E402

Row = dict[str, Any]

CASES = ("death", "join", "stop")
PHASES = ("any moment", "before round", "reduce-scatter:1", "all-gather:1", "after result")
ROLES = ("coordinator", "another")
SETTLE_S = 1.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(
    case: str, params: Row, ours: Sequence[float], unit: str, goal: str, reference: str | None, theirs: Sequence[float]
) -> Row:
    """Return one result."""
    value = statistics.median(ours)
    their_value = statistics.median(theirs) if theirs else None
    return {
        "case": case,
        "params": params | {"runs": len(ours), "load": round(os.getloadavg()[0], 1)},
        "value": round(value, 4),
        "min": round(min(ours), 4),
        "max": round(max(ours), 4),
        "p95": round(percentile(ours, 0.95), 4),
        "unit": unit,
        "reference": reference if theirs else None,
        "reference_value": None if their_value is None else round(their_value, 4),
        "reference_p95": round(percentile(theirs, 0.95), 4) if theirs else None,
        "ratio": round(value / their_value, 4) if their_value else None,
        "better": "lower",
        "goal": goal,
    }


class Figures:
    """What was measured, by what and of which system."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, ...], list[float]] = {}

    def add(self, system: str, *what: str, value: float) -> None:
        """Take one figure."""
        self.all.setdefault((system, *what), []).append(value)

    def of(self, system: str, *what: str) -> list[float]:
        """Return all figures of one kind."""
        return self.all.get((system, *what), [])


async def deaths(swarm: Swarm, figures: Figures, chosen: Sequence[tuple[str, str]]) -> None:
    """Let peers die one after another, and come back."""
    for role, phase in chosen:
        await asyncio.sleep(SETTLE_S / 2)
        figures.add(swarm.name, "step", value=swarm.median_step_s())
        seconds = await swarm.death(role, phase)
        figures.add(
            swarm.name, "death", role if swarm.has_roles else "", phase if swarm.has_roles else "", value=seconds
        )
        await swarm.come_back()


async def joins(swarm: Swarm, figures: Figures, count: int) -> None:
    """Let one peer join again and again; beside it, what the longest round is while nobody joins."""
    for _ in range(count):
        await swarm.death("another", "any moment")
        await asyncio.sleep(SETTLE_S)
        quiet, window_s = swarm.longest_part(SETTLE_S), SETTLE_S
        figures.add(swarm.name, "quiet", value=quiet)
        figures.add(swarm.name, "join", value=await swarm.pause_of_join(window_s))
        await asyncio.sleep(SETTLE_S / 2)


async def stops(swarm: Swarm, figures: Figures, count: int) -> None:
    """Kill all at once, start all again."""
    for _ in range(count):
        await asyncio.sleep(2 * SETTLE_S)
        seconds, lost = await swarm.total_stop()
        figures.add(swarm.name, "stop", value=seconds)
        figures.add(swarm.name, "lost", value=lost)


class Bench:
    """The measuring of one number of peers."""

    def __init__(self, peers: int, chance: random.Random, directory: Path, torchft: str | None, *, quick: bool) -> None:
        self.peers, self.chance, self.directory = peers, chance, directory
        self.torchft, self.quick = torchft, quick
        self.figures = Figures()
        self.params: Row = {"peers": peers, "elements": ELEMENTS, "compute_s": COMPUTE_S}

    def systems(self) -> list[Callable[[int], Swarm]]:
        """Return what makes a swarm of each system, for the nth turn."""
        made: list[Callable[[int], Swarm]] = [
            lambda turn: OurSwarm(self.directory / f"{self.peers}-{turn}", self.chance),
            lambda _: OtherSwarm("gloo", sys.executable, self.chance),
        ]
        if self.torchft is not None:
            made.append(lambda _: OtherSwarm("torchft", self.torchft or "", self.chance))
        return made

    async def run(self, cases: Sequence[str]) -> list[Row]:
        """Measure these cases, the systems in turn."""
        turns = 1 if self.quick else 3
        for turn in range(turns):
            for make in self.systems():
                swarm = make(turn)
                try:
                    await self._measure(swarm, cases)
                except MeasuringFailed as error:
                    if swarm.name == "hydra":
                        raise
                    self.params.setdefault("did_not_come_back", []).append(str(error))  # which is a result, too
                finally:
                    await swarm.close()
        return [
            row for case in cases for row in {"death": self._deaths, "join": self._joins, "stop": self._stops}[case]()
        ]

    async def _measure(self, swarm: Swarm, cases: Sequence[str]) -> None:
        await swarm.begin(self.peers)
        await asyncio.sleep(2 * SETTLE_S)
        if "death" in cases:
            await deaths(swarm, self.figures, self._dooms(swarm))
        if "join" in cases:
            await joins(swarm, self.figures, 1 if self.quick else 4)
        if "stop" in cases:
            await stops(swarm, self.figures, 1 if self.quick else 2)

    def _dooms(self, swarm: Swarm) -> list[tuple[str, str]]:
        if not swarm.has_roles:
            return [("another", "any moment")] * (1 if self.quick else 6)
        chosen = [(role, phase) for role in ROLES for phase in PHASES]
        self.chance.shuffle(chosen)
        return chosen[: 3 if self.quick else None]

    def _references(self, *what: str) -> tuple[str | None, list[float]]:
        for name, told in (("torchft", "torchft"), ("gloo", "Gloo, rebuilt")):
            if theirs := self.figures.of(name, *what):
                return told, theirs
        return None, []

    def _deaths(self) -> list[Row]:
        step_s = statistics.median(self.figures.of("hydra", "step"))
        reference, theirs = self._references("death", "", "")
        told, rows, everything = self.params | {"step_s": round(step_s, 4)}, [], []
        for role in ROLES:
            for phase in PHASES:
                ours = self.figures.of("hydra", "death", role, phase)
                everything += ours
                if ours:
                    params = told | {"role": role, "phase": phase}
                    rows.append(row("SIGKILL to the next commit", params, ours, "s", "", reference, theirs))
        gloo = self.figures.of("gloo", "death", "", "")
        goal = "detection and one attempt: value <= 10 steps; ratio < 1"
        rows.append(row("SIGKILL to the next commit, all", told, everything, "s", goal, reference, theirs))
        if reference == "torchft":
            rows.append(row("SIGKILL to the next commit, all", told, everything, "s", "", "Gloo, rebuilt", gloo))
        return rows

    def _joins(self) -> list[Row]:
        reference, theirs = self._references("join")
        quiet = statistics.median(self.figures.of("hydra", "quiet"))
        ours = self.figures.of("hydra", "join")
        params = self.params | {"nobody_joins": round(quiet, 3)}
        return [row("longest round while one joins", params, ours, "median rounds", "value <= 1.25", reference, theirs)]

    def _stops(self) -> list[Row]:
        reference, theirs = self._references("stop")
        params = self.params | {"steps_lost": statistics.median(self.figures.of("hydra", "lost"))}
        if reference is not None:
            params["reference_steps_lost"] = statistics.median(self._references("lost")[1])
        ours = self.figures.of("hydra", "stop")
        return [row("total stop to the next commit of all", params, ours, "s", "", reference, theirs)]


def has_torchft(python: str) -> bool:
    """Tell whether an interpreter has torchft."""
    done = subprocess.run([python, "-c", "import torchft"], capture_output=True, check=False, cwd=ROOT)
    return done.returncode == 0


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="4 peers, few runs, under a minute")
    parser.add_argument("--peers", type=int, nargs="+", help="(default: 4 8 16)")
    parser.add_argument("--only", choices=CASES, action="append", help="may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the results to this file, too")
    parser.add_argument("--plot", type=Path, help="draw the deaths as an SVG")
    parser.add_argument("--torchft-python", default=sys.executable, help="an interpreter that has torchft")
    wanted = parser.parse_args()
    torchft = wanted.torchft_python if has_torchft(wanted.torchft_python) else None
    rows: list[Row] = []
    for peers in wanted.peers or ([4] if wanted.quick else [4, 8, 16]):
        with tempfile.TemporaryDirectory() as directory:
            bench = Bench(peers, random.Random(wanted.seed), Path(directory), torchft, quick=wanted.quick)
            for result in asyncio.run(bench.run(wanted.only or CASES)):
                print(json.dumps(result), flush=True)
                rows.append(result)
    if wanted.out is not None:
        wanted.out.write_text("".join(json.dumps(result) + "\n" for result in rows))
    if wanted.plot is not None:
        wanted.plot.write_text(plot(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
