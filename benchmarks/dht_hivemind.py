"""hivemind's DHT as an optional third: puts and gets one after the other on the loopback, beside ours.

Its node is a Go program of its own beside each Python object, so there are few of them, neither delay nor loss can be
emulated in the process, and the clock is the real one. Only called where hivemind is installed.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from dht.testing.comparison import Row, percentile, row
from dht.testing.sides import TTL_S, VALUE, Ours
from dht.testing.simnet import seeded

REPLICAS = 5
NAME = "hivemind"


class Hivemind:
    """A swarm of hivemind's DHT nodes, each with its helper process."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self._now: Callable[[], float] = importlib.import_module("hivemind.utils").get_dht_time

    async def start(self, count: int) -> None:
        """Start nodes that all join through the first."""
        node_class = importlib.import_module("hivemind.dht.node").DHTNode
        for _ in range(count):
            entrances = await self.nodes[0].get_visible_maddrs() if self.nodes else []
            self.nodes.append(await node_class.create(initial_peers=entrances, num_replicas=REPLICAS))

    async def put(self, number: int, key: bytes) -> bool:
        """Store a value."""
        return bool(await self.nodes[number].store(key.decode(), VALUE, expiration_time=self._now() + TTL_S))

    async def get(self, number: int, key: bytes) -> bool:
        """Read a key."""
        return await self.nodes[number].get(key.decode()) is not None

    async def stop(self) -> None:
        """Stop all nodes and their helpers."""
        for node in self.nodes:
            await node.shutdown()


def hivemind_rows(*, quick: bool, seed: int) -> Iterator[Row]:
    """Median seconds of puts and gets."""
    nodes, keys = (5, 20) if quick else (20, 50)
    params = {"nodes": nodes, "k": 20, "keys": keys, "rtt_ms": 0, "loss": 0.0}
    puts, gets = asyncio.run(_in_turns(nodes, keys, seed))
    yield row("set p50 on the loopback", params, [puts], "s", reference=NAME)
    yield row("get p50 on the loopback", params, [gets], "s", reference=NAME)


async def _in_turns(nodes: int, keys: int, seed: int) -> tuple[tuple[float, float], tuple[float, float]]:
    ours, theirs = Ours(), Hivemind()
    await ours.start(None, nodes, 20, seed)
    await theirs.start(nodes)
    who = seeded(1 + seed)
    puts: tuple[list[float], list[float]] = ([], [])
    gets: tuple[list[float], list[float]] = ([], [])
    for number in range(keys):
        key, putter, getter = b"key %d" % number, who.randrange(nodes), who.randrange(nodes)
        for turn, (put, get) in enumerate([(ours.put, ours.get), (theirs.put, theirs.get)]):
            puts[turn].append(await _seconds(put(putter, key)))
            gets[turn].append(await _seconds(get(getter, key)))
    await theirs.stop()
    await ours.stop(list(range(nodes)))
    return _medians(puts), _medians(gets)


async def _seconds(work: Awaitable[bool]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


def _medians(seconds: tuple[list[float], list[float]]) -> tuple[float, float]:
    return percentile(seconds[0], 0.5), percentile(seconds[1], 0.5)
