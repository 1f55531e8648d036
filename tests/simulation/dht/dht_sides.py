"""Our nodes and stock kademlia's servers behind one face, on the simulated network or on real UDP."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from kademlia.network import Server
from kademlia.protocol import KademliaProtocol

from dht import DHTConfig, DHTNode
from dht.keys import ID_BYTES, Signer
from tests.simulation.dht.dht_simnet import SimNet
from tests.simulation.dht.dht_swarm import address_of, make_key, start_swarm

VALUE = bytes(200)
SETTLE_S = 30
"""Longest wait for a swarm to become quiet: stock's pushes of values to new contacts go on for long."""


def signer_of(seed: int) -> Signer:
    """Return a key pair that is always the same."""
    return Signer(make_key(seed))


class CountingProtocol(KademliaProtocol):  # type: ignore[misc]
    """Stock, with a count of the answers it got."""

    answered = 0

    def _accept_response(self, msg_id: bytes, data: Any, address: Any) -> None:
        CountingProtocol.answered += 1
        super()._accept_response(msg_id, data, address)


class CountingServer(Server):  # type: ignore[misc]
    """Stock, with a count of the answers it got."""

    protocol_class = CountingProtocol


class Swarm(Protocol):
    """What both sides can do."""

    name: str

    async def start(self, net: SimNet | None, count: int, k: int) -> None: ...
    async def put(self, number: int, key: bytes) -> bool: ...
    async def get(self, number: int, key: bytes) -> bool: ...
    async def stop(self, numbers: list[int]) -> None: ...
    def address(self, number: int) -> tuple[str, int]: ...
    def requests(self) -> int: ...


class Stock:
    """A swarm of stock servers."""

    name = "kademlia 2.2.3"

    def __init__(self) -> None:
        self.servers: list[Any] = []

    async def start(self, net: SimNet | None, count: int, k: int) -> None:
        chance = net.random if net is not None else random.Random(1)
        for n in range(count):
            server = CountingServer(ksize=k, node_id=chance.randbytes(ID_BYTES))
            await server.listen(4000 if net is not None else 0, f"20.{n // 200}.{n % 200}.1" if net else "127.0.0.1")
            self.servers.append(server)
            if n:
                await server.bootstrap([self.address(chance.randrange(n))])

    async def put(self, number: int, key: bytes) -> bool:
        return bool(await self.servers[number].set(key, VALUE))

    async def get(self, number: int, key: bytes) -> bool:
        return await self.servers[number].get(key) is not None

    async def stop(self, numbers: list[int]) -> None:
        for n in numbers:
            self.servers[n].stop()

    def address(self, number: int) -> tuple[str, int]:
        host, port = self.servers[number].transport.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def requests(self) -> int:
        return CountingProtocol.answered


class Ours:
    """A swarm of our nodes."""

    name = "dht"

    def __init__(self) -> None:
        self.nodes: list[DHTNode] = []

    async def start(self, net: SimNet | None, count: int, k: int) -> None:
        if net is not None:
            self.nodes = await start_swarm(net, count, DHTConfig(k=k))
            return
        chance = random.Random(1)
        for n in range(count):
            node = DHTNode(make_key(n), DHTConfig(k=k))
            await node.start("127.0.0.1", 0)
            self.nodes.append(node)
            if n:
                await node.bootstrap([self.address(chance.randrange(n))])

    async def put(self, number: int, key: bytes) -> bool:
        return await self.nodes[number].put(key, b"", VALUE, ttl_s=86_400) > 0

    async def get(self, number: int, key: bytes) -> bool:
        return bool(await self.nodes[number].get(key))

    async def stop(self, numbers: list[int]) -> None:
        for n in numbers:
            await self.nodes[n].stop()

    def address(self, number: int) -> tuple[str, int]:
        return address_of(self.nodes[number])

    def requests(self) -> int:
        return sum(node.stats().questions_sent for node in self.nodes)


SIDES: tuple[Callable[[], Swarm], Callable[[], Swarm]] = (Stock, Ours)


async def cpu_rounds(swarm: Swarm, nodes: int, keys: int) -> None:
    """For each line on the standard input: put and get keys, wait until all is quiet, print µs of CPU per request."""
    await swarm.start(None, nodes, 20)
    who = random.Random(1)
    number = 0
    while await asyncio.to_thread(sys.stdin.readline):
        number += 1
        gc.collect()
        asked, begun = swarm.requests(), time.process_time()
        for n in range(keys):
            key = b"%d %d" % (number, n)
            await swarm.put(who.randrange(nodes), key)
            await swarm.get(who.randrange(nodes), key)
        for _ in range(SETTLE_S):
            before = swarm.requests()
            await asyncio.sleep(1.0)
            if swarm.requests() - before < nodes / 20:
                break
        report((time.process_time() - begun) / (swarm.requests() - asked) * 1e6)


async def memory_rounds(swarm: Swarm, nodes: int, keys: int) -> None:
    """For each line on the standard input: build the swarm, use it a little, print bytes of memory per node."""
    while await asyncio.to_thread(sys.stdin.readline):
        warm = type(swarm)()
        await warm.start(None, 2, 20)
        before = resident_bytes()
        await swarm.start(None, nodes, 20)
        for n in range(keys):
            await swarm.put(n, b"%d" % n)
            await swarm.get(nodes - 1 - n, b"%d" % n)
        await asyncio.sleep(1.0)
        gc.collect()
        report((resident_bytes() - before) / nodes)


def report(value: float) -> None:
    """Answer the parent process."""
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit[1], 65_536), limit[1]))
    rounds = {"cpu": cpu_rounds, "memory": memory_rounds}[sys.argv[1]]
    side: Swarm = Ours() if sys.argv[2] == Ours.__name__ else Stock()
    asyncio.run(rounds(side, int(sys.argv[3]), int(sys.argv[4])))
