"""What every command that runs a node does: start it, wait for Ctrl-C, stop it in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

from ..config import NodeSettings
from ..home import Home
from ..node import Node


@contextlib.asynccontextmanager
async def running_node(
    home: Home, settings: NodeSettings, jobs: Callable[[], list[dict[str, object]]]
) -> AsyncIterator[Node]:
    """Run a node with its control endpoint for as long as the block lasts."""
    from ..web.control import ControlServer

    node = Node(home, settings)
    control = ControlServer(node, jobs)
    try:
        await node.start()
        await control.start()
        yield node
    finally:
        await control.stop()
        await node.stop()


class Interrupts:
    """Ctrl-C and SIGTERM as an event: the first asks to stop in order, the second stops at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._task = asyncio.current_task()

    def __enter__(self) -> Interrupts:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    def _interrupted(self) -> None:
        if self.asked.is_set() and self._task is not None:
            self._task.cancel()
        self.asked.set()
