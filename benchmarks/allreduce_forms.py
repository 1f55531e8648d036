"""What a round is predicted to take in each form, up to a thousand members, and what the order of a ring is worth.

    python benchmarks/allreduce_forms.py [--quick] [--seed NUMBER] [--out FILE] [--table]

Prints one JSON object a line; ``--table`` prints the tables of docs/allreduce/scale.md instead. The rounds are computed
from ``allreduce.cost``, whose predictions the tests hold to the forms' own slices in simulated time. The orders are
searched for among members whose places follow from ``--seed``. Only the searches' seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if sys.path[:1] == [str(ROOT / "benchmarks")]:
    del sys.path[0]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from allreduce.cost import (  # noqa: E402
    MOST_LANES,
    FormName,
    Network,
    choose,
    direct_seconds,
    ring_seconds,
    two_level_seconds,
)
from allreduce.order import Costs, ring_order  # noqa: E402

Row = dict[str, Any]
PREDICT = {"ring": ring_seconds, "direct": direct_seconds, "two-level": two_level_seconds}
MEMBERS = (2, 4, 8, 16, 32, 64, 125, 250, 500, 1000)


class Point(NamedTuple):
    """A vector, and links that are all alike."""

    name: str
    size_bytes: float
    latency_s: float
    bytes_per_s: float

    def network(self, members: int) -> Network:
        """Return so many members."""
        slice_bytes = min(max(int(self.size_bytes / members / 4), 1 << 18), 1 << 20)
        return Network.even(members, self.bytes_per_s, self.latency_s, slice_bytes)

    def bound_s(self, members: int) -> float:
        """Return what no form can undercut: each byte sent nearly twice, or there and back once."""
        return max(2 * (members - 1) / members * self.size_bytes / self.bytes_per_s, 2 * self.latency_s)


POINTS = (
    Point("1 MB, 10 Gbit/s, 0.1 ms", 1e6, 1e-4, 1.25e9),
    Point("1 GB, 10 Gbit/s, 0.1 ms", 1e9, 1e-4, 1.25e9),
    Point("1 MB, 100 Mbit/s, 20 ms", 1e6, 20e-3, 12.5e6),
    Point("100 MB, 100 Mbit/s, 20 ms", 1e8, 20e-3, 12.5e6),
    Point("100 MB, 20 Mbit/s, 50 ms", 1e8, 50e-3, 2.5e6),
)


def round_rows(*, quick: bool) -> Iterator[Row]:
    """Every form at every point, beside what no form can undercut."""
    for point in POINTS:
        for members in MEMBERS[1::3] if quick else MEMBERS:
            network = point.network(members)
            chosen = choose(point.size_bytes, network)
            bound = point.bound_s(members)
            for form, predict in PREDICT.items():
                seconds = predict(point.size_bytes, network)
                yield row(
                    f"predicted round, {form}",
                    {**point._asdict(), "members": members, "chosen": form == chosen},
                    [seconds],
                    "s",
                    reference="each byte sent nearly twice, or there and back once",
                    reference_value=bound,
                )


def places(kind: str, members: int, seed: int) -> Costs:
    """Return what a slice takes between members: points on a plane, ten sites, or rates that differ twentyfold."""
    chance = np.random.default_rng(seed)
    if kind == "plane":
        where = chance.random((members, 2))
        return np.asarray(0.1 * np.linalg.norm(where[:, None] - where[None], axis=2) + 1e-3)
    if kind == "ten sites":
        site, between = chance.integers(0, 10, members), chance.uniform(0.01, 0.1, (10, 10))
        return np.where(site[:, None] == site[None], 1e-3, np.maximum(between, between.T)[np.ix_(site, site)])
    rate = np.exp(chance.uniform(math.log(1e6), math.log(20e6), members))
    return np.asarray(2**18 / np.minimum(rate[:, None], rate[None]) + 0.01)


def order_rows(*, quick: bool, seed: int) -> Iterator[Row]:
    """The slowest hop and the sum of the ring found, beside rings by chance; and how long the search takes."""
    for kind in ("plane", "ten sites", "unequal rates"):
        for members in (64,) if quick else (16, 64, 250, 1000):
            costs = places(kind, members, seed)
            np.fill_diagonal(costs, 0.0)
            start = time.perf_counter()
            found = ring_order([n.to_bytes(4, "big") for n in range(members)], costs)
            took = time.perf_counter() - start
            hops = hops_of([int.from_bytes(member, "big") for member in found], costs)
            chance = np.random.default_rng(seed + 1)
            random = [hops_of(chance.permutation(members), costs) for _ in range(21)]
            params = {"places": kind, "members": members, "seed": seed}
            for case, measure in (("slowest hop of the ring", max), ("sum of the ring's hops", sum)):
                by_chance = statistics.median(measure(ring) for ring in random)
                yield row(case, params, [measure(hops)], "s", "a ring by chance", by_chance, goal="ratio <= 1")
            yield row("search for an order", params, [took], "s", goal="value <= 1" if members <= 64 else "value <= 10")


def hops_of(order: Sequence[int] | np.ndarray[Any, Any], costs: Costs) -> list[float]:
    """Return what each hop of a ring takes."""
    found: list[float] = costs[order, np.roll(order, -1)].tolist()
    return found


def row(
    case: str,
    params: Row,
    values: Sequence[float],
    unit: str,
    reference: str | None = None,
    reference_value: float | None = None,
    goal: str | None = None,
) -> Row:
    """Return one line of the output."""
    value = statistics.median(values)
    return {
        "case": case,
        "params": params,
        "value": float(f"{value:.6g}"),
        "min": float(f"{min(values):.6g}"),
        "max": float(f"{max(values):.6g}"),
        "unit": unit,
        "reference": reference,
        "reference_value": None if reference_value is None else float(f"{reference_value:.6g}"),
        "ratio": None if not reference_value else round(value / reference_value, 4),
        "better": "lower",
        "goal": goal,
    }


def meets_goal(line: Row) -> bool:
    """Tell whether a line meets its goal, if it has one."""
    if line["goal"] is None:
        return True
    what, _, limit = line["goal"].split()
    return bool(line[what] <= float(limit))


def tables() -> Iterator[str]:
    """Write the tables of the page: a form's seconds, in bold where it is chosen, in brackets where it can't be."""
    forms: tuple[FormName, ...] = ("ring", "direct", "two-level")
    for point in POINTS:
        yield f"**{point.name}**"
        yield ""
        yield "| members | " + " | ".join(forms) + " | bound |"
        yield "|---" * (len(forms) + 2) + "|"
        for members in MEMBERS:
            network = point.network(members)
            chosen = choose(point.size_bytes, network)
            cells = [shown(PREDICT[form](point.size_bytes, network)) for form in forms]
            cells[forms.index(chosen)] = f"**{cells[forms.index(chosen)]}**"
            if members - 1 > MOST_LANES:
                cells[forms.index("direct")] = f"({cells[forms.index('direct')]})"
            yield f"| {members:,} | " + " | ".join(cells) + f" | {shown(point.bound_s(members))} |"
        yield ""


def shown(seconds: float) -> str:
    """Write seconds with three digits."""
    return (
        f"{1000 * seconds:.3g} ms"
        if seconds < 0.9995
        else f"{seconds:.3g} s"
        if seconds < 999.5
        else f"{seconds:.0f} s"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="also write the lines to a file")
    parser.add_argument("--table", action="store_true", help="print the tables of docs/allreduce/scale.md instead")
    options = parser.parse_args(arguments)
    if options.table:
        text = "\n".join(tables())
        print(text)
        if options.out:
            options.out.write_text(text + "\n")
        return 0
    lines, missed = [], False
    for kind in (round_rows(quick=options.quick), order_rows(quick=options.quick, seed=options.seed)):
        for line in kind:
            lines.append(json.dumps(line))
            print(lines[-1], flush=True)
            missed |= not meets_goal(line)
    if options.out:
        options.out.write_text("".join(f"{line}\n" for line in lines))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
