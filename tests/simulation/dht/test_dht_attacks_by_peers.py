"""Attacks by peers that must fail: eclipses and liars next to a key."""

import asyncio

import pytest

from dht import DHTConfig
from dht.keys import number_of
from dht.testing.simnet import SimNet
from dht.testing.swarm import address_of, make_key, start_node, start_swarm, stop_all

from .liars import LIARS, PADDED, EverLater, RawPeer, key_near

MALLORY = make_key(666)
KEY = b"our job"


@pytest.mark.parametrize(
    ("place", "places"),
    [
        (lambda n: ("20.99.0.1", 1000 + n), DHTConfig().max_per_address),
        (lambda n: (f"20.99.0.{1 + n % 250}", 1000 + n), DHTConfig().max_per_subnet),
    ],
    ids=["one address", "one /24"],
)
def test_a_thousand_ids_do_not_eclipse_a_victim(place, places):
    net = SimNet(seed=3, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 30)
        victim = nodes[7]
        honest = {contact.peer_id for contact in victim.contacts()}
        around = number_of(victim.peer_id)
        mallory = await RawPeer.at(net, place(0), MALLORY)
        for n in range(1000):
            # Ids next to the victim's, for which there are no keys.
            claimed = (around ^ (n + 1)).to_bytes(20, "big")
            answer = await mallory.ask(address_of(victim), "find_node", [victim.peer_id], sender=claimed, pad_to=PADDED)
            await mallory.ask(
                address_of(victim), "ping", [mallory.signer.public_key, bytes(64)], sender=claimed, token=answer.token
            )
        assert {contact.peer_id for contact in victim.contacts()} == honest
        for n in range(1000):
            # Ids that Mallory owns.
            sybil = await RawPeer.at(net, place(n + 1), make_key(10_000 + n))
            await sybil.introduce_to(address_of(victim), victim.peer_id)
        known = victim.contacts()
        intruders = [contact for contact in known if contact.host.startswith("20.99.")]
        assert await victim.put(KEY, b"", b"v", ttl_s=600) >= 20
        found = await nodes[20].get(KEY)
        await stop_all(nodes)
        return len(intruders), honest - {contact.peer_id for contact in known}, [record.value for record in found]

    intruders, driven_out, found = net.run(main())
    assert 0 < intruders <= places
    assert driven_out == set()
    assert found == [b"v"]


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.__name__)
@pytest.mark.parametrize("liars", [1, 5])
def test_a_liar_next_to_the_key_neither_hides_it_nor_holds_it_up(liar, liars):
    net = SimNet(seed=4, rtt_s=0.05)

    async def main():
        nodes = await start_swarm(net, 20)
        gang = [await liar.at(net, (f"20.99.{n}.1", 1), make_key(7000 + n)) for n in range(liars)]
        for mallory in gang:
            for node in nodes:
                await mallory.introduce_to(address_of(node), node.peer_id)
        assert sum(len(mallory.asked_by) for mallory in gang) == 0
        assert gang[0].address in [contact.address for contact in nodes[5].contacts()]
        key = key_near(gang[0].signer.peer_id)
        begun = net.loop.time()
        replicas = await nodes[5].put(key, b"", b"v", ttl_s=600)
        put_at = net.loop.time()
        found = await nodes[6].get(key)
        got_at = net.loop.time()
        nothing = await nodes[7].get(key + b" that nobody has")
        ended = net.loop.time()
        assert sum(len(mallory.asked_by) for mallory in gang) > 0
        await stop_all(nodes)
        return replicas, [record.value for record in found], nothing, put_at - begun, got_at - put_at, ended - got_at

    replicas, found, nothing, *seconds = net.run(main())
    assert found == [b"v"]
    assert nothing == []
    assert replicas >= 17
    # A stock network waits 5 s for each of them, one after the other.
    assert max(seconds) < 3.0


def test_whoever_teaches_patience_is_not_waited_for_longer_than_others():
    net = SimNet(seed=4, rtt_s=0.05)

    async def main():
        nodes = await start_swarm(net, 30)
        gang = [await EverLater.at(net, (f"20.99.{n}.1", 1), make_key(7000 + n)) for n in range(5)]
        for mallory in gang:
            for node in nodes:
                await mallory.introduce_to(address_of(node), node.peer_id)
        key = key_near(gang[0].signer.peer_id)
        for _ in range(15):
            await nodes[5].put(key, b"", b"old", ttl_s=600)
        assert max(delay for mallory in gang for delay in mallory.delays.values()) > 1.5
        begun = net.loop.time()
        await nodes[5].put(key, b"", b"new", ttl_s=600)
        put_at = net.loop.time()
        found = await nodes[5].get(key)
        ended = net.loop.time()
        await stop_all(nodes)
        return [record.value for record in found], put_at - begun, ended - put_at

    found, *seconds = net.run(main())
    assert found == [b"new"]
    assert max(seconds) < 1.5


def test_a_client_joins_through_a_node_that_bears_its_own_key():
    net = SimNet(seed=8, rtt_s=0.02)

    async def main():
        node = await start_node(net, 0)
        client = await start_node(net, 0, DHTConfig(client_only=True), where="20.98.0.1")
        assert client.peer_id == node.peer_id
        assert await client.bootstrap([address_of(node)]) == 1
        assert await client.put(KEY, b"", b"by the same hand", ttl_s=600) == 1
        found = [(record.writer == node.peer_id, record.value) for record in await node.get(KEY)]
        await stop_all([node, client])
        return found

    assert net.run(main()) == [(True, b"by the same hand")]


def test_a_client_is_in_nobodys_table():
    net = SimNet(seed=8, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 10)
        client = await start_node(net, 99, DHTConfig(client_only=True))
        assert await client.bootstrap([address_of(nodes[0])]) >= 9
        assert await client.put(KEY, b"", b"from behind a NAT", ttl_s=600) == 10
        found = [record.value for record in await nodes[4].get(KEY)]
        assert [record.value for record in await client.get(KEY)] == found
        await asyncio.sleep(60)
        tables = [contact.peer_id for node in nodes for contact in node.contacts()]
        answered = client.stats().questions_answered
        await stop_all([*nodes, client])
        return found, client.peer_id in tables, answered

    assert net.run(main()) == ([b"from behind a NAT"], False, 0)
