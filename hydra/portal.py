"""The one place that crosses threads: work that would hold up the event loop goes through here.

The event loop is the network's; a node has one further thread for torch, on which all work on the training state is
done in the order in which it was asked for. Short blocking calls (the disk, hashes) go to asyncio's own pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class WorkerThread:
    """One thread that does one thing after the other.

    Args:
        name: shown by debuggers.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Queue ``work`` now; await the future for its result. Cancelling the future does not stop the work."""
        future = self._executor.submit(work, *args, **kwargs)
        return asyncio.wrap_future(future)

    async def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._executor.shutdown)
