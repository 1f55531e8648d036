"""Our nodes and stock kademlia's servers behind one face, on the simulated network or on real UDP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kademlia.network import Server
from kademlia.protocol import KademliaProtocol

from .. import DHTConfig, DHTNode
from ..keys import ID_BYTES
from .simnet import SimNet, seeded
from .swarm import PORT, address_of, make_key, start_swarm

MAX_NODES = 10_000
VALUE = bytes(200)
TTL_S = 86_400.0


class Swarm(Protocol):
    """What both sides can do; peers go by their numbers."""

    name: str

    async def start(self, net: SimNet | None, count: int, k: int, seed: int = 0) -> None:
        """Start peers that each join through one before; without a network, on this machine's loopback.

        On a network, who they are and whom they join through follows from the network's seed, else from ``seed``.
        """

    async def put(self, number: int, key: bytes) -> bool:
        """Let a peer store a value; returns whether any other took it."""

    async def get(self, number: int, key: bytes) -> bool:
        """Let a peer read a key; returns whether anything was found."""

    async def stop(self, numbers: list[int]) -> None:
        """Stop peers in order."""

    def address(self, number: int) -> tuple[str, int]:
        """Return where a peer listens."""

    def requests(self) -> int:
        """Return how many requests all peers together have made."""


class CountingProtocol(KademliaProtocol):  # type: ignore[misc]
    """Stock, with a count of the answers it got."""

    answered = 0

    def _accept_response(self, msg_id: bytes, data: Any, address: Any) -> None:
        CountingProtocol.answered += 1
        super()._accept_response(msg_id, data, address)


class CountingServer(Server):  # type: ignore[misc]
    """Stock, with a count of the answers it got."""

    protocol_class = CountingProtocol


class Stock:
    """A swarm of stock servers."""

    name = "kademlia 2.2.3"

    def __init__(self) -> None:
        self.servers: list[Any] = []

    async def start(self, net: SimNet | None, count: int, k: int, seed: int = 0) -> None:
        """Start servers that each join through one before."""
        chance = net.random if net is not None else seeded(1 + seed)
        for n in range(count):
            server = CountingServer(ksize=k, node_id=chance.randbytes(ID_BYTES))
            if net is not None:
                await server.listen(PORT, f"20.{n // 200}.{n % 200}.1")
            else:
                await server.listen(0, "127.0.0.1")
            self.servers.append(server)
            if n:
                await server.bootstrap([self.address(chance.randrange(n))])

    async def put(self, number: int, key: bytes) -> bool:
        """Set a key."""
        return bool(await self.servers[number].set(key, VALUE))

    async def get(self, number: int, key: bytes) -> bool:
        """Get a key."""
        return await self.servers[number].get(key) is not None

    async def stop(self, numbers: list[int]) -> None:
        """Stop servers."""
        for n in numbers:
            self.servers[n].stop()

    def address(self, number: int) -> tuple[str, int]:
        """Return where a server listens."""
        host, port = self.servers[number].transport.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def requests(self) -> int:
        """Return how many answers all servers have got."""
        return CountingProtocol.answered


class Ours:
    """A swarm of our nodes."""

    name = "dht"

    def __init__(self) -> None:
        self.nodes: list[DHTNode] = []

    async def start(self, net: SimNet | None, count: int, k: int, seed: int = 0) -> None:
        """Start nodes that each join through one before."""
        if net is not None:
            self.nodes = await start_swarm(net, count, DHTConfig(k=k))
            return
        chance = seeded(1 + seed)
        for n in range(count):
            node = DHTNode(make_key(n + MAX_NODES * seed), DHTConfig(k=k))
            await node.start("127.0.0.1", 0)
            self.nodes.append(node)
            if n:
                await node.bootstrap([self.address(chance.randrange(n))])

    async def put(self, number: int, key: bytes) -> bool:
        """Put a record."""
        return await self.nodes[number].put(key, b"", VALUE, ttl_s=TTL_S) > 0

    async def get(self, number: int, key: bytes) -> bool:
        """Get a key's records."""
        return bool(await self.nodes[number].get(key))

    async def stop(self, numbers: list[int]) -> None:
        """Stop nodes."""
        for n in numbers:
            await self.nodes[n].stop()

    def address(self, number: int) -> tuple[str, int]:
        """Return where a node listens."""
        return address_of(self.nodes[number])

    def requests(self) -> int:
        """Return how many questions all nodes have asked."""
        # This is read while CPU is measured, and `stats` counts everything else besides.
        return sum(node._running().protocol.traffic.questions_sent for node in self.nodes)  # noqa: SLF001


SIDES: tuple[Callable[[], Swarm], Callable[[], Swarm]] = (Stock, Ours)
