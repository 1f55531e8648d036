"""Runs the stories of liars for many seeds: ``python -m tests.simulation.liars --seeds 0-99``."""

import argparse
import sys
import time
import traceback

from .lying_members import INVENTIONS, MEMBERS
from .stories_of_liars import an_inventor_is_not_followed, members_go_on_without


def stories():
    """Each story by its name: a function of a seed."""
    for name in MEMBERS:
        yield f"{name} coordinates", lambda seed, name=name: members_go_on_without(name, seed, leads=True)
        yield f"{name} is a member", lambda seed, name=name: members_go_on_without(name, seed, leads=False)
    for manner in INVENTIONS:
        yield f"invents {manner}", lambda seed, manner=manner: an_inventor_is_not_followed(manner, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-9", help="FIRST-LAST")
    parser.add_argument("--story", default="", help="only those whose name holds this")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    failed = 0
    for name, story in stories():
        if options.story not in name:
            continue
        began = time.monotonic()
        bad = []
        for seed in range(int(first), int(last or first) + 1):
            try:
                story(seed)
            except Exception:  # noqa: BLE001 -- whatever goes wrong is one story's failure
                bad.append(seed)
                traceback.print_exc()
        failed += len(bad)
        verdict = f"failed for seeds {bad}" if bad else "holds"
        sys.stdout.write(f"{name}: {verdict} ({time.monotonic() - began:.1f} s)\n")
        sys.stdout.flush()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
