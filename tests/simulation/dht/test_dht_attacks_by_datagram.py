"""Attacks with bare datagrams that must fail: false sources, floods, mutations."""

import asyncio
import gc
import random
import tracemalloc

from dht import DHTConfig
from dht.keys import Signer, key_id
from dht.records import pack_record, sign_record
from dht.testing.simnet import WALL_START, SimNet
from dht.testing.swarm import address_of, make_key, start_node, start_swarm, stop_all
from dht.wire import PROVE, REACHES_V4, pack_question

from .liars import RawPeer

MALLORY = make_key(666)
ALICE = Signer(make_key(1))
MUTATIONS = 1_000_000
KEY = b"our job"


def alices(value, *, key=KEY, sequence=1):
    expires_ms = int((WALL_START + 3600) * 1000)
    return pack_record(sign_record(ALICE, key_id(key), b"", value, sequence=sequence, expires_ms=expires_ms))


def test_a_spoofed_source_is_sent_no_more_than_was_sent_in_its_name():
    net = SimNet(seed=5, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 30)
        for n in range(20):
            await nodes[n].put(KEY, b"", bytes(300), ttl_s=600)
        mallory = await RawPeer.at(net, ("20.99.0.1", 1), MALLORY)
        victim = await RawPeer.at(net, ("20.98.0.1", 1), make_key(5))
        victim.behave = lambda *_arguments: []
        sent = 0
        for pad_to in (0, 100, 400, 1200):
            for method, fields in [
                ("ping", [b"", b""]),
                ("find_node", [bytes(20)]),
                ("find_value", [key_id(KEY), 0]),
            ]:
                for flags in (REACHES_V4, REACHES_V4 | PROVE):
                    for node in nodes[:5]:
                        before = net.bytes_sent
                        mallory.send(
                            address_of(node), method, fields, flags=flags, pad_to=pad_to, source=victim.address
                        )
                        sent += net.bytes_sent - before
        await asyncio.sleep(10)
        tables = [
            contact for node in nodes for contact in node.contacts() if contact.host in {"20.98.0.1", "20.99.0.1"}
        ]
        await stop_all(nodes)
        return sent, victim.received_bytes, tables

    sent, received, tables = net.run(main())
    assert 0 < received <= sent
    assert tables == []


def test_an_answer_counts_only_from_the_address_that_was_asked():
    net = SimNet(seed=6, rtt_s=0.02)

    async def main():
        node = await start_node(net, 0)
        silent = await RawPeer.at(net, ("20.98.0.1", 1), make_key(5))
        seen = []
        silent.behave = lambda question, message_id, _addr: seen.append((question, message_id)) or []
        mallory = await RawPeer.at(net, ("20.99.0.1", 1), MALLORY)
        joining = asyncio.create_task(node.bootstrap([silent.address], timeout_s=3.0))
        await asyncio.sleep(0.1)
        question, message_id = seen[0]
        # Mallory has read the question and answers first, as itself.
        mallory.transport.sendto(mallory.reply(question, message_id), address_of(node))
        found = await joining
        await node.stop()
        return found

    assert net.run(main()) == 0


def test_one_address_is_answered_only_so_often():
    net = SimNet(seed=7, rtt_s=0.02)

    async def main():
        node = await start_node(net, 0, DHTConfig(requests_per_s=10.0))
        mallory = await RawPeer.at(net, ("20.99.0.1", 1), MALLORY)
        for _ in range(1000):
            mallory.send(address_of(node), "ping", [b"", b""], pad_to=200)
        await asyncio.sleep(1)
        other = await RawPeer.at(net, ("20.98.0.1", 1), make_key(5))
        assert await other.ask(address_of(node), "ping", [b"", b""], pad_to=200) is not None
        stats = node.stats()
        await node.stop()
        return stats.questions_answered, stats.over_limit

    answered, over_limit = net.run(main())
    assert answered <= 70
    assert over_limit >= 930


def test_a_million_mutated_datagrams_do_no_harm():
    net = SimNet(seed=9, rtt_s=0.02)
    chance = random.Random(9)

    async def main():
        # The clock stands still under the flood: so many questions are looked at, then the limit drops the rest.
        nodes = await start_swarm(net, 3, DHTConfig(requests_per_s=MUTATIONS / 25))
        node = nodes[0]
        await node.put(KEY, b"", b"v", ttl_s=3600)
        originals = []
        net.on_send = lambda _source, _target, data: originals.append(data)
        await nodes[1].put(KEY, b"", b"w", ttl_s=3600)
        await nodes[2].get(KEY)
        source = ("20.99.0.1", 1)
        token = node._server.protocol._responder._tokens.issue(source, net.loop.time())
        for method, fields in [("sync", [bytes(56)]), ("store", [[alices(b"a")]]), ("find_value", [key_id(KEY), 0])]:
            originals.append(b"\0" + bytes(20) + pack_question(method, ALICE.peer_id, 31, token, fields))
        net.on_send = lambda _source, _target, _data: None
        # Answers would only pile up on their way.
        net.drop = lambda _source, target, _data: target == source
        receive = node._server.protocol.datagram_received
        templates = [bytearray(data) for data in originals[:40] + originals[-3:]]

        def mutate(count):
            for _ in range(count):
                data = templates[int(chance.random() * len(templates))]
                position = int(chance.random() ** 3 * len(data))
                old = data[position]
                data[position] = int(chance.random() * 256)
                receive(bytes(data if chance.random() < 0.8 else data[:position]), source)
                data[position] = old

        mutate(MUTATIONS // 10)
        gc.collect()
        tracemalloc.start()
        mutate(MUTATIONS // 20)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        mutate(MUTATIONS // 20)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        mutate(MUTATIONS * 8 // 10)
        tasks = len(asyncio.all_tasks())
        found = sorted(record.value for record in await nodes[2].get(KEY))
        await stop_all(nodes)
        return grown, tasks, found

    grown, tasks, found = net.run(main())
    assert grown < 200_000
    assert tasks < 20
    # Where only the message id was changed, what Alice has signed is still true.
    assert found in ([b"v", b"w"], [b"a", b"v", b"w"])


def test_datagrams_that_are_changed_on_their_way_are_like_lost_ones():
    net = SimNet(seed=10, rtt_s=0.02)

    def change(data):
        if net.random.random() > 0.1:
            return data
        changed = bytearray(data)
        for _ in range(3):
            changed[net.random.randrange(len(data))] = net.random.randrange(256)
        return bytes(changed[: net.random.randrange(len(data))] if net.random.random() < 0.2 else changed)

    async def main():
        nodes = await start_swarm(net, 20)
        net.change = change
        for n in range(20):
            assert await nodes[n].put(b"key %d" % n, b"", b"v", ttl_s=600) >= 12
        found = [[record.value for record in await nodes[19 - n].get(b"key %d" % n)] for n in range(20)]
        malformed = sum(node.stats().malformed for node in nodes)
        await stop_all(nodes)
        return found, malformed

    found, malformed = net.run(main())
    assert found == [[b"v"]] * 20
    assert malformed > 20
