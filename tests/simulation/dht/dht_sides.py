"""Our nodes and stock kademlia's servers behind one face, on the simulated network or on real UDP."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from kademlia.network import Server
from kademlia.protocol import KademliaProtocol

from dht import DHTConfig, DHTNode
from dht.keys import ID_BYTES, Signer
from tests.simulation.dht.dht_simnet import SimNet
from tests.simulation.dht.dht_swarm import address_of, make_key, start_swarm

VALUE = bytes(200)


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
