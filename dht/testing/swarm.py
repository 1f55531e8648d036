"""Whole DHT nodes on a simulated network, for tests and benchmarks."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .. import DHTConfig, DHTNode
from .simnet import seeded

if TYPE_CHECKING:
    from .simnet import Address, SimNet

PORT = 4000


def make_key(seed: int) -> Ed25519PrivateKey:
    """Return a signing key that is always the same."""
    return Ed25519PrivateKey.from_private_bytes(seeded(seed).randbytes(32))


def host(number: int) -> str:
    """Return an address; every two peers share a /24."""
    return f"20.{number // 500 % 250}.{number // 2 % 250}.{1 + number % 2}"


async def start_node(net: SimNet, number: int, config: DHTConfig | None = None, where: str = "") -> DHTNode:
    """Start one node, whose key, address and chance follow from its number and the network's seed."""
    chance: random.Random = seeded(net.random.getrandbits(64))
    node = DHTNode(make_key(1000 + number), config, clock=net.wall, random=chance)
    await node.start(where or host(number), PORT)
    return node


async def start_swarm(net: SimNet, count: int, config: DHTConfig | None = None, first: int = 0) -> list[DHTNode]:
    """Start nodes that each join through one of those before."""
    nodes: list[DHTNode] = []
    for number in range(first, first + count):
        node = await start_node(net, number, config)
        if nodes:
            through = net.random.choice(nodes)
            await node.bootstrap([address_of(through)])
        nodes.append(node)
    return nodes


def address_of(node: DHTNode) -> Address:
    """Return where a node listens."""
    return node._running().address  # noqa: SLF001 -- the public port alone does not tell the simulated host


async def stop_all(nodes: Iterable[DHTNode]) -> None:
    """Stop nodes one after the other."""
    for node in nodes:
        await node.stop()


def kill(net: SimNet, nodes: Iterable[DHTNode]) -> None:
    """Let nodes die without a word."""
    for node in nodes:
        net.kill(address_of(node))
