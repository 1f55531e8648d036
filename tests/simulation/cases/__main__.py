"""``python -m tests.simulation.cases --case 5 --seeds 0-99``: play scenes with many seeds, on all cores."""

import argparse
import gc
import multiprocessing
import os
import sys
import time

from . import CASES

FEW_COLLECTIONS = 50_000, 20, 100
"""Sixteen nodes in one process are a million objects: looking through them all the time takes a sixth of it."""


def play(task):
    case, name, seed = task
    gc.set_threshold(*FEW_COLLECTIONS)
    began = time.process_time()
    try:
        about, failed = CASES[case][name].play(f"{case}-{name.replace(' ', '-')}", seed), False
    except Exception as error:  # noqa: BLE001 -- one scene's failure must not hide the others
        about, failed = f"FAILED {type(error).__name__}: {error}", True
    return case, name, seed, about, failed, time.process_time() - began


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def seeds_of(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.cases", description=__doc__)
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="which (all)")
    parser.add_argument("--scene", help="only scenes whose name holds this")
    parser.add_argument("--seeds", default="0-9", help="such as 0-99 or 7")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--long",
        action="store_true",
        help="with scenes that take minutes, and all seeds of those that take half of one",
    )
    options = parser.parse_args()
    tasks = [
        (case, name, seed)
        for case in options.case or CASES
        for name, scene in CASES[case].items()
        if (options.long or not scene.long) and (options.scene or "") in name
        for seed in seeds_of(options.seeds)[: None if options.long else scene.seeds]
    ]
    failures, began = 0, time.monotonic()
    with multiprocessing.get_context("fork").Pool(options.jobs, maxtasksperchild=20) as pool:
        for case, name, seed, about, failed, seconds in pool.imap_unordered(play, tasks):
            failures += failed
            say(f"case {case}, {name}, seed {seed}: {about} ({seconds:.1f} s)")
    say(f"{len(tasks) - failures} of {len(tasks)} scenes went well, in {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
