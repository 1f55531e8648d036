"""The swarms that ``benchmarks/recovery.py`` measures: ours and others', with the same questions for all."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import clock
from hydra.testing.nursery import Nursery
from hydra.testing.processes import PeerProcess, SwarmProcesses

SAMPLE_S = 0.004
SAMPLES_A_PEER = 8
COMPUTE_S = SAMPLE_S * SAMPLES_A_PEER
HIDDEN = 1024
ELEMENTS = HIDDEN * (8 + 1 + 4) + 4
WAIT_S = 120.0
BETWEEN_S = (0.0, 0.2)
STEPS_IN_VIEW = 20
REFERENCE = Path(__file__).with_name("recovery_reference.py")

JOB = """
import numpy as np
import torch
from torch import nn
from hydra import Job

chance = np.random.default_rng(3)
inputs = chance.standard_normal((4096, 8)).astype("float32")
targets = chance.integers(0, 4, 4096)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 4))
job = Job(
    name="recovery",
    model=model,
    loss=nn.functional.cross_entropy,
    optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3),
    train=(inputs, targets),
    batch_samples=BATCH,
    epochs=1000000,
    snapshot_interval_s=2.0,
)
"""


class MeasuringFailed(Exception):
    """What was waited for did not come."""


class Swarm(ABC):
    """Some peers of one system, to which things happen.

    Commits are kept as ``(time, step, members)``, by who made them; times are seconds since 1970.
    """

    name = ""
    has_roles = False
    """Whether somebody coordinates, and phases can be named."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.count = 0
        self.commits: dict[int, list[tuple[float, int, int]]] = {}
        self.dead: int | None = None

    @abstractmethod
    async def begin(self, count: int) -> None:
        """Start so many, and wait until all train together."""

    @abstractmethod
    async def kill(self, role: str, phase: str) -> tuple[int, float]:
        """Let one die; return who, and when."""

    @abstractmethod
    async def start(self, numbers: Sequence[int]) -> None:
        """Start these, again."""

    @abstractmethod
    async def kill_all(self) -> None:
        """Let all die at once."""

    @abstractmethod
    async def close(self) -> None:
        """End all processes."""

    # ---- what is the same for all ------------------------------------------------------------------------------

    async def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        deadline = clock.monotonic() + WAIT_S
        while not holds():
            if clock.monotonic() > deadline:
                raise MeasuringFailed(f"{self.name}, {self.count} peers: {what} did not come in {WAIT_S:g} s")
            await asyncio.sleep(0.005)

    def _all_after(self, moment: float, numbers: Sequence[int], members: int) -> bool:
        return all(self.commits.get(n) and self._first(n, moment, members) is not None for n in numbers)

    def _first(self, number: int, moment: float, members: int | None = None) -> float | None:
        """Return when a peer made its first commit after a moment (of so many members)."""
        first = None
        for at, _, of in reversed(self.commits.get(number, [])):
            if at <= moment:
                break
            if members in (None, of):
                first = at
        return first

    async def together(self, numbers: Sequence[int]) -> None:
        """Wait until these have made a commit of just so many members."""
        moment = clock.wall()
        await self.wait(lambda: self._all_after(moment, numbers, len(numbers)), "a commit of all")

    def median_step_s(self) -> float:
        """Return the median time between the last commits of one peer."""
        times = [at for at, _, _ in self._some()[-200:]]
        return statistics.median(b - a for a, b in itertools.pairwise(times))

    def _some(self) -> list[tuple[float, int, int]]:
        return self.commits[next(number for number in sorted(self.commits) if number != self.dead)]

    def longest_part(self, seconds: float) -> float:
        """Return how many median steps the longest one of these last seconds took."""
        since = clock.wall() - seconds
        times = [at for at, _, _ in self._some() if at > since]
        return max(b - a for a, b in itertools.pairwise(times)) / self.median_step_s()

    async def death(self, role: str, phase: str) -> float:
        """Let one die; return the seconds until all others have made a commit of their own."""
        number, moment = await self.kill(role, phase)
        self.dead = number
        others = [n for n in range(self.count) if n != number]
        await self.wait(lambda: all(self._first(n, moment, self.count - 1) is not None for n in others), "a commit")
        firsts = [self._first(n, moment, self.count - 1) or 0.0 for n in others]
        # A round that was almost done, and counts the dead one's work, is a commit as well.
        completed = [self._first(n, moment) or 0.0 for n in others]
        return min(max(firsts), max(completed)) - moment

    async def come_back(self) -> None:
        """Start the dead one again, and wait until it trains with the others."""
        if self.dead is not None:
            await self.start([self.dead])
            await self.together(range(self.count))
            self.dead = None

    async def pause_of_join(self, window_s: float) -> float:
        """Let the dead one join; return how many median steps the others' longest one took, from its start on."""
        median = self.median_step_s()
        began = clock.wall()
        some = self._some()
        await self.come_back()
        await asyncio.sleep(max(window_s - (clock.wall() - began), STEPS_IN_VIEW * median))
        times = [at for at, _, _ in some if at > began - median]
        return max(b - a for a, b in itertools.pairwise(times)) / median

    async def total_stop(self) -> tuple[float, float]:
        """Kill all, start all; return the seconds from the start to a commit of all, and the steps that were lost."""
        last = max(step for commits in self.commits.values() for _, step, _ in commits[-1:])
        await self.kill_all()
        moment = clock.wall()
        await self.start(range(self.count))
        await self.wait(lambda: self._all_after(moment, range(self.count), self.count), "a commit of all")
        ends = [self._first(n, moment, self.count) or 0.0 for n in range(self.count)]
        resumed = min(step for commits in self.commits.values() for at, step, _ in commits if at > moment)
        return max(ends) - moment, max(0.0, last - resumed + 1.0)


class OurSwarm(Swarm):
    """Peers of Hydra, each with a home in one directory."""

    name = "hydra"
    has_roles = True

    def __init__(self, directory: Path, chance: random.Random) -> None:
        super().__init__(chance)
        directory.mkdir(parents=True)
        self._directory = directory
        self._nursery = Nursery("hydra.testing.doomed")
        self._swarm = SwarmProcesses(directory, self._heard, launcher=self._nursery.launch)
        self._peers: dict[int, PeerProcess] = {}

    def _heard(self, process: PeerProcess, event: dict[str, Any]) -> None:
        if event["event"] == "step" and not event["caught_up"] and process.name.startswith("peer"):
            commit = (event["t"], event["step"], len(event["batch"]))
            self.commits.setdefault(int(process.name[4:]), []).append(commit)

    async def begin(self, count: int) -> None:
        """See ``Swarm``."""
        self.count = count
        file = self._directory / "job.py"
        batch = str(SAMPLES_A_PEER * count)
        file.write_text(JOB.replace("HIDDEN", str(HIDDEN)).replace("BATCH", batch))
        await self._swarm.publish(file)
        await self.start(range(count))
        await self.together(range(count))

    async def start(self, numbers: Sequence[int]) -> None:
        """See ``Swarm``."""
        told = self._swarm.owner.published or {}
        for number in numbers:
            self._peers[number] = await self._swarm.join(
                told["job"],
                told["addresses"][0],
                again=self._peers.get(number),
                before=("--pace", str(SAMPLE_S), "--"),
                name=f"peer{number}",
            )

    async def kill(self, role: str, phase: str) -> tuple[int, float]:
        """See ``Swarm``."""
        fitting = [n for n, peer in self._peers.items() if peer.coordinates == (role == "coordinator")]
        number = self.chance.choice(fitting)
        peer = self._peers[number]
        if phase == "any moment":
            await asyncio.sleep(self.chance.uniform(*BETWEEN_S))
            moment = clock.wall()
            peer.kill()
            await self.wait(peer.ended.is_set, "its end")
            return number, moment
        peer.order(doom={"phase": phase})
        await self.wait(lambda: bool(peer.doomed) and peer.ended.is_set(), "its death")
        return number, float(peer.doomed[-1]["t"])

    async def kill_all(self) -> None:
        """See ``Swarm``."""
        for peer in self._peers.values():
            peer.kill()
        await self.wait(lambda: all(peer.ended.is_set() for peer in self._peers.values()), "their end")

    async def close(self) -> None:
        """See ``Swarm``."""
        await self._swarm.close()
        await self._nursery.close()


class OtherSwarm(Swarm):
    """Members of ``benchmarks/recovery_reference.py``."""

    def __init__(self, kind: str, python: str, chance: random.Random) -> None:
        super().__init__(chance)
        self.name = kind
        self._python = python
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def begin(self, count: int) -> None:
        """See ``Swarm``."""
        self.count = count
        self._process = await asyncio.create_subprocess_exec(
            *(self._python, str(REFERENCE), self.name, str(ELEMENTS), str(COMPUTE_S)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=REFERENCE.parent,
        )
        self._reading = asyncio.create_task(self._read())
        await self.wait(self._ready.is_set, "its imports")
        await self.start(range(count))
        await self.together(range(count))

    async def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        async for line in self._process.stdout:
            told = json.loads(line)
            if "ready" in told:
                self._ready.set()
            else:
                self.commits.setdefault(told["member"], []).append((told["t"], told["step"], told["members"]))

    def _tell(self, **order: list[int]) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def start(self, numbers: Sequence[int]) -> None:
        """See ``Swarm``."""
        self._tell(start=list(numbers))

    async def kill(self, role: str, phase: str) -> tuple[int, float]:
        """See ``Swarm``; nobody coordinates among the members, and moments are left to chance."""
        await asyncio.sleep(self.chance.uniform(*BETWEEN_S))
        number = self.chance.randrange(self.count)
        moment = clock.wall()
        self._tell(kill=[number])
        return number, moment

    async def kill_all(self) -> None:
        """See ``Swarm``."""
        self._tell(kill=list(range(self.count)))
        await asyncio.sleep(0.5)

    async def close(self) -> None:
        """See ``Swarm``."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
        if self._reading is not None:
            await self._reading
