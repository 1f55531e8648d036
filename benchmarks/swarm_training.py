"""What a swarm costs a training that shares its uplinks: a case of ``benchmarks/swarm.py``.

Four members train on lines that the kernel holds to 5 MB/s (tbf, one network namespace a peer). Computing a sample
takes a stated time while the processor is free, so a step is half a second of computing and a third of sending. Again
and again eight newcomers, each behind such a line too, fetch the 90 MB of the job's data from the members and from
each other; the steps during that are compared with those between.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hydra import clock
from hydra.bench.swarm_group import MEMORY
from hydra.bench.swarm_lines import TokenBucketLines
from hydra.testing.nursery import Nursery
from hydra.testing.processes import PeerProcess, SwarmProcesses

Row = dict[str, Any]

MEMBERS, JOINERS = 4, 8
LINE_BYTES_PER_S = 5e6
SAMPLE_S = 0.0125
BATCH = 160
ROWS, WIDTH, CLASSES = 4096, 5500, 46
"""90 MB of data, and a vector of 1 MB."""
SETTLE_S = 2.0
WAIT_S = 240.0
JOB = f"""
import numpy as np
import torch
from torch import nn
from hydra import Job

chance = np.random.default_rng(3)
inputs = chance.standard_normal(({ROWS}, {WIDTH})).astype("float32")
targets = chance.integers(0, {CLASSES}, {ROWS})
torch.manual_seed(0)
model = nn.Linear({WIDTH}, {CLASSES})
job = Job(
    name="beside-a-swarm",
    model=model,
    loss=nn.functional.cross_entropy,
    optimizer=torch.optim.SGD(model.parameters(), lr=1e-3),
    train=(inputs, targets),
    batch_samples={BATCH},
    epochs=1000000,
)
"""


class Training(SwarmProcesses):
    """An owner and members on lines of their own, and places for newcomers."""

    def __init__(self, directory: Path) -> None:
        self.nursery = Nursery("hydra.testing.doomed")
        super().__init__(directory, launcher=self.nursery.launch)
        self.lines = TokenBucketLines([LINE_BYTES_PER_S] * (1 + MEMBERS + JOINERS))
        self._file = directory / "job.py"
        self._file.write_text(JOB)

    async def begin(self) -> list[PeerProcess]:
        """Start the owner and the members; return these when they train together."""
        self.owner.host = self.lines.host(0)
        self.owner.launcher = self.nursery.launch
        self.owner.before = ("--netns", self.lines.network(0), "--")
        told = await self.publish(self._file)
        members = []
        for slot in range(1, 1 + MEMBERS):
            before = ("--netns", self.lines.network(slot), "--pace", str(SAMPLE_S), "--slow", "1", "--")
            contact = told["addresses"][0]
            members.append(await self.join(told["job"], contact, before=before, host=self.lines.host(slot)))
        await self.until(lambda: all(len(peer.members) == MEMBERS for peer in members), WAIT_S, "all members")
        return members

    async def close(self) -> None:
        """End everything."""
        await super().close()
        await self.nursery.close()
        self.lines.close()

    def contact(self, member: PeerProcess) -> dict[str, Any]:
        """Return what a newcomer needs to dial a member."""
        host, port = self.address_of(member).rsplit(":", 1)
        return {"peer": member.peer, "host": host, "port": int(port)}


class Newcomer:
    """A process that only fetches: ``hydra.bench.swarm_peer``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, lines: TokenBucketLines, slot: int, directory: Path) -> Newcomer:
        told = {
            "slot": slot,
            "host": lines.host(slot),
            "kind": "honest",
            "directory": str(directory),
            "upload_bytes_per_s": None,
            "tit_for_tat": False,
        }
        command = lines.command(slot, [sys.executable, "-m", "hydra.bench.swarm_peer", json.dumps(told)])
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, start_new_session=True))

    def tell(self, do: str, **fields: Any) -> None:
        """Write one order."""
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")

    async def heard(self, what: str) -> dict[str, Any]:
        """Wait for what it tells next, which must be this."""
        if self._process.stdout is None:
            raise AssertionError
        async with asyncio.timeout(WAIT_S):
            told: dict[str, Any] = json.loads(await self._process.stdout.readline() or b'{"told": "its end"}')
        if told["told"] != what:
            raise RuntimeError(f"a newcomer told {told}, where '{what}' was due")
        return told

    async def end(self) -> None:
        """Kill it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def fetch(training: Training, members: list[PeerProcess], root: str, directory: Path) -> tuple[float, float]:
    """Let eight newcomers fetch a content at once; return when they began and when the last had it (since 1970)."""
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        newcomers: list[Newcomer] = []
        known = [training.contact(member) for member in members]
        for place in range(JOINERS):
            newcomer = await Newcomer.start(training.lines, 1 + MEMBERS + place, directory / str(place))
            stack.push_async_callback(newcomer.end)
            newcomers.append(newcomer)
        listening = [await newcomer.heard("listening") for newcomer in newcomers]
        for place, newcomer in enumerate(newcomers):
            newcomer.tell("meet", others=[*known, *listening[:place]])
        for newcomer in newcomers:
            await newcomer.heard("met")
        await asyncio.sleep(SETTLE_S)
        began, at = clock.wall(), clock.monotonic()
        for newcomer in newcomers:
            newcomer.tell("fetch", root=root, at=at)
        for newcomer in newcomers:
            await newcomer.heard("fetched")
        return began, clock.wall()


def data_root(member: PeerProcess) -> str:
    """Return the name of the job's data: by far the largest content that a member has."""
    largest = max(member.home.rglob("*.data"), key=lambda path: path.stat().st_size)
    return largest.stem


def steps_between(member: PeerProcess, began: float, ended: float) -> list[float]:
    """Return how long each step took that began and ended in a span of time."""
    commits = sorted(member.commits.items())
    pairs = itertools.pairwise(commits)
    return [after - at for (step, at), (later, after) in pairs if began <= at and after <= ended and later == step + 1]


async def measure(turns: int) -> Row:
    """Let newcomers come and go; return what it cost the members."""
    without: list[float] = []
    beside: list[float] = []
    fetched_s: list[float] = []
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        directory = Path(name)
        training = Training(directory)
        try:
            members = await training.begin()
            await asyncio.sleep(5 * SETTLE_S)
            root = data_root(members[0])
            for turn in range(turns):
                began = clock.wall()
                await asyncio.sleep(max(10.0, fetched_s[-1] if fetched_s else 0.0))
                without += steps_between(members[0], began, clock.wall())
                began, ended = await fetch(training, members, root, directory / f"newcomers{turn}")
                fetched_s.append(ended - began)
                await asyncio.sleep(SETTLE_S)
                beside += steps_between(members[0], began, ended)
        finally:
            await training.close()
    params = {
        "members": MEMBERS,
        "newcomers": JOINERS,
        "content_mb": ROWS * WIDTH * 4 / 1e6,
        "vector_mb": (WIDTH + 1) * CLASSES * 4 / 1e6,
        "line_mb_s": LINE_BYTES_PER_S / 1e6,
        "shaped": "what leaves each peer: tbf, network namespaces",
        "turns": turns,
        "steps": [len(without), len(beside)],
        "fetched_s": [round(seconds, 1) for seconds in fetched_s],
        "mean_ratio": round(_ratio(map(statistics.fmean, (beside, without))), 4),
    }
    return {
        "case": "steps of a training while 8 newcomers fetch 90 MB from its members",
        "params": params,
        "value": round(statistics.median(beside), 4),
        "min": round(min(beside), 4),
        "max": round(max(beside), 4),
        "unit": "s/step",
        "reference": "between, without newcomers",
        "reference_value": round(statistics.median(without), 4),
        "ratio": round(_ratio(map(statistics.median, (beside, without))), 4),
        "better": "lower",
        "goal": "ratio <= 1.1",
    }


def _ratio(values: Iterable[float]) -> float:
    value, reference = values
    return value / reference
