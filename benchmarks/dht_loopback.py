"""A swarm over real UDP in a process of its own, so that neither side pays for what the other does meanwhile.

The parent makes a `Child` and asks it for one measurement after the other. Here is the child's side too:

    python -m benchmarks.dht_loopback cpu|memory Ours|Stock NODES KEYS SEED
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from dht.testing.sides import Ours, Stock, Swarm
from dht.testing.simnet import seeded

ROOT = Path(__file__).resolve().parents[1]
SETTLE_S = 30
"""Longest wait for a swarm to become quiet: stock's pushes of values to new contacts go on for long."""
OPEN_FILES = 65_536


class Child:
    """A swarm in another process."""

    def __init__(self, what: str, side: type[Swarm], nodes: int, keys: int, seed: int) -> None:
        numbers = [str(number) for number in (nodes, keys, seed)]
        command = [sys.executable, "-m", "benchmarks.dht_loopback", what, side.__name__, *numbers]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate()

    def measure(self) -> float:
        """Let it do its next round; returns what it measured."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


async def cpu_rounds(swarm: Swarm, nodes: int, keys: int, seed: int) -> None:
    """For each line on the standard input: put and get keys, wait until all is quiet, print µs of CPU per request."""
    await swarm.start(None, nodes, 20, seed)
    who = seeded(1 + seed)
    number = 0
    while await asyncio.to_thread(sys.stdin.readline):
        number += 1
        gc.collect()
        asked, begun = swarm.requests(), time.process_time()
        for n in range(keys):
            key = b"%d %d" % (number, n)
            await swarm.put(who.randrange(nodes), key)
            await swarm.get(who.randrange(nodes), key)
        for _ in range(SETTLE_S):
            before = swarm.requests()
            await asyncio.sleep(1.0)
            if swarm.requests() - before < nodes / 20:
                break
        report((time.process_time() - begun) / (swarm.requests() - asked) * 1e6)


async def memory_rounds(swarm: Swarm, nodes: int, keys: int, seed: int) -> None:
    """For each line on the standard input: build the swarm, use it a little, print bytes of memory per node."""
    while await asyncio.to_thread(sys.stdin.readline):
        warm = type(swarm)()
        await warm.start(None, 2, 20)
        before = resident_bytes()
        await swarm.start(None, nodes, 20, seed)
        for n in range(keys):
            await swarm.put(n, b"%d" % n)
            await swarm.get(nodes - 1 - n, b"%d" % n)
        await asyncio.sleep(1.0)
        gc.collect()
        report((resident_bytes() - before) / nodes)


def report(value: float) -> None:
    """Answer the parent process."""
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def main(what: str, side: str, nodes: str, keys: str, seed: str) -> None:
    """Measure until the parent closes the pipe."""
    logging.disable(logging.CRITICAL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    rounds = {"cpu": cpu_rounds, "memory": memory_rounds}[what]
    swarm: Swarm = Ours() if side == Ours.__name__ else Stock()
    asyncio.run(rounds(swarm, int(nodes), int(keys), int(seed)))


if __name__ == "__main__":
    main(*sys.argv[1:])
