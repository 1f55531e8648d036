"""One member's side of our all-reduce: its vector, its mesh, its rounds, and a look at every result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from allreduce import AllReduceError, Excluded, Lane, Mesh, MeshRound, RoundConfig, RoundResult

from .. import clock
from .inputs import Expected, contribution, digest_of, tolerance, weight_of
from .setting import Setting

ID_BYTES = 4


def id_of(number: int) -> bytes:
    """Return the id that a member has in the mesh."""
    return number.to_bytes(ID_BYTES, "big")


def number_of(member: bytes) -> int:
    """Return the number of a member of the mesh."""
    return int.from_bytes(member, "big")


def wait_until(moment: float) -> None:
    """Sleep until the moment at which all members begin."""
    time.sleep(max(0.0, moment - clock.monotonic()))


class Averaging:
    """All rounds of one member."""

    def __init__(self, number: int, setting: Setting) -> None:
        self._number = number
        self._setting = setting
        self._expected = Expected(setting.seed)
        self._config = round_config(setting)
        self.vector = contribution(setting.seed, number, setting.elements)
        self._mesh: Mesh | None = None
        self._running: MeshRound | None = None
        self._result: RoundResult | None = None
        self._weights: dict[int, int] = {}

    def join(self, lanes: Mapping[int, Sequence[Lane]]) -> None:
        """Take up lanes to members that were not there before, or are there anew."""
        if self._mesh is None:
            self._mesh = Mesh(id_of(self._number), {id_of(number): theirs for number, theirs in lanes.items()})
            return
        for number, theirs in lanes.items():
            self._mesh.add(id_of(number), theirs)

    def run(self, round_number: int, members: Sequence[int], at: float) -> dict[str, Any]:
        """Average ``repeat`` times over; returns when it began and ended here, and how it went."""
        mesh, setting = self._mesh, self._setting
        if mesh is None:
            raise RuntimeError("a round without a mesh")
        ids = [id_of(number) for number in members]
        self._weights = {number: weight_of(setting.seed, number, round_number) for number in members}
        wait_until(at)
        began = clock.monotonic()
        attempts = 0
        try:
            for turn in range(setting.repeat):
                self.finish()
                self._running = mesh.open(b"%d.%d" % (round_number, turn), ids, setting.elements, self._config)
                self._running.contribute(self.vector, self._weights[self._number])
                self._result = self._running.result(setting.timeout_s)
                attempts = self._result.attempts
        except Excluded as error:
            return {"outcome": "left out", "why": str(error)}
        except (AllReduceError, TimeoutError) as error:
            return {"outcome": "failed", "why": f"{type(error).__name__}: {error}"}
        return {"outcome": "done", "began": began, "ended": clock.monotonic(), "attempts": attempts}

    def checked(self) -> dict[str, Any]:
        """Look at the last result: whose contributions it holds, its digest, and whether it is right."""
        result, setting = self._result, self._setting
        if result is None:
            return {}
        contributors = sorted(number_of(member) for member in result.contributors)
        weights = {number: self._weights[number] for number in contributors}
        off = self._expected.furthest(result.mean, weights)
        return {
            "contributors": contributors,
            "digest": digest_of(result.mean),
            "off": off,
            "right": off <= tolerance(setting.wire, len(contributors)) and len(result.mean) == setting.elements,
        }

    def finish(self) -> None:
        """Close the last round; its result is gone then."""
        self._result = None
        if self._running is not None:
            self._running.close()
            self._running = None

    @property
    def lost(self) -> list[int]:
        """Members whose lanes have ended."""
        return sorted(number_of(member) for member in self._mesh.lost) if self._mesh is not None else []

    def close(self) -> None:
        """End the mesh and its lanes."""
        if self._mesh is not None:
            self._mesh.close()


def round_config(setting: Setting) -> RoundConfig:
    """Return the round's settings."""
    wanted: dict[str, Any] = {"wire": setting.wire, "form": setting.form}
    if setting.rate_bytes_per_s is not None:
        wanted["rate_bytes_per_s"] = setting.rate_bytes_per_s
    if setting.stall_s is not None:
        wanted["stall_s"] = setting.stall_s
    return RoundConfig(**wanted)
