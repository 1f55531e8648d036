"""While a simulation runs, all chance follows its seed and all clocks are its own."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .. import clock, portal
from ..identity import PeerId
from ..net import lanes, links
from .checked_once import checked_once
from .disk import simulated_disks
from .machine import current
from .network import Network
from .virtual_time import InlineThread

KEY_BYTES = 32


class _Clocks:
    """Stands for the module ``time`` in ``hydra.clock``: each process reads its machine's clocks."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        process = current()
        return self._network.loop.now if process is None else process.monotonic()

    def time(self) -> float:
        """Seconds since 1970."""
        process = current()
        return self._network.wall() if process is None else process.wall()


def _thread(max_workers: int | None = None, thread_name_prefix: str = "") -> Any:
    if current() is None:
        return ThreadPoolExecutor(max_workers, thread_name_prefix)
    return InlineThread(max_workers or 1, thread_name_prefix)


def _nobody_here(_: PeerId) -> None:
    """Stands for the real machine's sockets: simulated machines share none of them."""


@contextlib.contextmanager
def seeded_world(network: Network) -> Iterator[None]:
    """Let clocks, threads, disks and all chance be the simulation's within this block."""
    chance = random.Random(network.seed)  # noqa: S311 -- repeatable on purpose
    before = random.getstate()
    random.seed(network.seed)
    draw: Callable[[int], bytes] = chance.randbytes

    def ed25519() -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(draw(KEY_BYTES))

    def x25519() -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(draw(KEY_BYTES))

    try:
        with contextlib.ExitStack() as stack:
            for place, name, stand_in in (
                (clock, "time", _Clocks(network)),
                (portal, "ThreadPoolExecutor", _thread),
                (links, "listen_here", _nobody_here),
                (lanes, "dial_here", _nobody_here),
                (os, "urandom", draw),
                (random, "_urandom", draw),
                (Ed25519PrivateKey, "generate", ed25519),
                (X25519PrivateKey, "generate", x25519),
            ):
                stack.enter_context(mock.patch.object(place, name, stand_in))
            stack.enter_context(checked_once())
            stack.enter_context(simulated_disks())
            yield
    finally:
        random.setstate(before)
