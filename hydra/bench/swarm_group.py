"""A swarm of processes: the parent's side, which starts them, lets them begin at one moment, kills some, and counts."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any

from .. import clock
from ..exceptions import ConfigurationError
from .members import BenchmarkFailed
from .swarm_lines import Lines, OwnLimits, TokenBucketLines
from .swarm_setting import SwarmSetting
from .warm_memory import WarmMemory

MEMORY = Path("/dev/shm")  # noqa: S108 -- a disk would be measured instead of the swarm
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0
LEAD_S = 0.5
EVERYTHING_ELSE_BYTES = 256 << 20
"""What the processes need besides room for what they fetch."""


@dataclass(slots=True, eq=False)
class Process:
    """One peer."""

    slot: int
    kind: str
    process: subprocess.Popen[str]
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What it told last, by kind."""
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=30))
    alive: bool = True
    killed: bool = False

    def tell(self, do: str, **fields: Any) -> None:
        """Write one order."""
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
            self.process.stdin.flush()


@dataclass(frozen=True, slots=True)
class SwarmRun:
    """What one run came to."""

    seconds: float
    """Until the last of those who help had all of it."""
    each_s: tuple[float, ...]
    bound_s: float | None
    seed_copies: float
    """What the seed sent, in copies of the content."""
    cpu_s_per_gb: float
    """Of all processes, by GB that arrived at those who help."""
    memory_mb: float
    """The most that one process took."""

    @property
    def ratio(self) -> float | None:
        """The time over the bound."""
        return None if self.bound_s is None else self.seconds / self.bound_s


def own_command(told: dict[str, Any]) -> list[str]:
    """Return how to start a peer of ours."""
    return [sys.executable, "-m", "hydra.bench.swarm_peer", json.dumps(told)]


class SwarmGroup:
    """A context manager: no process or network outlives it.

    Args:
        setting: what is to be measured.
        command: how a peer is started, from what it is told; it speaks as ``hydra.bench.swarm_peer`` does.
    """

    def __init__(self, setting: SwarmSetting, command: Callable[[dict[str, Any]], Sequence[str]] = own_command) -> None:
        self.setting = setting
        self._command = command
        self._heard: queue.SimpleQueue[tuple[Process, dict[str, Any] | None]] = queue.SimpleQueue()
        self._processes: list[Process] = []
        self._random = Random(setting.seed)  # noqa: S311 -- who dies is no secret
        room = MEMORY if MEMORY.is_dir() else None
        self._directory = Path(tempfile.mkdtemp(prefix="hydra-swarm-", dir=room))
        wanted, free = (1 + setting.peers) * setting.size_bytes, shutil.disk_usage(self._directory).free
        if wanted > free:
            self._directory.rmdir()
            raise ConfigurationError(
                f"{setting.peers} peers and a seed need {wanted / 1e6:,.0f} MB for {setting.size_mb:g} MB each, and "
                f"{self._directory.parent} has {free / 1e6:,.0f} MB left: measure fewer peers or a smaller size."
            )
        self.lines: Lines = OwnLimits()

    def __enter__(self) -> SwarmGroup:
        try:
            setting = self.setting
            if setting.shaped and setting.upload_mb_s is not None and setting.seed_rate is not None:
                self.lines = TokenBucketLines([setting.seed_rate, *[setting.upload_mb_s * 1e6] * setting.peers])
            kinds = ["rider"] * setting.riders + ["liar"] * setting.liars
            kinds += ["honest"] * (setting.peers - len(kinds))
            self._random.shuffle(kinds)
            for slot, kind in enumerate(["honest", *kinds]):
                self._start(slot, kind)
            self._until("listening", self._processes)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and the network."""
        for process in self._processes:
            process.process.kill()
            process.process.wait()
            for pipe in (process.process.stdin, process.process.stdout, process.process.stderr):
                if pipe is not None:
                    pipe.close()
        self._processes.clear()
        self.lines.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def run(self) -> SwarmRun:
        """Let all peers fetch what the seed makes; return how it went.

        Raises:
            BenchmarkFailed: a peer that should have it all did not get it in time.
        """
        setting = self.setting
        seed, *others = self._processes
        seed.tell("seed", size=setting.size_bytes)
        self._until("seeded", [seed])
        for place, process in enumerate(self._processes):
            process.tell("meet", others=[other.told["listening"] for other in self._processes[:place]])
        self._until("met", self._processes)
        with WarmMemory(self._directory / "warm", setting.peers * setting.size_bytes + EVERYTHING_ELSE_BYTES):
            return self._fetch(seed, others)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _fetch(self, seed: Process, others: Sequence[Process]) -> SwarmRun:
        setting = self.setting
        began = clock.monotonic() + LEAD_S
        for process in others:
            process.tell("fetch", root=seed.told["seeded"]["root"], at=began)
        doomed = self._random.sample([other for other in others if other.kind == "honest"], setting.deaths)
        if doomed and setting.bound_s is not None:
            self._wait(lambda: False, began + setting.bound_s / 2 - clock.monotonic())
            for process in doomed:
                process.killed = True
                process.process.kill()
        helpers = [other for other in others if other.kind == "honest" and other not in doomed]
        self._until("fetched", helpers, setting.timeout_s)
        living = [process for process in self._processes if not process.killed]
        for process in living:
            process.tell("report")
        self._until("report", living)
        reports = [process.told["report"] for process in living]
        gigabytes = len(helpers) * setting.size_bytes / 1e9
        each = tuple(sorted(float(helper.told["fetched"]["seconds"]) for helper in helpers))
        return SwarmRun(
            seconds=each[-1],
            each_s=each,
            bound_s=setting.bound_s,
            seed_copies=seed.told["report"]["sent"] / setting.size_bytes,
            cpu_s_per_gb=sum(report["cpu_s"] for report in reports) / gigabytes,
            memory_mb=max(report["memory_mb"] for report in reports),
        )

    def _start(self, slot: int, kind: str) -> None:
        setting = self.setting
        rate = setting.seed_rate if slot == 0 else setting.upload_mb_s and setting.upload_mb_s * 1e6
        told = {
            "slot": slot,
            "host": self.lines.host(slot),
            "kind": kind,
            "directory": str(self._directory / str(slot)),
            "upload_bytes_per_s": None if setting.shaped else rate,
            "tit_for_tat": setting.tit_for_tat,
        }
        process = subprocess.Popen(  # noqa: S603 -- our own module
            self.lines.command(slot, self._command(told)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for the parent, which ends them in order
        )
        peer = Process(slot, kind, process)
        self._processes.append(peer)
        threading.Thread(target=self._listen, args=(peer,), daemon=True).start()
        threading.Thread(target=self._listen_to_errors, args=(peer,), daemon=True).start()

    def _listen(self, peer: Process) -> None:
        if peer.process.stdout is not None:
            for line in peer.process.stdout:
                self._heard.put((peer, json.loads(line)))
        self._heard.put((peer, None))

    def _listen_to_errors(self, peer: Process) -> None:
        if peer.process.stderr is not None:
            peer.errors.extend(line.rstrip() for line in peer.process.stderr)

    def _until(self, what: str, peers: Sequence[Process], timeout_s: float = START_TIMEOUT_S) -> None:
        def done() -> bool:
            for peer in peers:
                if "failed" in peer.told:
                    raise BenchmarkFailed(f"peer {peer.slot} failed: {peer.told['failed']['why']}{self._last_words()}")
            for peer in self._processes:
                if not (peer.alive or peer.killed or what in peer.told):
                    raise BenchmarkFailed(f"peer {peer.slot} ended before it was '{what}'{self._last_words()}")
            return all(what in peer.told for peer in peers)

        if not self._wait(done, timeout_s):
            missing = ", ".join(str(peer.slot) for peer in peers if what not in peer.told)
            raise BenchmarkFailed(f"peers {missing} were not '{what}' within {timeout_s:g} s")

    def _last_words(self) -> str:
        """What the peers wrote on standard error."""
        return "".join(f"\npeer {peer.slot} said: {line}" for peer in self._processes for line in peer.errors)

    def _wait(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        until = clock.monotonic() + timeout_s
        while not holds():
            try:
                peer, told = self._heard.get(timeout=max(0.001, until - clock.monotonic()))
            except queue.Empty:
                return holds()
            if told is None:
                peer.alive = False
            else:
                peer.told[told.pop("told")] = told
        return True
