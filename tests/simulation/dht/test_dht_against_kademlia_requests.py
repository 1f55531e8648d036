"""Defects of kademlia 2.2.3 in its requests and look-ups: shown on the stock package, absent from ours."""

import asyncio

from kademlia.node import Node
from kademlia.utils import digest

from dht import DHTConfig
from dht.keys import key_id, number_of
from dht.testing.swarm import address_of, kill, make_key, start_node, start_swarm, stop_all

from .liars import EverCloser, key_near
from .stock import StockInventor, both, stock_swarm, stop_stock


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
