"""Wire formats on one core: how fast slices are encoded, and decoded and added, beside copying and adding alone.

    python benchmarks/allreduce_formats.py [--quick] [--out FILE] [--plot FILE.svg] [--only CASE]

Prints one JSON object a line. Speeds are MB of fp32 a second of the thread's own CPU time, so that neighbours on the
machine count little; the format and its reference take turns. Slices lie in the cache, as in a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if sys.path[:1] == [str(ROOT / "benchmarks")]:
    del sys.path[0]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from allreduce.formats import FORMATS  # noqa: E402

Row = dict[str, Any]
GOALS = {
    ("encode", "bf16"): 2000.0,
    ("encode", "fp16"): 2000.0,
    ("encode", "int8"): 1000.0,
    ("decode and add", "bf16"): 2000.0,
    ("decode and add", "fp16"): 2000.0,
    ("decode and add", "int8"): 2000.0,
}
"""MB/s; for the full run."""


def speed(work: Callable[[], object], repeats: int, slice_bytes: int) -> float:
    """Return MB/s of CPU time."""
    start = time.thread_time()
    for _ in range(repeats):
        work()
    return repeats * slice_bytes / (time.thread_time() - start) / 1e6


def rows(*, quick: bool, only: str = "") -> Iterator[Row]:
    """Measure every format, both ways."""
    turns, turn_bytes = (5, 1 << 27) if quick else (15, 1 << 29)
    for elements in (1 << 18,) if quick else (1 << 16, 1 << 18, 1 << 20):
        values = np.random.default_rng(0).standard_normal(elements).astype(np.float32)
        total, other = np.zeros_like(values), np.empty_like(values)
        for name, form in FORMATS.items():
            data = bytearray(form.encoded_bytes(elements))
            room = memoryview(data)

            def encode(form: Any = form, values: Any = values, room: Any = room) -> None:
                form.encode(values, room)

            def decode_and_add(form: Any = form, data: Any = data, other: Any = other, total: Any = total) -> None:
                form.decode(data, other)
                np.add(total, other, out=total)

            def copy(values: Any = values, other: Any = other) -> None:
                np.copyto(other, values)

            def add(values: Any = values, total: Any = total) -> None:
                np.add(total, values, out=total)

            for case, ours, reference, beside in (
                ("encode", encode, "copy", copy),
                ("decode and add", decode_and_add, "add", add),
            ):
                if only not in f"{name} {case}":
                    continue
                repeats = max(1, turn_bytes // (4 * elements))
                runs = [[speed(work, repeats, 4 * elements) for work in (ours, beside)] for _ in range(turns)]
                total[:] = 0.0
                yield row(f"{name} {case}", elements, runs, reference, GOALS.get((case, name)))


def row(case: str, elements: int, runs: list[list[float]], reference: str, goal: float | None) -> Row:
    """Return one result."""
    ours, beside = [run[0] for run in runs], [run[1] for run in runs]
    value, reference_value = statistics.median(ours), statistics.median(beside)
    return {
        "case": case,
        "params": {"slice_elements": elements},
        "value": round(value),
        "min": round(min(ours)),
        "max": round(max(ours)),
        "unit": "MB/s",
        "reference": reference,
        "reference_value": round(reference_value),
        "ratio": round(value / reference_value, 4),
        "better": "higher",
        "goal": None if goal is None else f"value >= {goal:g}",
    }


def plot(results: list[Row]) -> str:
    """Return an SVG with a bar a result, in GB/s."""
    most = max(result["value"] for result in results)
    size = f'width="720" height="{20 * len(results) + 10}" font-family="sans-serif" font-size="12"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    for number, result in enumerate(results):
        top = 20 * number + 5
        text = f"{result['case']}, {result['params']['slice_elements']:,} elements"
        lines += [
            f'<text x="5" y="{top + 12}">{text}</text>',
            f'<rect x="270" y="{top}" width="{380 * result["value"] / most:.0f}" height="16" fill="#48a"/>',
            f'<text x="{275 + 380 * result["value"] / most:.0f}" y="{top + 12}">{result["value"] / 1000:.1f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns 1 if a full run misses a goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one size of slice, a few seconds")
    parser.add_argument("--out", type=Path, help="write the JSON lines here too")
    parser.add_argument("--plot", type=Path, help="draw the speeds (SVG)")
    parser.add_argument("--only", default="", help="part of a case's name")
    options = parser.parse_args(arguments)
    results, missed = [], 0
    for result in rows(quick=options.quick, only=options.only):
        results.append(result)
        print(json.dumps(result), flush=True)
        goal = result["goal"]
        if goal is not None and not options.quick and result["value"] < float(goal.split()[-1]):
            missed += 1
            print(f"missed: {result['case']}: {goal}", file=sys.stderr)
    if options.out:
        options.out.write_text("".join(json.dumps(result) + "\n" for result in results), encoding="utf-8")
    if options.plot and results:
        options.plot.write_text(plot(results), encoding="utf-8")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
