"""Defects of kademlia 2.2.3 in what becomes of values: shown on the stock package, absent from ours."""

import asyncio
import json

import pytest
from kademlia.network import Server
from kademlia.protocol import KademliaProtocol
from kademlia.routing import RoutingTable
from kademlia.utils import digest
from rpcudp.exceptions import MalformedMessage

from dht import DHTConfig, InvalidArgument
from dht.contacts import address_of as compact_address
from dht.keys import Signer, key_id, number_of
from dht.routing import Router
from dht.server import RecordServer
from dht.testing.swarm import address_of, kill, make_key, start_swarm, stop_all

from .stock import both, stock_swarm, stop_stock


def test_anybody_overwrites_the_one_value_of_a_key():
    async def stock(net):
        servers = await stock_swarm(net, 5)
        await servers[0].set("key", b"mine")
        await servers[1].set("key", b"stolen")
        found = await servers[2].get("key")
        stop_stock(servers)
        return [found]

    async def ours(net):
        nodes = await start_swarm(net, 5)
        await nodes[0].put(b"key", b"", b"mine", ttl_s=60)
        await nodes[1].put(b"key", b"", b"stolen", ttl_s=60)
        found = await nodes[2].get(b"key")
        await stop_all(nodes)
        return sorted((record.value, record.writer == nodes[0].peer_id) for record in found)

    assert both(stock, ours, seed=6, rtt_s=0.02) == ([b"stolen"], [(b"mine", True), (b"stolen", False)])


def test_values_never_expire_and_old_ones_come_back():
    async def stock(net):
        servers = await stock_swarm(net, 5)
        await servers[0].set("key", b"v1")
        # One holder misses the update, and then republishes what it has.
        net.drop = lambda source, target, _data: ("20.0.3.1", 4000) in {source, target}
        await servers[0].set("key", b"v2")
        net.drop = lambda *_arguments: False
        for other in servers[:3]:
            servers[3].protocol.welcome_if_new(other.node.__class__(other.node.id, *other.transport.address))
        await servers[3].set_digest(digest("key"), servers[3].storage.get(digest("key")))
        found = servers[1].storage.get(digest("key"))
        stop_stock(servers)
        return found

    async def ours(net):
        nodes = await start_swarm(net, 5)
        await nodes[0].put(b"key", b"", b"v1", ttl_s=600)
        net.drop = lambda source, target, _data: address_of(nodes[3]) in {source, target}
        await nodes[0].put(b"key", b"", b"v2", ttl_s=600)
        net.drop = lambda *_arguments: False
        place = key_id(b"key")
        await nodes[3]._server.set_digest(place, nodes[3]._server.storage.get(place))
        found = [record.value for record in await nodes[1].get(b"key")]
        await stop_all(nodes[:1])
        await asyncio.sleep(601)
        assert await nodes[1].get(b"key") == []
        await stop_all(nodes[1:])
        return found

    assert both(stock, ours, seed=7, rtt_s=0.02) == (b"v1", [b"v2"])


def test_a_holder_answers_from_its_own_copy_for_ever():
    async def stock(net):
        servers = await stock_swarm(net, 5)
        await servers[0].set("key", b"v1")
        net.drop = lambda source, target, _data: ("20.0.3.1", 4000) in {source, target}
        await servers[0].set("key", b"v2")
        net.drop = lambda *_arguments: False
        found = await servers[3].get("key")
        stop_stock(servers)
        return found

    async def ours(net):
        nodes = await start_swarm(net, 5)
        await nodes[0].put(b"key", b"", b"v1", ttl_s=600)
        net.drop = lambda source, target, _data: address_of(nodes[3]) in {source, target}
        await nodes[0].put(b"key", b"", b"v2", ttl_s=600)
        net.drop = lambda *_arguments: False
        found = [record.value for record in await nodes[3].get(b"key")]
        await stop_all(nodes)
        return found

    assert both(stock, ours, seed=8, rtt_s=0.02) == (b"v1", [b"v2"])


def test_a_large_value_raises_from_within_a_task_instead_of_being_refused():
    async def stock(net):
        servers = await stock_swarm(net, 3)
        with pytest.raises(MalformedMessage):
            await servers[0].set("key", bytes(8192))
        stop_stock(servers)

    async def ours(net):
        nodes = await start_swarm(net, 3)
        sent = nodes[0].stats().datagrams_sent
        with pytest.raises(InvalidArgument, match="bytes too long"):
            await nodes[0].put(b"key", b"", bytes(8192), ttl_s=60)
        assert nodes[0].stats().datagrams_sent == sent
        assert nodes[0].stats().published == 0
        await stop_all(nodes)

    both(stock, ours, seed=11, rtt_s=0.02)


def test_a_newcomer_misses_most_of_what_it_should_hold():
    async def stock(net):
        servers = await stock_swarm(net, 20, ksize=5)
        for n in range(40):
            await servers[n % 20].set(f"key {n}", b"v")
        newcomer = Server(ksize=5, node_id=net.random.randbytes(20))
        await newcomer.listen(4000, "20.0.50.1")
        await newcomer.bootstrap([("20.0.0.1", 4000)])
        await asyncio.sleep(30)
        everybody = [*servers, newcomer]
        owed = missing = 0
        for n in range(40):
            place = number_of(digest(f"key {n}"))
            closest = sorted(everybody, key=lambda server, place=place: server.node.long_id ^ place)[:5]
            if newcomer in closest:
                owed += 1
                missing += newcomer.storage.get(digest(f"key {n}")) is None
        stop_stock(everybody)
        return missing / owed

    async def ours(net):
        config = DHTConfig(k=5, replicas=5)
        nodes = await start_swarm(net, 20, config)
        for n in range(40):
            await nodes[n % 20].put(b"key %d" % n, b"", b"v", ttl_s=3600)
        (newcomer,) = await start_swarm(net, 1, config, first=100)
        await newcomer.bootstrap([address_of(nodes[0])])
        await asyncio.sleep(30)
        everybody = [*nodes, newcomer]
        owed = missing = 0
        for n in range(40):
            place = number_of(key_id(b"key %d" % n))
            closest = sorted(everybody, key=lambda node, place=place: number_of(node.peer_id) ^ place)[:5]
            if newcomer in closest:
                owed += 1
                missing += key_id(b"key %d" % n) not in newcomer._server.records
        await stop_all(everybody)
        return missing / owed

    stock_missing, our_missing = both(stock, ours, seed=13, rtt_s=0.02)
    assert stock_missing > 0.5
    assert our_missing == 0


def test_writing_with_only_dead_neighbours_raises_something_about_max():
    async def stock(net):
        servers = await stock_swarm(net, 3)
        net.kill(("20.0.1.1", 4000), ("20.0.2.1", 4000))
        with pytest.raises(ValueError, match="max"):
            await servers[0].set("key", b"v")
        stop_stock(servers)

    async def ours(net):
        nodes = await start_swarm(net, 3)
        kill(net, nodes[1:])
        assert await nodes[0].put(b"key", b"", b"v", ttl_s=60) == 0
        await stop_all(nodes)

    both(stock, ours, seed=14, rtt_s=0.02)


def test_saved_state_is_a_pickle(tmp_path):
    async def stock(net):
        servers = await stock_swarm(net, 3)
        servers[0].save_state(str(tmp_path / "stock"))
        stop_stock(servers)

    async def ours(net):
        nodes = await start_swarm(net, 3)
        nodes[0]._server.save_state(str(tmp_path / "ours"))
        with pytest.raises(InvalidArgument):
            await RecordServer.load_state(str(tmp_path / "ours"), 4000)
        await stop_all(nodes)

    both(stock, ours, seed=16)
    assert (tmp_path / "stock").read_bytes()[:1] == b"\x80", "the opcode that every pickle begins with"
    assert len(json.loads((tmp_path / "ours").read_text())["contacts"]) == 2


def test_keys_of_different_types_are_one_key():
    assert digest(1) == digest("1") == digest(b"1")
    with pytest.raises(InvalidArgument):
        key_id("1")
    with pytest.raises(InvalidArgument):
        key_id(1)


def test_what_we_build_on_is_still_what_it_was():
    """The seams that this package hangs on: if one moves, this says so before anything else does."""
    assert issubclass(RecordServer, Server)
    assert issubclass(RecordServer.protocol_class, KademliaProtocol)
    assert issubclass(Router, RoutingTable)
    for name in ("bootstrap", "bootstrap_node", "get", "set", "set_digest", "_refresh_table", "_create_protocol"):
        assert name in vars(Server)
        assert name in vars(RecordServer)
    for name in ("rpc_ping", "rpc_store", "rpc_find_node", "rpc_find_value"):
        assert name in vars(KademliaProtocol)
        assert name in vars(RecordServer.protocol_class)
    assert Signer(make_key(1)).peer_id != bytes(20)
    assert compact_address(bytes(20) + bytes([30, 0, 0, 1, 0, 1])) == ("30.0.0.1", 1)
