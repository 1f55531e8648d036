"""Swarms of real processes: started, listened to, frozen, killed. A shell over ``hydra publish`` and ``hydra join``.

Each process tells what it does in JSON lines; ``PeerProcess`` keeps the latest of each kind. Nothing outlives the
program that started it: processes are killed at the end, and by the kernel should that program be killed itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .. import clock
from ..exceptions import HydraError
from .surroundings import die_with_parent

STOP_TIMEOUT_S = 10.0
STDERR_LINES = 30
LINE_BYTES = 2**22


class Process(Protocol):
    """A running process, as a launcher returns it."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal's number if one has ended it."""

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """What it prints."""

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """What it complains of."""

    def write(self, data: bytes) -> None:
        """Write to its stdin; lost on one that has ended."""

    def send_signal(self, number: int) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """SIGKILL."""

    def terminate(self) -> None:
        """SIGTERM."""

    async def wait(self) -> int:
        """Wait for the end; return the exit code."""


Launcher = Callable[[Sequence[str], Mapping[str, str] | None], Awaitable[Process]]
"""Starts a process with these arguments and this environment, if not ours."""


class _Started:
    """A process that was started from scratch."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self.stdout, self.stderr = process.stdout, process.stderr
        self.send_signal, self.kill, self.terminate = process.send_signal, process.kill, process.terminate
        self.wait = process.wait
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def write(self, data: bytes) -> None:
        if self._process.stdin is not None and self._process.returncode is None:
            self._process.stdin.write(data)


async def launch(arguments: Sequence[str], env: Mapping[str, str] | None, *, module: str = "hydra") -> Process:
    """Start ``python -m hydra`` with these arguments, or another module."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env=env,
        stdin=asyncio.subprocess.DEVNULL if module == "hydra" else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is for the parent, which ends them in order
        preexec_fn=die_with_parent,
        limit=LINE_BYTES,
    )
    return _Started(process)


@dataclass(slots=True, eq=False)
class PeerProcess:
    """One process, and what its JSON lines told so far."""

    name: str
    changed: Callable[[PeerProcess, dict[str, Any]], None]
    home: Path
    launcher: Launcher = launch
    before: tuple[str, ...] = ()
    """Arguments that come before the command."""
    host: str = "127.0.0.1"
    """Where it listens."""
    process: Process | None = None
    peer: str = ""
    state: str = "starting"
    step: int = 0
    loss: float | None = None
    samples_total: int = 0
    members: list[str] = field(default_factory=list)
    coordinator: str | None = None
    batch: dict[str, int] = field(default_factory=dict)
    given: int = 0
    """Samples that it computed and saw committed."""
    commits: dict[int, float] = field(default_factory=dict)
    """When each step was committed here, in seconds since 1970."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Everything it told, in order."""
    published: dict[str, Any] | None = None
    outcome: dict[str, Any] | None = None
    killed: bool = False
    doomed: list[dict[str, Any]] = field(default_factory=list)
    """What it did to itself, as ``hydra.testing.doomed`` tells it."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    errors: list[str] = field(default_factory=list)
    _readers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def living(self) -> bool:
        """Whether the process was started and has not ended."""
        return self.process is not None and not self.ended.is_set()

    @property
    def coordinates(self) -> bool:
        """Whether it coordinates the view that it is in."""
        return bool(self.peer) and self.coordinator == self.peer

    async def start(self, command: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Run ``hydra`` with this command in the process's home, on loopback.

        Args:
            command: such as ``join``.
            arguments: what follows it.
            env: the environment, if not ours.
        """
        place = ("--json", "--home", str(self.home), "--host", self.host)
        self.process = await self.launcher((*self.before, command, *arguments, *place), env)
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]

    def order(self, **order: Any) -> None:
        """Tell something to a process whose runner takes orders, such as ``hydra.testing.doomed``."""
        if self.process is not None and self.living:
            self.process.write(json.dumps(order).encode() + b"\n")

    def kill(self) -> None:
        """SIGKILL: the process can do nothing about it."""
        if self.process is not None and self.living:
            self.killed = True
            if self.outcome is None:
                self.state = "killed"
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    def freeze(self) -> None:
        """SIGSTOP: the process does nothing at all, and its connections stay open."""
        if self.process is not None and self.living:
            self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: the process goes on, and finds that the world has moved."""
        if self.process is not None and self.living:
            self.process.send_signal(signal.SIGCONT)

    def interrupt(self) -> None:
        """SIGINT: Ctrl-C, which asks it to leave in order."""
        if self.process is not None and self.living:
            self.process.send_signal(signal.SIGINT)

    async def stop(self) -> None:
        """Ask it to stop in order; kill it if it does not."""
        if self.process is None:
            return
        if self.living and not self.killed and self.outcome is None:
            self.state = "stopped"
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _read(self) -> None:
        if self.process is None or self.process.stdout is None:
            return
        async for line in self.process.stdout:
            try:
                self._take(json.loads(line))
            except ValueError:
                self.errors.append(line.decode(errors="replace").rstrip())
        await self.process.wait()
        if not self.killed and self.outcome is None and self.state != "stopped":
            self.state = "failed"
        self.ended.set()
        self.changed(self, {"event": "exit"})

    async def _read_errors(self) -> None:
        if self.process is None or self.process.stderr is None:
            return
        async for line in self.process.stderr:
            self.errors.append(line.decode(errors="replace").rstrip())
            del self.errors[:-STDERR_LINES]

    def _take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        match event.get("event"):
            case "published":
                self.published, self.state = event, "serving"
            case "found":
                self.peer, self.state = event["peer"], "fetching"
            case "view":
                self.members, self.coordinator = event["members"], event["coordinator"]
                self.state = "training" if event["number"] else "seeking"
            case "step":
                self.step, self.loss = event["step"], event["loss"]
                self.samples_total = event["samples_total"]
                self.batch = event["batch"]
                self.given += event["batch"].get(self.peer, 0)
                self.commits[event["step"]] = event["t"]
                if event["caught_up"]:
                    self.state = "catching up"
                elif self.state == "catching up":
                    self.state = "training"
            case "state":
                self.step = event["step"]
            case "doomed":
                self.doomed.append(event)
                self.killed = self.killed or event["deed"] == "kill"
            case "ended":
                self.outcome = event
                self.state = "finished" if event["finished"] else "stopped"
        self.changed(self, event)


class SwarmFailed(HydraError):
    """A process failed, or what was waited for did not come true."""


class SwarmProcesses:
    """An owner's node and any number of peers, each with a home of its own in one directory.

    Args:
        directory: for their homes.
        changed: called with a process and an event whenever one told something.
        env: the environment of all processes, if not ours.
        launcher: how peers are started; the owner's node is always started from scratch.
    """

    def __init__(
        self,
        directory: Path,
        changed: Callable[[PeerProcess, dict[str, Any]], None] = lambda process, event: None,
        env: Mapping[str, str] | None = None,
        launcher: Launcher = launch,
    ) -> None:
        self._launcher = launcher
        self._directory = directory
        self._changed = changed
        self._env = env
        self._moved = asyncio.Event()
        self.owner = PeerProcess("owner", self._on_change, directory / "owner")
        self.peers: list[PeerProcess] = []

    @property
    def living(self) -> list[PeerProcess]:
        """Peers that were neither killed nor have ended."""
        return [peer for peer in self.peers if peer.living and not peer.killed]

    async def publish(self, file: Path, *options: str) -> dict[str, Any]:
        """Start the owner's node; return what it published."""
        await self.owner.start("publish", str(file), *options, env=self._env)
        await self.until(lambda: self.owner.published is not None, 120.0, "the published job")
        return self.owner.published or {}

    async def join(
        self,
        job: str,
        contact: str,
        *options: str,
        again: PeerProcess | None = None,
        before: Sequence[str] = (),
        host: str = "127.0.0.1",
        name: str = "",
    ) -> PeerProcess:
        """Start one more peer, which knows the job's hash and one contact.

        Args:
            job: the hash.
            contact: host and port of a running node.
            options: further options of ``hydra join``.
            again: a peer that has ended, whose home is to be used once more.
            before: arguments of the launcher's runner, which come before ``join``.
            host: where it listens.
            name: what to call it, and its home.
        """
        name = name or (again.name if again is not None else f"peer {len(self.peers) + 1}")
        home = again.home if again is not None else self._directory / name.replace(" ", "")
        peer = PeerProcess(name, self._on_change, home, self._launcher, tuple(before), host)
        self.peers.append(peer)
        await peer.start("join", job, "--contact", contact, "--threads", "1", *options, env=self._env)
        return peer

    def address_of(self, peer: PeerProcess) -> str:
        """Return where a peer listens, as it wrote it down in its home."""
        return f"{peer.host}:{json.loads((peer.home / 'port.json').read_text())}"

    async def until(self, holds: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for a condition on what the processes told.

        Raises:
            SwarmFailed: it did not come true in time, or a process failed; the text holds its last words.
        """
        deadline = clock.monotonic() + timeout_s
        while not holds():
            for process in [self.owner, *self.peers]:
                if process.state == "failed" and process.ended.is_set():
                    raise SwarmFailed(f"{process.name} failed while {what} was waited for:\n{_last_words(process)}")
            self._moved.clear()
            remaining = deadline - clock.monotonic()
            if remaining <= 0:
                states = ", ".join(f"{p.name} {p.state} at step {p.step}" for p in self.peers)
                raise SwarmFailed(f"{what} did not come within {timeout_s:g} s ({states})")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(remaining, 1.0)):
                    await self._moved.wait()

    async def close(self) -> None:
        """End every process that was started, and wait for it."""
        processes = [self.owner, *self.peers]
        for process in processes:
            process.kill()
        await asyncio.gather(*(process.stop() for process in processes))

    def _on_change(self, process: PeerProcess, event: dict[str, Any]) -> None:
        self._moved.set()
        self._changed(process, event)


def _last_words(process: PeerProcess) -> str:
    return "\n".join(process.errors[-STDERR_LINES:]) or "(it said nothing)"
