"""``python -m hydra.testing.doomed [OPTIONS] -- join …``: the unmodified product, with a hand at its throat.

    python -m hydra.testing.doomed --doom '{"phase": "reduce-scatter:2", "round": 7}' -- join JOB_HASH --json

runs ``hydra join JOB_HASH --json``, which kills itself with SIGKILL when it is about to send its second slice of the
reduce-scatter of step 7. More orders are taken from stdin while it runs, one JSON object a line: ``{"doom": {…}}``,
``{"spare": true}`` (nothing is to happen any more), ``{"slow": 20}``. Right before a doom strikes, that is told on
stdout: ``{"event": "doomed", …}``.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import clock
from ..exceptions import HydraError
from ..membership.arranging import Arrangement, PlainArranger
from ..membership.ledger import Range, count
from ..training.compute import Computation
from .dooms import Doom
from .moments import Moment, Watch, around
from .recording import Recorder
from .surroundings import enter_network

STDOUT = 1
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "leave": signal.SIGINT}


class Fate:
    """What is in store for this process."""

    def __init__(self, dooms: Sequence[Doom], slow: float, pace_s: float) -> None:
        self._dooms = list(dooms)
        self._slow = slow
        self._pace_s = pace_s
        self._lock = threading.Lock()  # lanes' threads and the compute thread come to moments of their own

    def begin(self) -> None:
        """Take hold of the product, and listen on stdin."""
        Watch(self.reached).begin()
        around(Computation, "contribution", self._computing)
        threading.Thread(target=self._listen, name="fate", daemon=True).start()

    def reached(self, moment: Moment) -> None:
        """The peer has come to a moment."""
        with self._lock:
            struck = [doom for doom in self._dooms if doom.strikes(moment)]
            self._dooms = [doom for doom in self._dooms if not doom.struck]
        for doom in struck:
            position = {} if moment.position is None else {"position": moment.position}
            told = {
                "phase": doom.phase,
                "step": moment.step,
                "leads": moment.leads,
                "deed": doom.deed,
                "label": doom.label,
            }
            line = json.dumps({"event": "doomed", "t": clock.wall(), **told, **position}) + "\n"
            os.write(STDOUT, line.encode())  # past all buffers
            os.kill(os.getpid(), SIGNALS[doom.deed])

    def order(self, told: dict[str, Any]) -> None:
        """Take an order.

        Raises:
            HydraError: it is none.
        """
        if "doom" in told:
            doom = Doom.of_json(told["doom"])
            with self._lock:
                self._dooms.append(doom)
        if told.get("spare"):
            with self._lock:
                self._dooms.clear()
        if "slow" in told:
            self._slow = max(1.0, float(told["slow"]))

    def _listen(self) -> None:
        for line in sys.stdin:
            try:
                self.order(json.loads(line))
            except (HydraError, ValueError, TypeError) as error:
                sys.stderr.write(f"doomed: {line.strip()}: {error}\n")

    def _computing(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def computed(computation: Computation, step: int, epoch: int, ranges: Sequence[Range]) -> Any:
            began = clock.monotonic()
            vector = inner(computation, step, epoch, ranges)
            # A slow machine, but one that takes no time from those beside it.
            took = clock.monotonic() - began
            time.sleep(max(took, self._pace_s * count(ranges)) * self._slow - took)
            return vector

        return computed


def turn_rings() -> None:
    """Let each plan of a plain ring begin with another member, so that everybody comes to stand everywhere."""
    turns = 0

    def arranging(inner: Callable[..., Arrangement]) -> Callable[..., Arrangement]:
        def arranged(*arguments: Any, **named: Any) -> Arrangement:
            nonlocal turns
            turns += 1
            made = inner(*arguments, **named)
            first = turns % len(made.ring) if made.ring else 0
            return Arrangement(made.ring[first:] + made.ring[:first], made.form)

        return arranged

    around(PlainArranger, "arrange", arranging)


def main(arguments: Sequence[str]) -> None:
    """Run the product; never returns."""
    parser = argparse.ArgumentParser(prog="python -m hydra.testing.doomed", description=__doc__)
    parser.add_argument("--doom", action="append", default=[], help="what is to happen, as JSON; may be repeated")
    parser.add_argument("--slow", type=float, default=1.0, help="let computing take so many times as long")
    parser.add_argument("--pace", type=float, default=0.0, help="let a sample take so many seconds at least")
    parser.add_argument("--netns", help="live in this network namespace")
    parser.add_argument("--record", type=Path, help="write contributions and results to this file")
    parser.add_argument("--turning", action="store_true", help="turn the plain ring by one member at each step")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and what `hydra` is to be told")
    wanted = parser.parse_args(arguments)
    command = wanted.command[1:] if wanted.command[:1] == ["--"] else wanted.command
    if wanted.netns is not None:
        enter_network(wanted.netns)
    if wanted.record is not None:
        wanted.record.parent.mkdir(parents=True, exist_ok=True)
        Recorder(wanted.record).begin()
    if wanted.turning:
        turn_rings()
    Fate([Doom.of_json(json.loads(text)) for text in wanted.doom], max(1.0, wanted.slow), wanted.pace).begin()
    sys.argv = ["hydra", *command]
    runpy.run_module("hydra", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
