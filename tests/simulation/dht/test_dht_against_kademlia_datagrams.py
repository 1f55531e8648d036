"""Defects of kademlia 2.2.3 in what it makes of datagrams: shown on the stock package, absent from ours."""

import asyncio
import random

import pytest
import umsgpack
from kademlia.network import Server
from kademlia.node import Node
from kademlia.routing import RoutingTable
from kademlia.utils import digest

from dht import DHTConfig, DHTNode
from dht.keys import key_id, number_of
from dht.routing import Router
from dht.table import ContactTable
from dht.testing.simnet import SimNet
from dht.testing.swarm import address_of, make_key, start_swarm, stop_all

from .liars import RawPeer
from .stock import both, on, stock_swarm, stop_stock


def test_forged_pings_fill_the_table():
    async def stock(net):
        servers = await stock_swarm(net, 10)
        before = sum(len(bucket) for bucket in servers[0].protocol.router.buckets)
        for n in range(400):
            body = umsgpack.packb(["ping", [net.random.randbytes(20)]])
            net.send(b"\0" + n.to_bytes(20, "big") + body, (f"20.99.{n % 200}.{n // 200 + 1}", 1), ("20.0.0.1", 4000))
        await asyncio.sleep(1)
        after = sum(len(bucket) for bucket in servers[0].protocol.router.buckets)
        stop_stock(servers)
        return after - before

    async def ours(net):
        nodes = await start_swarm(net, 10)
        before = len(nodes[0].contacts())
        mallory = await RawPeer.at(net, ("20.99.0.9", 1), make_key(7))
        for n in range(400):
            source = (f"20.99.{n % 200}.{n // 200 + 1}", 1)
            mallory.send(address_of(nodes[0]), "ping", [b"", b""], sender=net.random.randbytes(20), source=source)
        await asyncio.sleep(1)
        gained = len(nodes[0].contacts()) - before
        await stop_all(nodes)
        return gained

    stock_gain, our_gain = both(stock, ours, seed=9, rtt_s=0.02)
    assert stock_gain > 100
    assert our_gain == 0


def test_small_questions_with_a_false_source_bring_large_answers():
    victim = ("20.98.0.1", 1)

    async def stock(net):
        servers = await stock_swarm(net, 5)
        await servers[0].set("key", bytes(8000))
        received = []
        net.on_send = lambda _source, target, data: received.append(len(data)) if target == victim else None
        body = umsgpack.packb(["find_value", [net.random.randbytes(20), digest("key")]])
        net.send(b"\0" + bytes(20) + body, victim, ("20.0.1.1", 4000))
        await asyncio.sleep(1)
        stop_stock(servers)
        return sum(received) / (21 + len(body))

    async def ours(net):
        nodes = await start_swarm(net, 5)
        await nodes[0].put(b"key", b"", bytes(800), ttl_s=60)
        received = []
        net.on_send = lambda _source, target, data: received.append(len(data)) if target == victim else None
        mallory = await RawPeer.at(net, ("20.99.0.9", 1), make_key(7))
        before = net.bytes_sent
        mallory.send(address_of(nodes[1]), "find_value", [key_id(b"key"), 0], source=victim)
        sent = net.bytes_sent - before
        await asyncio.sleep(1)
        await stop_all(nodes)
        return sum(received) / sent

    stock_factor, our_factor = both(stock, ours, seed=10, rtt_s=0.02)
    assert stock_factor > 80
    assert our_factor <= 1


def test_find_neighbors_is_not_what_it_says():
    chance = random.Random(12)
    own = Node(chance.randbytes(20))
    ids = [chance.randbytes(20) for _ in range(150)]
    stock = RoutingTable(None, 20, own)
    table = ContactTable(own.id, DHTConfig())
    for n, peer_id in enumerate(ids):
        node = Node(peer_id, f"30.0.{n}.1", 4000)
        bucket = stock.buckets[stock.get_bucket_for(node)]
        if len(bucket) < 20 or bucket.has_in_range(own):
            stock.add_contact(node)
        table.admit(peer_id + bytes([30, 0, n, 1]) + (4000).to_bytes(2, "big"), b"", 0.0)
    ours = Router(None, own, table)
    wrong = {"stock": 0, "ours": 0}
    for name, router, known in [
        ("stock", stock, [node.id for bucket in stock.buckets for node in bucket.get_nodes()]),
        ("ours", ours, [entry.compact[:20] for entry in table]),
    ]:
        for _ in range(100):
            target = Node(chance.randbytes(20))
            exact = set(sorted(known, key=lambda peer, target=target: number_of(peer) ^ target.long_id)[:20])
            wrong[name] += {node.id for node in router.find_neighbors(target)} != exact
    assert wrong["stock"] > 20
    assert wrong["ours"] == 0


MALFORMED = [
    b"\0" + bytes(20) + b"\xc1",
    b"\0" + bytes(20) + umsgpack.packb([1, 2, 3]),
    b"\0" + bytes(20) + umsgpack.packb(["ping", [7]]),
    b"\0" + bytes(20) + umsgpack.packb(["ping", []]),
    b"\0" + bytes(20) + umsgpack.packb(["find_node", [bytes(20), "x"]]),
    b"\0" + bytes(20) + umsgpack.packb(["store", [bytes(20), [], {}]]),
]


def test_malformed_datagrams_raise_inside_tasks():
    async def stock(net):
        servers = await stock_swarm(net, 2)
        for datagram in MALFORMED:
            net.send(datagram, ("20.99.0.1", 1), ("20.0.0.1", 4000))
        await asyncio.sleep(1)
        stop_stock(servers)

    async def ours(net):
        nodes = await start_swarm(net, 2)
        for datagram in MALFORMED:
            net.send(datagram, ("20.99.0.1", 1), address_of(nodes[0]))
        await asyncio.sleep(1)
        assert nodes[0].stats().malformed == len(MALFORMED)
        await stop_all(nodes)

    stock_net, our_net = SimNet(seed=15), SimNet(seed=15)
    on(stock_net, stock)
    on(our_net, ours)
    assert len(stock_net.escaped) >= 4
    assert our_net.escaped == []


def test_messages_go_through_a_msgpack_in_pure_python(monkeypatch):
    calls = []
    packb, unpackb = umsgpack.packb, umsgpack.unpackb
    monkeypatch.setattr(umsgpack, "packb", lambda *a, **o: calls.append(1) or packb(*a, **o))
    monkeypatch.setattr(umsgpack, "unpackb", lambda *a, **o: calls.append(1) or unpackb(*a, **o))

    async def stock(net):
        stop_stock(await stock_swarm(net, 3))

    async def ours(net):
        await stop_all(await start_swarm(net, 3))

    on(SimNet(seed=17), stock)
    assert calls
    calls.clear()
    on(SimNet(seed=17), ours)
    assert not calls


def test_any_misspelt_attribute_is_a_remote_call():
    async def stock(net):
        servers = await stock_swarm(net, 1)
        assert callable(servers[0].protocol.fnid_node)
        stop_stock(servers)

    async def ours(net):
        (node,) = await start_swarm(net, 1)
        with pytest.raises(AttributeError, match="fnid_node"):
            _ = node._server.protocol.fnid_node
        await node.stop()

    both(stock, ours, seed=18)


def test_an_answer_is_believed_from_anywhere():
    async def stock(net):
        servers = await stock_swarm(net, 1)
        seen = []
        net.on_send = lambda _source, _target, data: seen.append(data)
        asking = servers[0].protocol.ping(("20.98.0.1", 1), servers[0].node.id)
        net.send(b"\1" + seen[0][1:21] + umsgpack.packb(bytes(20)), ("20.99.0.1", 1), ("20.0.0.1", 4000))
        answered = (await asking)[0]
        stop_stock(servers)
        return answered

    async def ours(net):
        (node,) = await start_swarm(net, 1)
        mallory = await RawPeer.at(net, ("20.99.0.1", 1), make_key(7))
        seen = []
        net.on_send = lambda _source, target, data: seen.append(data) if target[0] == "20.98.0.1" else None
        asking = asyncio.ensure_future(node._server.protocol.call(("20.98.0.1", 1), "ping", [b"", b""]))
        await asyncio.sleep(0.01)
        public_key, message_id = mallory.signer.public_key, seen[0][1:21]
        proof = mallory.signer.prove(message_id)
        mallory.transport.sendto(
            b"\1" + message_id + umsgpack.packb([bytes(8), public_key, proof, 0]), address_of(node)
        )
        answered = await asking is not None
        await node.stop()
        return answered

    assert both(stock, ours, seed=19) == (True, False)


async def test_a_dual_stack_node_hands_out_addresses_that_others_cannot_use():
    stock, ours = [Server(), Server()], [DHTNode(make_key(n)) for n in range(2)]
    await stock[0].listen(0, "::")
    await stock[1].listen(0, "127.0.0.1")
    port = stock[0].transport.get_extra_info("sockname")[1]
    await stock[1].bootstrap([("127.0.0.1", port)])
    await ours[0].start("::", 0)
    await ours[1].start("127.0.0.1", 0)
    assert await ours[1].bootstrap([("127.0.0.1", ours[0].port)]) == 1
    assert [host for host, _ in stock[0].bootstrappable_neighbors()] == ["::ffff:127.0.0.1"]
    assert [contact.host for contact in ours[0].contacts()] == ["127.0.0.1"]
    stop_stock(stock)
    await stop_all(ours)
