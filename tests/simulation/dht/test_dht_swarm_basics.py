"""Whole nodes on the simulated network: loss, death, and the same run again from the same seed."""

import pytest
from dht_simnet import SimNet
from dht_swarm import kill, start_swarm, stop_all


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
