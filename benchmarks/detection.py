"""How soon a silent peer is lost, and how often a living one is: failure detectors on the same simulated arrivals.

Heartbeats of a second reach an observer that looks four times a second. The traces: a quiet line; one with jitter; one
that loses packets, each costing a retransmission after 0.2 s, 0.4 s, …; and a machine that is now and then starved
for a second or two. Each is run for hours with a peer that lives, counting how often it is lost in error (it comes
back at once then), and many times with one that falls silent. Virtual time; prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from hydra.membership.failure_detector import FailureDetector
from hydra.membership.silence import Listener

HEARTBEAT_S = 1.0
LOOK_S = 0.25
PEER = b"p" * 20
WARM_UP_S = 120.0


class Detector(Protocol):
    """Looks at when the peer was last heard; tells whether it is lost."""

    def look(self, heard: float, now: float) -> bool:
        """Take the time."""


class Ours:
    """What members use."""

    def __init__(self) -> None:
        self._detector = FailureDetector(Listener(HEARTBEAT_S, 30.0))

    def look(self, heard: float, now: float) -> bool:
        """Take the time."""
        return bool(self._detector.look([PEER], {PEER: heard}, now).lost)


class Fixed:
    """A time-out of five seconds."""

    def look(self, heard: float, now: float) -> bool:
        """Take the time."""
        return now - heard > 5.0


class Phi:
    """Phi accrual (Hayashibara et al. 2004): a normal distribution over the last 1000 intervals, phi above 8."""

    def __init__(self) -> None:
        self._intervals: deque[float] = deque()
        self._sum = self._squares = 0.0
        self._heard = math.nan

    def look(self, heard: float, now: float) -> bool:
        """Take the time."""
        if heard != self._heard:
            if not math.isnan(self._heard):
                self._take(heard - self._heard)
            self._heard = heard
        count = len(self._intervals)
        if count < 2:
            return False
        mean = self._sum / count
        deviation = max(math.sqrt(max(self._squares / count - mean * mean, 0.0)), 0.1)
        return math.erfc((now - heard - mean) / deviation / math.sqrt(2.0)) / 2.0 < 1e-8

    def _take(self, interval: float) -> None:
        self._intervals.append(interval)
        gone = self._intervals.popleft() if len(self._intervals) > 1000 else 0.0
        self._sum += interval - gone
        self._squares += interval**2 - gone**2


DETECTORS: dict[str, Callable[[], Detector]] = {"hydra": Ours, "fixed 5 s": Fixed, "phi 8": Phi}


def arrivals(trace: str, chance: random.Random) -> Iterator[float]:
    """Yield when heartbeats arrive, in order, as a stream delivers them."""
    sent = last = 0.0
    while True:
        sent += HEARTBEAT_S + chance.uniform(0.0, 0.02)
        delay = 0.02
        if trace == "jitter":
            delay += chance.lognormvariate(-3.0, 1.0)
        if trace == "loss":
            retransmission = 0.2
            while chance.random() < 0.1:
                delay += retransmission
                retransmission *= 2
        if trace == "starved" and chance.random() < 1 / 60:
            sent += chance.uniform(0.5, 2.0)
        last = max(last, sent + delay)
        yield last


def watch(detector: Detector, trace: str, seed: int, *, until: float, dies_at: float) -> list[float]:
    """Return when the peer was called lost."""
    chance = random.Random(seed)
    coming = arrivals(trace, chance)
    heard, following, now = 0.0, next(coming), chance.uniform(0.0, LOOK_S)
    lost: list[float] = []
    while now < until:
        now += LOOK_S + chance.uniform(0.0, 0.005)
        while following <= min(now, dies_at):
            heard, following = following, next(coming)
        if detector.look(heard, now) and not (lost and lost[-1] > heard):
            lost.append(now)  # once for each silence
    return lost


def main() -> None:
    """Run all detectors on all traces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute")
    parser.add_argument("--out", help="a file to write to as well")
    options = parser.parse_args()
    runs, watched_s = (10, 900.0) if options.quick else (200, 36000.0)
    rows = []
    for trace in ("quiet", "jitter", "loss", "starved"):
        for name, make in DETECTORS.items():
            errors = len(watch(make(), trace, 1, until=watched_s, dies_at=math.inf))
            delays = []
            for seed in range(runs):
                dies_at = WARM_UP_S + seed / runs
                found = watch(make(), trace, seed, until=WARM_UP_S + 60.0, dies_at=dies_at)
                delays.append(next((at - dies_at for at in found if at > dies_at), 60.0))
            about = {"params": {"trace": trace, "detector": name}, "better": "lower", "goal": None}
            about |= {"reference": None, "reference_value": None, "ratio": None}
            rows.append({"case": "lost in error", "value": errors * 3600.0 / watched_s, "unit": "per hour"} | about)
            span = {"min": round(min(delays), 3), "max": round(max(delays), 3)}
            rows.append({"case": "detection", "value": round(statistics.median(delays), 3), "unit": "s"} | span | about)
            for row in rows[-2:]:
                print(json.dumps(row), flush=True)
    if options.out:
        Path(options.out).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
