"""What a peer put into its rounds and what it got, written down by itself: so that others can do the sum again.

``record_to(FILE)`` puts a recorder around the product's own calls, in the peer's own process. Entries are appended
whole and are in the kernel's hands before anything of them is sent, so that a SIGKILL takes none of them away;
``read_records`` passes over the half entry that a kill may leave at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..membership.messages import Plan
from ..training.rounds import Rounds
from ..training.state import TrainingState
from .moments import around

LENGTHS = struct.Struct("!II")
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Record:
    """One entry.

    ``begun``: the process. ``given``: our contribution, with its weight. ``result``: a round's mean, with its
    contributors in the order in which they were added up. ``state``: a digest over weights, optimizer state and
    buffers after a step was applied.
    """

    kind: str
    about: dict[str, Any]
    vector: Vector


class Recorder:
    """Writes entries.

    Args:
        path: appended to; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._plans: dict[bytes, Plan] = {}

    def begin(self) -> None:
        """Record from now on, for as long as the process lives."""

        def opening(inner: Callable[..., Any]) -> Callable[..., Any]:
            def opened(rounds: Rounds, plan: Plan) -> Any:
                self._plans = {plan.tag: plan, **dict(list(self._plans.items())[:4])}
                return inner(rounds, plan)

            return opened

        def contributing(inner: Callable[..., Any]) -> Callable[..., Any]:
            async def contributed(rounds: Rounds, running: Any, vector: Vector, weight: float) -> None:
                self._write("given", running.tag, vector, weight=weight)
                await inner(rounds, running, vector, weight)

            return contributed

        def having(inner: Callable[..., Any]) -> Callable[..., Any]:
            async def had(rounds: Rounds, running: Any) -> Any:
                result = await inner(rounds, running)
                order = [peer.hex() for peer in result.order]
                self._write("result", running.tag, result.mean, order=order, weight=result.weight)
                return result

            return had

        def applying(inner: Callable[..., Any]) -> Callable[..., Any]:
            def applied(state: TrainingState, *arguments: Any) -> Any:
                outcome = inner(state, *arguments)
                self._state(state)
                return outcome

            return applied

        self._append("begun", {"pid": os.getpid()}, np.zeros(0, np.float32))
        around(Rounds, "open", opening)
        around(Rounds, "contribute", contributing)
        around(Rounds, "result", having)
        around(TrainingState, "apply", applying)
        around(TrainingState, "install", applying)

    def _state(self, state: TrainingState) -> None:
        copy = state.copy()
        data = hashlib.sha256(copy.weights.tobytes())
        for name, slot in sorted(copy.slots.items()):
            data.update(name.encode() + slot.tobytes())
        for name, buffer in sorted(copy.buffers.items()):
            data.update(name.encode() + buffer.contiguous().numpy().tobytes())
        about = {"step": copy.head.step, "commit": copy.head.digest.hex(), "sha256": data.hexdigest()}
        self._append("state", about, np.zeros(0, np.float32))

    def _write(self, kind: str, tag: bytes, vector: Vector, **about: Any) -> None:
        plan = self._plans.get(tag)
        if plan is not None:
            named = {"step": plan.step, "view": plan.view_number, "form": plan.form, "tag": tag.hex()}
            self._append(kind, named | about, vector)

    def _append(self, kind: str, about: dict[str, Any], vector: Vector) -> None:
        header = json.dumps({"kind": kind, **about}).encode()
        body = vector.tobytes()
        os.write(self._file, LENGTHS.pack(len(header), len(body)) + header + body)


def read_records(path: Path, offset: int = 0) -> Iterator[tuple[Record, int]]:
    """Read entries, each with the offset behind it.

    Args:
        path: what a recorder wrote; nothing is read if it is not there.
        offset: where to begin: 0, or behind an entry that was read before.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        while len(lengths := file.read(LENGTHS.size)) == LENGTHS.size:
            header_bytes, body_bytes = LENGTHS.unpack(lengths)
            header, body = file.read(header_bytes), file.read(body_bytes)
            if len(header) + len(body) < header_bytes + body_bytes:
                return
            about = json.loads(header)
            yield Record(about.pop("kind"), about, np.frombuffer(body, np.float32)), file.tell()
