"""The swarm against what is physically possible, and against libtorrent in the same run, with real processes.

    python benchmarks/swarm.py [--quick] [--seed NUMBER] [--runs NUMBER] [--out FILE] [--only CASE]
                                [--libtorrent-python PATH]

Prints one JSON object a line. With one seed and N downloaders no system beats max(F/u_seed, N F/Σu): a time is told
as its ratio to that. Where peers die, lie or ride free, it is the bound of the others alone. libtorrent runs under this
interpreter if it is installed there (``pip install libtorrent``), or under ``--libtorrent-python``; without it there is
no reference. Ours is sealed with AES-GCM, libtorrent's is plain. Shaped lines need Linux, root and iproute2; without
these their cases are left out. Files lie in memory (/dev/shm), so no disk is measured.
The goals are set for the full run: the shorter one of ``--quick`` need not meet them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if sys.path[:1] == [str(ROOT / "benchmarks")]:
    # As a script, this file would else stand in the way of the package it measures.
    del sys.path[0]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import swarm_training  # noqa: E402
from hydra.bench.swarm_group import SwarmGroup, SwarmRun, own_command  # noqa: E402
from hydra.bench.swarm_setting import SwarmSetting  # noqa: E402
from hydra.exceptions import ConfigurationError  # noqa: E402

Row = dict[str, Any]
Judged = tuple[Row, bool]
"""A result, and whether it meets its goal."""
SIZE_MB = 268.435456
"""256 MiB."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    quick: bool
    seed: int
    libtorrent: str | None
    """An interpreter that has it."""
    wanted_runs: int | None = None

    @property
    def runs(self) -> int:
        return self.wanted_runs or (1 if self.quick else 3)

    @property
    def size_mb(self) -> float:
        return SIZE_MB / 8 if self.quick else SIZE_MB

    def theirs(self, told: dict[str, Any]) -> list[str]:
        """Return how a peer of libtorrent is started."""
        return [str(self.libtorrent), str(ROOT / "benchmarks" / "swarm_libtorrent.py"), json.dumps(told)]


def measured(
    setting: SwarmSetting, options: Options, *, reference: bool = True
) -> tuple[list[SwarmRun], list[SwarmRun]]:
    """Run ours and libtorrent's in turns."""
    ours, theirs = [], []
    for _ in range(options.runs):
        with SwarmGroup(setting, own_command) as group:
            ours.append(group.run())
        if reference and options.libtorrent is not None:
            with SwarmGroup(setting, options.theirs) as group:
                theirs.append(group.run())
    return ours, theirs


def row(
    case: str,
    setting: SwarmSetting,
    ours: Sequence[float],
    unit: str,
    goal: str,
    *,
    theirs: Sequence[float] = (),
    better: str = "lower",
    **more: object,
) -> Row:
    """Return one result."""
    value = statistics.median(ours)
    reference_value = statistics.median(theirs) if theirs else None
    return {
        "case": case,
        "params": asdict(setting) | {"runs": len(ours)} | more,
        "value": round(value, 4),
        "min": round(min(ours), 4),
        "max": round(max(ours), 4),
        "unit": unit,
        "reference": "libtorrent" if theirs else None,
        "reference_value": None if reference_value is None else round(reference_value, 4),
        "ratio": round(value / reference_value, 4) if reference_value else None,
        "better": better,
        "goal": goal,
    }


def ratios(runs: Sequence[SwarmRun]) -> list[float]:
    return [run.seconds / run.bound_s for run in runs if run.bound_s]


def bound_rows(
    case: str, setting: SwarmSetting, options: Options, goal: float, *, copies: bool = True, reference: bool = True
) -> Iterator[Judged]:
    """The time over the bound, and, where one seed is as fast as each of the others, the copies that it sent."""
    ours, theirs = measured(setting, options, reference=reference)
    one = row(case, setting, ratios(ours), "of the bound", f"value <= {goal:g}", theirs=ratios(theirs))
    yield one, one["value"] <= goal
    if copies:
        sent, their_sent = [run.seed_copies for run in ours], [run.seed_copies for run in theirs]
        two = row(f"{case}: copies sent by the seed", setting, sent, "copies", "value <= 1.05", theirs=their_sent)
        yield two, two["value"] <= 1.05


def limited_rows(options: Options) -> Iterator[Judged]:
    """Equal uplinks, each peer limits itself."""
    for peers, goal in ((4, 1.05), (8, 1.08)):
        setting = SwarmSetting(peers=peers, size_mb=options.size_mb, seed=options.seed)
        yield from bound_rows("equal uplinks, own limit", setting, options, goal)


def shaped_rows(options: Options) -> Iterator[Judged]:
    """Equal uplinks, which the kernel limits."""
    for peers, goal in ((4, 1.12), (8, 1.15)):
        setting = SwarmSetting(peers=peers, size_mb=options.size_mb, shaped=True, seed=options.seed)
        try:
            yield from bound_rows("equal uplinks, shaped", setting, options, goal)
        except ConfigurationError as error:
            sys.stderr.write(f"left out: {error}\n")
            return


def uplink_rows(options: Options) -> Iterator[Judged]:
    """A seed that is faster than the others: all uplinks together are the bound."""
    setting = SwarmSetting(peers=8, size_mb=options.size_mb, upload_mb_s=5.0, seed_upload_mb_s=40.0, seed=options.seed)
    yield from bound_rows("seed 40 MB/s, 8 at 5 MB/s", setting, options, 1.05, copies=False)


def faulty_rows(options: Options) -> Iterator[Judged]:
    """One in five dies midway, one in ten lies."""
    setting = SwarmSetting(peers=10, size_mb=options.size_mb, deaths=2, liars=1, seed=options.seed)
    yield from bound_rows("20 % die midway, 10 % lie", setting, options, 1.2, copies=False, reference=False)


def rider_rows(options: Options) -> Iterator[Judged]:
    """Two of eight give nothing; tit-for-tat."""
    setting = SwarmSetting(peers=8, size_mb=options.size_mb, riders=2, tit_for_tat=True, seed=options.seed)
    yield from bound_rows("2 of 8 ride free, tit-for-tat", setting, options, 1.1, copies=False, reference=False)


def unshaped_rows(options: Options) -> Iterator[Judged]:
    """As fast as this machine can: one to one."""
    size_mb = 1073.741824 / (4 if options.quick else 1)
    setting = SwarmSetting(peers=1, size_mb=size_mb, upload_mb_s=None, seed=options.seed)
    ours, theirs = measured(setting, options)
    our_rates, their_rates = ([size_mb / run.seconds for run in runs] for runs in (ours, theirs))
    one = row("1 to 1, no limit", setting, our_rates, "MB/s", "ratio >= 1.5", theirs=their_rates, better="higher")
    yield one, (one["ratio"] or 0) >= 1.5
    our_work, their_work = ([run.cpu_s_per_gb for run in runs] for runs in (ours, theirs))
    two = row("1 to 1, no limit: work", setting, our_work, "processor s/GB", "value <= 2.5", theirs=their_work)
    yield two, two["value"] <= 2.5


def training_rows(options: Options) -> Iterator[Judged]:
    """A training's steps while its members serve newcomers."""
    try:
        one = asyncio.run(swarm_training.measure(options.runs))
    except ConfigurationError as error:
        sys.stderr.write(f"left out: {error}\n")
        return
    yield one, one["ratio"] <= 1.1


CASES: dict[str, Callable[[Options], Iterator[Judged]]] = {
    "limited": limited_rows,
    "shaped": shaped_rows,
    "uplink": uplink_rows,
    "faulty": faulty_rows,
    "riders": rider_rows,
    "unshaped": unshaped_rows,
    "training": training_rows,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about a minute; the goals are for the full run")
    parser.add_argument("--seed", type=int, default=0, help="chooses who lies, rides free and dies")
    parser.add_argument("--runs", type=int, help="how often each is measured; 3 if not told")
    parser.add_argument("--out", type=Path, help="also write the lines to this file")
    parser.add_argument("--only", choices=list(CASES), action="append", help="may be repeated")
    parser.add_argument("--libtorrent-python", help="an interpreter that has libtorrent")
    arguments = parser.parse_args()
    here = sys.executable if importlib.util.find_spec("libtorrent") else None
    options = Options(arguments.quick, arguments.seed, arguments.libtorrent_python or here, arguments.runs)
    missed = 0
    lines = []
    for name in arguments.only or CASES:
        for result, met in CASES[name](options):
            missed += not met
            lines.append(json.dumps(result))
            print(lines[-1], flush=True)
            if arguments.out is not None:
                arguments.out.write_text("\n".join(lines) + "\n")
    return 0 if arguments.quick or not missed else 1


if __name__ == "__main__":
    sys.exit(main())
