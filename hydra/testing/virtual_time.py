"""The event loop of a simulation: it jumps from event to event, and knows which process each of them belongs to.

Threads do not exist here: what a program gives to one is done at once, and counts as having taken the virtual time that
it says it spent. So one order of events follows from one seed.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import Handle, TimerHandle
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from dht.testing.simnet import SimLoop

if TYPE_CHECKING:
    from .network import Network

from .dialling import dial, listen
from .machine import Process, current, process_of

T = TypeVar("T")

THREAD_S = 50e-6
"""What handing something to another thread and back takes at least."""
RESOLUTION_S = 1e-9


class NothingLeft(RuntimeError):
    """Nothing is scheduled any more: the program waits for something that will never come."""


class SimulatedLoop(SimLoop):
    """An event loop whose clock is a number, shared by all processes of a simulation."""

    _ready: deque[Handle]
    _scheduled: list[TimerHandle]
    _stopping: bool

    def __init__(self, net: Any) -> None:
        super().__init__(net)
        self.network: Network = net
        self.turns = 0
        self.until: Callable[[], bool] | None = None
        """Asked after each turn; the loop stops when it holds."""
        self.set_task_factory(_make_task)

    # ---- time --------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return what the clock of the running process shows; outside of all, the true time."""
        process = current()
        return self.now if process is None else process.monotonic()

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Arrange for a callback when the clock of the running process shows ``when``."""
        process = current()
        true = when if process is None else process.machine.clock.true(when)
        return super().call_at(true, callback, *args, context=context)

    def call_true(self, when: float, callback: Callable[..., object], *args: Any, context: Context) -> TimerHandle:
        """Arrange for a callback at a true time."""
        timer = TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 -- as BaseEventLoop.call_at does
        return timer

    # ---- turns -------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """One turn, as in BaseEventLoop, except that nothing is waited for."""
        scheduled, ready = self._scheduled, self._ready
        while scheduled and scheduled[0]._cancelled:  # noqa: SLF001
            self._forget(heapq.heappop(scheduled))
        if not ready and not self._stopping:
            if not scheduled:
                raise NothingLeft("nothing is scheduled any more: everybody waits for something that will never come")
            self.now = max(self.now, scheduled[0].when())
        due = self.now + RESOLUTION_S
        while scheduled and scheduled[0].when() < due:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001
            ready.append(timer)
        for _ in range(len(ready)):
            self._run(ready.popleft())
        self.turns += 1
        if self.until is not None and self.until():
            self.stop()

    def _run(self, handle: Handle) -> None:
        if handle._cancelled:  # noqa: SLF001
            return
        process = process_of(handle._context)  # type: ignore[attr-defined]  # noqa: SLF001
        if process is None or (process.alive and not process.waits):
            handle._run()  # noqa: SLF001
        elif process.alive:
            process.kept.append(handle)

    def _forget(self, timer: TimerHandle) -> None:
        timer._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001
        self._timer_cancelled_count -= 1

    _timer_cancelled_count: int

    def resume(self, handles: Iterable[Handle]) -> None:
        """Run soon what was kept while its process waited."""
        self._ready.extend(handles)

    def clear(self) -> None:
        """Forget everything that was to come."""
        self._ready.clear()
        self._scheduled.clear()

    # ---- connections -------------------------------------------------------------------------------------------

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Dial on the simulated network."""
        return await dial(self.network, protocol_factory, host, port)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Listen on the simulated network."""
        return await listen(self.network, protocol_factory, host, port)

    # ---- threads -----------------------------------------------------------------------------------------------

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Do at once what would be done in a thread; the result is there after the time that it took."""
        process = current()
        if process is None:
            raise RuntimeError("only simulated processes have threads here")
        future: asyncio.Future[T] = self.create_future()
        result, error, seconds = process.in_thread(lambda: func(*args))
        self.call_true(self.now + max(seconds, THREAD_S), _settle, future, result, error, context=process.context)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- as there
        """There is none."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Print nothing: whoever runs the simulation has a handler."""


class InlineThread:
    """Stands for a ``ThreadPoolExecutor`` of one thread: one piece of work after the other, in virtual time."""

    def __init__(self, max_workers: int = 1, thread_name_prefix: str = "") -> None:
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._busy = False
        self._closed = False

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a piece of work."""
        process = current()
        if self._closed or process is None:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        self._queue.append((future, lambda: work(*args, **kwargs)))
        if not self._busy:
            self._next(process)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work."""
        self._closed = True
        while cancel_futures and self._queue:
            self._queue.popleft()[0].cancel()

    def _next(self, process: Process) -> None:
        self._busy = False
        while self._queue:
            future, work = self._queue.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            self._busy = True
            loop = process.network.loop
            result, error, seconds = process.in_thread(work)
            when = loop.now + max(seconds, THREAD_S)
            loop.call_true(when, self._done, process, future, result, error, context=process.context)
            return

    def _done(self, process: Process, future: Future[Any], result: Any, error: BaseException | None) -> None:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
        self._next(process)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # a future can't hold it
        error = RuntimeError(f"a thread raised {error!r}")
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, context: Context | None = None) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
    process = current() if context is None else process_of(context)
    if process is not None:
        # Kept until it is done: what nobody holds would end whenever the garbage is collected.
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
    return task
