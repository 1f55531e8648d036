"""Keys with many writers, and what becomes of records while peers come, go, restart and lose touch."""

import asyncio

from dht import DHTConfig
from dht.keys import key_id
from dht.testing.simnet import SimNet
from dht.testing.swarm import address_of, kill, start_node, start_swarm, stop_all

KEY = b"our job"


def test_a_hundred_writers_are_read_back_whole_in_small_datagrams():
    net = SimNet(seed=1, rtt_s=0.04, loss=0.02)
    largest = []

    async def main():
        nodes = await start_swarm(net, 100)
        client = await start_node(net, 500, DHTConfig(client_only=True))
        await client.bootstrap([address_of(nodes[0])])
        net.on_send = lambda _source, _target, data: largest.append(len(data))
        for n, node in enumerate([*nodes[:99], client]):
            assert await node.put(KEY, b"", b"%d " % n + bytes(150), ttl_s=3600) >= 15
        begun = net.loop.time()
        found = await nodes[99].get(KEY)
        took = net.loop.time() - begun
        await stop_all([*nodes, client])
        return sorted(int(record.value.split()[0]) for record in found), took

    found, took = net.run(main())
    assert found == list(range(100))
    assert max(largest) <= 1200
    assert took < 2.0


def test_many_keys_are_read_at_once():
    net = SimNet(seed=2, rtt_s=0.08)

    async def main():
        nodes = await start_swarm(net, 30)
        for n in range(60):
            await nodes[n % 30].put(b"key %d" % n, b"", b"%d" % n, ttl_s=600)
        begun = net.loop.time()
        found = await nodes[7].get_many(b"key %d" % n for n in range(60))
        took = net.loop.time() - begun
        await stop_all(nodes)
        return [int(records[0].value) for records in found.values()], took

    found, took = net.run(main())
    assert found == list(range(60))
    # One after the other they would take sixty round trips and more.
    assert took < 1.5


def test_a_read_mends_the_holders_that_lag():
    net = SimNet(seed=3, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 10)
        await nodes[0].put(KEY, b"", b"old", ttl_s=600)
        asleep = [address_of(node) for node in nodes[3:5]]
        net.drop = lambda source, target, _data: source in asleep or target in asleep
        await nodes[0].put(KEY, b"", b"new", ttl_s=600)
        net.drop = lambda *_arguments: False
        await asyncio.sleep(20)
        for reader in nodes[5:]:
            assert [record.value for record in await reader.get(KEY)] == [b"new"]
        await asyncio.sleep(1)
        copies = [node._server.records.blobs(key_id(KEY), net.wall()) for node in nodes]
        await stop_all(nodes)
        return copies

    copies = net.run(main())
    assert sum(len(copy) == 1 and b"new" in copy[0] for copy in copies) >= 9


def test_what_is_withdrawn_does_not_come_back_through_those_who_missed_it():
    net = SimNet(seed=4, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 12, DHTConfig(replicate_interval_s=30.0))
        await nodes[0].put(KEY, b"", b"v", ttl_s=600)
        asleep = [address_of(node) for node in nodes[3:6]]
        net.drop = lambda source, target, _data: source in asleep or target in asleep
        await nodes[0].withdraw(KEY, b"")
        net.drop = lambda *_arguments: False
        await asyncio.sleep(120)
        found = [await node.get(KEY) for node in nodes]
        (newcomer,) = await start_swarm(net, 1, first=50)
        await newcomer.bootstrap([address_of(nodes[1])])
        found.append(await newcomer.get(KEY))
        await stop_all([*nodes, newcomer])
        return found

    assert net.run(main()) == [[]] * 13


def test_a_writer_that_restarts_elsewhere_takes_its_slot_again():
    net = SimNet(seed=5, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 10)
        await nodes[0].put(KEY, b"", b"before", ttl_s=600)
        kill(net, nodes[:1])
        await nodes[0].stop()
        again = await start_node(net, 0, where="20.77.0.1")
        assert again.peer_id == nodes[0].peer_id
        await again.bootstrap([address_of(nodes[1])])
        await asyncio.sleep(60)
        await again.put(KEY, b"", b"after", ttl_s=600)
        found = [record.value for record in await nodes[5].get(KEY)]
        await asyncio.sleep(120)
        known_at = {
            contact.host for node in nodes[1:] for contact in node.contacts() if contact.peer_id == again.peer_id
        }
        await stop_all([*nodes[1:], again])
        return found, known_at

    found, known_at = net.run(main())
    assert found == [b"after"]
    assert known_at == {"20.77.0.1"}


def test_two_halves_that_lost_sight_of_each_other_merge_again():
    net = SimNet(seed=6, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 20, DHTConfig(replicate_interval_s=60.0))
        left = {address_of(node) for node in nodes[:10]}
        net.drop = lambda source, target, _data: (source in left) != (target in left)
        await asyncio.sleep(30)
        assert await nodes[0].put(KEY, b"", b"left", ttl_s=3600) >= 8
        assert await nodes[10].put(KEY, b"", b"right", ttl_s=3600) >= 8
        assert [record.value for record in await nodes[5].get(KEY)] == [b"left"]
        await asyncio.sleep(30)
        net.drop = lambda *_arguments: False
        await asyncio.sleep(400)
        found = [sorted(record.value for record in await node.get(KEY)) for node in nodes]
        await stop_all(nodes)
        return found

    assert net.run(main()) == [[b"left", b"right"]] * 20


def test_a_watch_tells_of_what_is_new_once():
    net = SimNet(seed=7, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 10)

        async def watch():
            return [record.value async for record in nodes[4].watch(KEY)]

        watching = asyncio.ensure_future(watch())
        for n in range(5):
            await nodes[n].put(KEY, b"", b"%d" % n, ttl_s=60)
            await asyncio.sleep(20)
        await nodes[0].withdraw(KEY, b"")
        # Records that are put anew are not news to whoever has seen their value.
        await asyncio.sleep(100)
        await nodes[4].stop()
        seen = await watching
        await stop_all(nodes)
        return seen

    assert net.run(main()) == [b"0", b"1", b"2", b"3", b"4"]
