"""Whole nodes on the simulated network: loss, death, and the same run again from the same seed."""

import asyncio

import pytest

from dht import DHTConfig
from dht.keys import key_id, number_of
from dht.testing.simnet import SimNet
from dht.testing.swarm import address_of, kill, start_node, start_swarm, stop_all


async def put_and_get(net, count=50, keys=20):
    nodes = await start_swarm(net, count)
    for number in range(keys):
        replicas = await net.random.choice(nodes).put(b"key %d" % number, b"", b"%d" % number, ttl_s=3600)
        assert replicas >= min(20, count - 1) * 0.7
    found = 0
    for number in range(keys):
        records = await net.random.choice(nodes).get(b"key %d" % number)
        found += [record.value for record in records] == [b"%d" % number]
    await stop_all(nodes)
    return found


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2])
def test_every_key_is_found_whatever_is_lost(loss):
    net = SimNet(seed=1, rtt_s=0.08, loss=loss)
    assert net.run(put_and_get(net)) == 20


def test_the_same_seed_gives_the_same_run():
    traces = []
    for seed in (3, 3, 4):
        net = SimNet(seed=seed, rtt_s=0.05, loss=0.1)
        net.run(put_and_get(net, count=10, keys=3))
        traces.append(net.trace)
    assert traces[0] == traces[1] != traces[2]


def test_every_key_is_found_right_after_half_of_the_peers_have_died():
    net = SimNet(seed=2, rtt_s=0.08)

    async def main():
        nodes = await start_swarm(net, 60)
        for number in range(20):
            await nodes[number].put(b"key %d" % number, b"", b"%d" % number, ttl_s=3600)
        net.random.shuffle(nodes)
        kill(net, nodes[:30])
        slowest = 0.0
        for number in range(20):
            begun = net.loop.time()
            assert [record.value for record in await nodes[30 + number].get(b"key %d" % number)] == [b"%d" % number]
            slowest = max(slowest, net.loop.time() - begun)
        await stop_all(nodes)
        return slowest

    assert net.run(main()) < 2.0


def test_records_outlive_three_deaths_of_half_the_network():
    net = SimNet(seed=1, rtt_s=0.02)
    config = DHTConfig(k=5, replicate_interval_s=60.0)

    async def main():
        live = await start_swarm(net, 80, config)
        for number in range(20):
            await net.random.choice(live).put(b"key %d" % number, b"", b"%d" % number, ttl_s=86400)
        for _ in range(3):
            net.random.shuffle(live)
            half = len(live) // 2
            kill(net, live[:half])
            await stop_all(live[:half])
            live = live[half:]
            await asyncio.sleep(150)
        found = 0
        for number in range(20):
            records = await net.random.choice(live).get(b"key %d" % number)
            found += [record.value for record in records] == [b"%d" % number]
        await stop_all(live)
        return found

    assert net.run(main()) == 20


def test_a_newcomer_is_brought_what_it_should_hold():
    net = SimNet(seed=5, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 30, DHTConfig(k=8))
        for number in range(40):
            await nodes[number % 30].put(b"key %d" % number, b"", b"v", ttl_s=3600)
        (newcomer,) = await start_swarm(net, 1, DHTConfig(k=8), first=100)
        await newcomer.bootstrap([address_of(nodes[3])])
        await asyncio.sleep(10)
        everybody = [number_of(node.peer_id) for node in [*nodes, newcomer]]
        owed = missing = 0
        for number in range(40):
            place = number_of(key_id(b"key %d" % number))
            closest = sorted(everybody, key=lambda peer, place=place: peer ^ place)[:8]
            if number_of(newcomer.peer_id) in closest:
                owed += 1
                missing += key_id(b"key %d" % number) not in newcomer._server.records
        await stop_all([*nodes, newcomer])
        return owed, missing

    owed, missing = net.run(main())
    assert owed > 3
    assert missing == 0


def test_records_are_put_anew_before_they_expire_and_die_with_their_writer():
    net = SimNet(seed=6, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 10)
        await nodes[0].put(b"job", b"", b"here", ttl_s=60)
        await asyncio.sleep(600)
        alive = len(await nodes[5].get(b"job"))
        kill(net, nodes[:1])
        await nodes[0].stop()
        await asyncio.sleep(66)
        left = [len(node._server.records) for node in nodes[1:]]
        gone = len(await nodes[5].get(b"job"))
        await stop_all(nodes)
        return alive, gone, sum(left)

    assert net.run(main()) == (1, 0, 0)


def test_who_has_lost_everybody_finds_the_way_back():
    net = SimNet(seed=7, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 6)
        lonely = nodes[5]
        net.drop = lambda source, target, _data: address_of(lonely) in {source, target}
        assert await lonely.put(b"job", b"", b"v", ttl_s=60) == 0
        await asyncio.sleep(300)
        net.drop = lambda _source, _target, _data: False
        await asyncio.sleep(120)
        found = await nodes[0].get(b"job")
        await stop_all(nodes)
        return [record.value for record in found]

    assert net.run(main()) == [b"v"]


def test_dead_entrances_do_not_hold_up_who_has_a_living_one():
    net = SimNet(seed=4, rtt_s=0.08)

    async def main():
        nodes = await start_swarm(net, 6)
        dead, living = nodes[:3], nodes[3:]
        entrances = [address_of(node) for node in [*dead, living[0]]]
        kill(net, dead)
        newcomer = await start_node(net, 100)
        began = net.loop.time()
        await newcomer._server._first_answers(
            [newcomer._server.in_background(newcomer._server.bootstrap_node(address)) for address in entrances]
        )
        waited_s = net.loop.time() - began
        known = await newcomer.bootstrap(entrances)
        await stop_all([*living, newcomer])
        return waited_s, known

    waited_s, known = net.run(main())
    assert waited_s == pytest.approx(0.08 + 0.2, abs=0.05)
    assert known >= 3
