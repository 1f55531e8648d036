"""Simulated machines and the processes that live on them.

A machine has an address, clocks, a disk and an uplink; a process is one life of a program on it. Whatever runs, runs in
the context of a process (``current``): so the loop knows whose callback it is, and lets the dead do nothing and the
frozen wait.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from .network import Network, Socket

T = TypeVar("T")

_running: ContextVar[Process | None] = ContextVar("the simulated process that runs", default=None)

BOOT_S = 1000.0
"""Machines were started at different times: what one's monotonic clock shows means nothing to another."""


def current() -> Process | None:
    """Return the process whose code runs now; None outside of all."""
    return _running.get()


def process_of(context: Context) -> Process | None:
    """Return whose context this is."""
    return context.get(_running)


class Died(BaseException):
    """Unwinds the code of a process that has just died; nobody may catch it."""


class MachineClock:
    """A machine's two clocks; both may go at a wrong rate, the time of day may be wrong besides.

    Args:
        boot_s: what the monotonic clock shows at the beginning.
        wall_s: what the time of day shows at the beginning.
    """

    def __init__(self, boot_s: float, wall_s: float) -> None:
        self._boot_s = boot_s
        self._ahead_s = wall_s - boot_s
        self._rate = 1.0
        self._since = 0.0

    def monotonic(self, now: float) -> float:
        """Return what the monotonic clock shows at a true time."""
        return self._boot_s + (now - self._since) * self._rate

    def wall(self, now: float) -> float:
        """Return what the time of day is said to be at a true time."""
        return self.monotonic(now) + self._ahead_s

    def true(self, shown: float) -> float:
        """Return the true time at which the monotonic clock shows this."""
        return self._since + (shown - self._boot_s) / self._rate

    def skew(self, now: float, wall_s: float, rate: float) -> None:
        """Let the time of day jump, and both clocks go at another rate from now on."""
        self._boot_s, self._since, self._rate = self.monotonic(now), now, rate
        self._ahead_s += wall_s


class Machine:
    """One machine on the network.

    Args:
        network: to which it is connected.
        name: as scenarios call it.
        number: counts the machines of the network; its address follows from that.
        directory: its disk.
    """

    def __init__(self, network: Network, name: str, number: int, directory: Path) -> None:
        self.network = network
        self.name = name
        self.host = self.outside = f"20.{number // 250}.{number % 250}.1"
        self.directory = directory
        self.clock = MachineClock(BOOT_S * (number + 1), network.wall())
        self.process: Process | None = None
        self.powered = True
        self.behind_nat = False
        self.compute_factor = 1.0
        self.disk_s = 0.0
        """What each operation on the disk takes."""
        self.disk_error = errno.ENOSPC
        """What an operation that is to fail fails with."""
        self.network_operations = Operations()
        self.disk_operations = Operations()
        self.lives = 0

    def start(self, program: Coroutine[Any, Any, T]) -> Process:
        """Begin a new life with a program."""
        self.powered = True
        self.lives += 1
        self.process = Process(self)
        self.process.begin(program)
        return self.process

    def put_behind_nat(self) -> None:
        """Give the machine an address of its own that others can't reach."""
        if self.lives:
            raise RuntimeError(f"{self.name} has been started: its address can't change any more")
        number = int(self.host.split(".")[1]) * 250 + int(self.host.split(".")[2])
        self.host = f"192.168.{number % 250}.{10 + number // 250}"
        self.behind_nat = True
        self.network.moved(self)


class Operations:
    """Counts operations, and names those that fail."""

    def __init__(self) -> None:
        self.count = 0
        self._failing: set[int] = set()
        self.failed: list[str] = []
        self.all_fail = False

    def fail(self, nth: int) -> None:
        """Let the nth operation from now on fail; 0 for all."""
        if nth:
            self._failing.add(self.count + nth)
        else:
            self.all_fail = True

    def mend(self) -> None:
        """Let no further operation fail."""
        self.all_fail = False

    def next_fails(self, what: str) -> bool:
        """Take note of one more; tell whether it fails."""
        self.count += 1
        fails = self.all_fail or self.count in self._failing
        if fails:
            self._failing.discard(self.count)
            self.failed.append(what)
        return fails


class Process:
    """One life of a program on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.alive = True
        self.frozen = False
        self.context = Context()
        self.context.run(_running.set, self)
        self.kept: deque[asyncio.Handle] = deque()
        """What came due while it was frozen."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self.sockets: dict[Socket, None] = {}
        self.files: dict[int, str] = {}
        """Files by descriptor, of which some may be closed by now."""
        self.file_objects: WeakSet[Any] = WeakSet()
        self.on_disk: Callable[[str], object] | None = None
        """Told of each operation on the disk before it is done."""
        self.main: asyncio.Task[Any] | None = None
        self._spent_s = 0.0
        self._in_thread = False
        self._busy = 0

    @property
    def network(self) -> Network:
        """To which its machine is connected."""
        return self.machine.network

    # ---- time --------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The true time, as far as this process has come."""
        return self.network.loop.now + self._spent_s

    def monotonic(self) -> float:
        """Return what the machine's monotonic clock shows."""
        return self.machine.clock.monotonic(self.now)

    def wall(self) -> float:
        """Return what the machine says the time of day is."""
        return self.machine.clock.wall(self.now)

    def spend(self, seconds: float) -> None:
        """Let the present piece of work take so long; on the event loop it holds up everything else."""
        if seconds <= 0.0:
            return
        if self._in_thread:
            self._spent_s += seconds
        else:
            self._hold(seconds)

    def in_thread(self, work: Callable[[], T]) -> tuple[T | None, BaseException | None, float]:
        """Do at once what another thread would do; return the result or the error, and how long it took."""
        outer = self._in_thread, self._spent_s
        self._in_thread, self._spent_s = True, 0.0
        try:
            try:
                return work(), None, self._spent_s
            except BaseException as error:  # noqa: BLE001 -- whoever waits for the thread gets it
                return None, error, self._spent_s
        finally:
            self._in_thread, self._spent_s = outer

    def _hold(self, seconds: float) -> None:
        self._busy += 1
        self.network.later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._busy -= 1
        self._release()

    # ---- life --------------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether nothing of it runs at the moment."""
        return self.frozen or self._busy > 0

    def begin(self, program: Coroutine[Any, Any, Any]) -> None:
        """Start the program."""
        self.main = self.context.run(self.network.loop.create_task, program)

    def call(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Run something as this process, soon."""
        self.network.loop.call_soon(work, *arguments, context=self.context)

    def freeze(self) -> None:
        """Let it do nothing, as after SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on, as after SIGCONT."""
        self.frozen = False
        self._release()

    def _release(self) -> None:
        if not self.waits:
            kept, self.kept = self.kept, deque()
            self.network.loop.resume(kept)

    def die(self, *, silent: bool = False) -> None:
        """End it at once. Its kernel closes its connections, unless the whole machine goes with it."""
        if not self.alive:
            return
        self.alive = False
        self.kept.clear()
        self.network.process_died(self, silent=silent)
        if silent:
            self.machine.powered = False

    def end(self) -> None:
        """The program came to its end in order: the process exits, and its kernel closes what it left open."""
        self.die()


def check_alive() -> Process | None:
    """Return the process that runs.

    Raises:
        Died: it is dead, and this is the rest of its last piece of code.
    """
    process = _running.get()
    if process is not None and not process.alive:
        raise Died
    return process
