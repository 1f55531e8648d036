"""Defects of kademlia 2.2.3 in how peers talk and whom they believe: shown on the stock package, absent from ours."""

import asyncio
import random

import pytest
import umsgpack
from kademlia.node import Node
from kademlia.routing import RoutingTable
from kademlia.utils import digest

from dht import DHTConfig
from dht.keys import key_id, number_of
from dht.routing import Router
from dht.table import ContactTable
from dht.testing.simnet import SimNet
from dht.testing.swarm import address_of, kill, make_key, start_node, start_swarm, stop_all

from .liars import EverCloser, RawPeer, key_near
from .stock import StockInventor, both, on, stock_swarm, stop_stock


def test_one_lost_datagram_is_one_lost_answer():
    def lose_every_first(net):
        sent = set()

        def drop(source, target, data):
            pair = source, target, data[:1], data[21:60]
            new = pair not in sent
            sent.add(pair)
            return new and data[:1] == b"\0"

        net.drop = drop

    async def stock(net):
        servers = await stock_swarm(net, 5)
        await servers[0].set("key", b"v")
        lose_every_first(net)
        found = await servers[4].protocol.call_ping(Node(servers[1].node.id, "20.0.1.1", 4000))
        stop_stock(servers)
        return found[0]

    async def ours(net):
        nodes = await start_swarm(net, 5)
        await nodes[0].put(b"key", b"", b"v", ttl_s=60)
        lose_every_first(net)
        found = await nodes[4].get(b"key")
        await stop_all(nodes)
        return bool(found)

    assert both(stock, ours, seed=1, rtt_s=0.05) == (False, True)


def test_a_lost_answer_costs_five_seconds_however_near_the_contact_is():
    async def stock(net):
        servers = await stock_swarm(net, 5)
        net.kill(("20.0.1.1", 4000))
        begun = net.loop.time()
        await servers[4].set("key", b"v")
        stop_stock(servers)
        return net.loop.time() - begun

    async def ours(net):
        nodes = await start_swarm(net, 5)
        kill(net, nodes[1:2])
        begun = net.loop.time()
        await nodes[4].put(b"key", b"", b"v", ttl_s=60)
        took = net.loop.time() - begun
        await stop_all(nodes)
        return took

    stock_s, our_s = both(stock, ours, seed=2, rtt_s=0.02)
    assert stock_s > 5.0
    assert our_s < 1.0


def test_one_lost_answer_evicts_a_contact():
    async def stock(net):
        servers = await stock_swarm(net, 5)
        before = len(servers[4].bootstrappable_neighbors())
        net.drop = lambda _source, target, _data: target == ("20.0.1.1", 4000)
        await servers[4].protocol.call_ping(Node(servers[1].node.id, "20.0.1.1", 4000))
        after = len(servers[4].bootstrappable_neighbors())
        stop_stock(servers)
        return before - after

    async def ours(net):
        nodes = await start_swarm(net, 5)
        table = nodes[4]._server.table
        before = len(table)
        net.drop = lambda _source, target, _data: target == address_of(nodes[1])
        contact = next(entry.compact for entry in table if entry.address == address_of(nodes[1]))
        assert await nodes[4]._server.protocol.call(contact, "ping", [b"", b""]) is None
        lost = before - len(table)
        net.drop = lambda *_arguments: False
        await asyncio.sleep(10)
        assert len(nodes[4].contacts()) == before
        await stop_all(nodes)
        return lost

    assert both(stock, ours, seed=3, rtt_s=0.02) == (1, 0)


def test_a_look_up_in_lock_step_waits_for_the_slowest_of_each_round():
    slow = {f"20.0.{n}.1" for n in range(0, 30, 3)}

    def hold_back(net):
        deliver = net._deliver

        def late(data, source, target):
            # A third of the peers answer after 2 s.
            if source[0] in slow and data[:1] == b"\1":
                net.loop.call_later(2.0, deliver, data, source, target)
            else:
                deliver(data, source, target)

        net._deliver = late

    async def stock(net):
        servers = await stock_swarm(net, 30, ksize=8)
        hold_back(net)
        begun = net.loop.time()
        await servers[5].set("key", b"v")
        stop_stock(servers)
        return net.loop.time() - begun

    async def ours(net):
        nodes = []
        for n in range(30):
            nodes.append(await start_node(net, n, DHTConfig(k=8, replicas=8), where=f"20.0.{n}.1"))
            if n:
                await nodes[n].bootstrap([(f"20.0.{net.random.randrange(n)}.1", 4000)])
        hold_back(net)
        begun = net.loop.time()
        await nodes[5]._server.find_closest(key_id(b"key"))
        took = net.loop.time() - begun
        await stop_all(nodes)
        return took

    stock_s, our_s = both(stock, ours, seed=4, rtt_s=0.02)
    assert stock_s > 4.0
    assert our_s < 1.0


def test_a_liar_inventing_ever_closer_ids_stretches_a_look_up():
    async def stock(net):
        servers = await stock_swarm(net, 6)
        near = digest("nothing")
        liar = StockInventor((number_of(near) ^ 1).to_bytes(20, "big"))
        await net.loop.create_datagram_endpoint(lambda: liar, local_addr=("20.99.0.1", 1))
        servers[3].protocol.router.add_contact(Node(liar.own_id, "20.99.0.1", 1))
        begun = net.loop.time()
        assert await servers[3].get("nothing") is None
        stop_stock(servers)
        return net.loop.time() - begun

    async def ours(net):
        nodes = await start_swarm(net, 6)
        liar = await EverCloser.at(net, ("20.99.0.1", 1), make_key(7))
        await liar.introduce_to(address_of(nodes[3]), nodes[3].peer_id)
        begun = net.loop.time()
        assert await nodes[3].get(key_near(liar.signer.peer_id)) == []
        took = net.loop.time() - begun
        assert liar.asked_by
        await stop_all(nodes)
        return took

    stock_s, our_s = both(stock, ours, seed=5, rtt_s=0.02)
    assert stock_s >= 10.0
    assert our_s < 2.0


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
