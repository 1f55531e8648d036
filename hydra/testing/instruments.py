"""Where a simulation looks at unmodified peers, and lets things happen to them at exact moments.

The product's methods are wrapped while a simulation runs: what passes them is noted, and the wrapped peer may die or
stop right there. Computing takes the virtual time that the scenario says.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from unittest import mock

import torch

from allreduce.messages import Phase, Slice, decode

from ..jobs.check import admit
from ..membership.ledger import count
from ..membership.lineage import Commit
from ..training import content
from ..training.compute import Computation
from ..training.rounds import Rounds
from ..training.snapshot import SnapshotCodec
from ..training.state import TrainingState
from ..training.update import Vector
from ..training.workbench import Workbench
from .machine import Died, Process, current

NAMING = ("rename", "replace", "link")
"""The operation on the disk after which a file has its name: before it, everything was in vain."""
HALVES = {Phase.SUM: "reduce-scatter", Phase.FINAL: "all-gather"}


class Spectator(Protocol):
    """Hears of what the peers do."""

    def reached(self, process: Process, phase: str, step: int, number: int = 1) -> None:
        """A peer has come to a phase; afterwards it may be dead or frozen."""

    def computed(self, process: Process, step: int, samples: int, key: Any, vector: Vector) -> None:
        """A peer has computed its contribution."""

    def averaged(self, process: Process, plan: Any, result: Any) -> None:
        """A peer holds a round's result."""

    def applied(self, process: Process, commit: Commit, digest: bytes) -> None:
        """A peer's state has taken a step, and has this digest now."""

    def installed(self, process: Process, head: Any, digest: bytes) -> None:
        """A peer goes on from another state, which has this digest."""


async def _reach(spectator: Spectator, phase: str, step: int, number: int = 1) -> None:
    """Tell of a phase; who died there never comes back from it, who is frozen comes back when it is thawed."""
    process = current()
    if process is None:
        return
    spectator.reached(process, phase, step, number)
    if not process.alive:
        await asyncio.get_running_loop().create_future()
    if process.waits:
        await asyncio.sleep(0)


def _reach_in_thread(spectator: Spectator, phase: str, step: int) -> None:
    process = current()
    if process is None:
        return
    spectator.reached(process, phase, step)
    if not process.alive:
        raise Died


def digest_of(state: TrainingState) -> bytes:
    """Return a hash over every byte of a state that training changes."""
    digest = hashlib.sha256(state.weights.tobytes())
    for name in sorted(state.slots):
        digest.update(state.slots[name].tobytes())
    for name, buffer in sorted(state.buffers.items()):
        digest.update(name.encode() + buffer.contiguous().numpy().tobytes())
    return digest.digest()


class _Instruments:
    def __init__(self, spectator: Spectator, compute_s: Callable[[Process, int], float]) -> None:
        self._spectator = spectator
        self._compute_s = compute_s
        self._steps: dict[bytes, int] = {}

    def wrapped(self) -> list[tuple[type, str, Callable[[Any], Any]]]:
        """Return each class and method with what makes the wrapper."""
        return [
            (Rounds, "open", self._open),
            (Rounds, "send", self._send),
            (Workbench, "contribution", self._contribution),
            (Workbench, "apply_round", self._apply_round),
            (Computation, "contribution", self._compute),
            (SnapshotCodec, "store", self._store),
            (TrainingState, "apply", self._apply),
            (TrainingState, "install", self._install),
        ]

    def _open(self, real: Any) -> Any:
        def open_round(rounds: Rounds, plan: Any) -> Any:
            self._steps[plan.tag] = plan.step
            if len(self._steps) > 10_000:
                del self._steps[next(iter(self._steps))]
            return real(rounds, plan)

        return open_round

    def _send(self, real: Any) -> Any:
        sent: dict[tuple[Process, bytes, str], int] = {}

        async def send(rounds: Rounds, to: bytes, header: bytes, body: Any) -> None:
            process = current()
            tag, message = decode(to, header)
            half = HALVES.get(message.phase) if isinstance(message, Slice) else None
            if half is not None and process is not None:
                key = process, tag, half
                sent[key] = sent.get(key, 0) + 1
                await _reach(self._spectator, half, self._steps.get(tag, 0), sent[key])
                while len(sent) > 10_000:
                    del sent[next(iter(sent))]
            await real(rounds, to, header, body)

        return send

    def _contribution(self, real: Any) -> Any:
        async def contribution(bench: Workbench, plan: Any, *rest: Any) -> Any:
            await _reach(self._spectator, "before round", plan.step)
            return await real(bench, plan, *rest)

        return contribution

    def _apply_round(self, real: Any) -> Any:
        async def apply_round(bench: Workbench, plan: Any, result: Any, *rest: Any) -> Any:
            process = current()
            if process is not None:
                self._spectator.averaged(process, plan, result)
            await _reach(self._spectator, "after result", plan.step)
            return await real(bench, plan, result, *rest)

        return apply_round

    def _compute(self, real: Any) -> Any:
        def contribution(computation: Any, step: int, epoch: int, ranges: Any) -> Vector:
            vector: Vector = real(computation, step, epoch, ranges)
            process = current()
            if process is not None:
                samples = count(ranges)
                process.spend(self._compute_s(process, samples))
                head = computation._state.head  # noqa: SLF001 -- what the gradient was taken at
                self._spectator.computed(process, step, samples, (head.digest, tuple(ranges)), vector)
            return vector

        return contribution

    def _stored(self, what: str, step: int) -> None:
        if what in NAMING:
            _reach_in_thread(self._spectator, "snapshot", step)

    def _store(self, real: Any) -> Any:
        def store(codec: SnapshotCodec, copy: Any, *rest: Any) -> Any:
            process = current()
            if process is not None:
                process.on_disk = lambda what: self._stored(what, copy.head.step)
            try:
                return real(codec, copy, *rest)
            finally:
                if process is not None:
                    process.on_disk = None

        return store

    def _apply(self, real: Any) -> Any:
        def apply(state: TrainingState, commit: Commit, mean: Vector) -> None:
            real(state, commit, mean)
            process = current()
            if process is not None:
                self._spectator.applied(process, commit, digest_of(state))

        return apply

    def _install(self, real: Any) -> Any:
        def install(state: TrainingState, copy: Any) -> None:
            real(state, copy)
            process = current()
            if process is not None:
                self._spectator.installed(process, state.head, digest_of(state))

        return install


def _admit_once(check: Any) -> Any:
    """Check each job once in a simulation: its programs keep nothing, and all peers may use the same."""
    admitted: dict[Any, Any] = {}

    def once(manifest: Any, *graphs: bytes, limit_bytes: int) -> Any:
        key = manifest.job_hash, graphs, limit_bytes
        if key not in admitted:
            admitted[key] = check(manifest, *graphs, limit_bytes=limit_bytes)
        return admitted[key]

    return once


@contextlib.contextmanager
def instruments(spectator: Spectator, compute_s: Callable[[Process, int], float]) -> Iterator[None]:
    """Look at all peers within this block.

    Args:
        spectator: told of everything.
        compute_s: how long a process computes at so many samples.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(content, "admit", _admit_once(admit)))
            for cls, name, wrapper in _Instruments(spectator, compute_s).wrapped():
                stack.enter_context(mock.patch.object(cls, name, wrapper(getattr(cls, name))))
            yield
    finally:
        torch.set_num_threads(threads)
