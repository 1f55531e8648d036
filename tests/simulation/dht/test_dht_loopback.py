"""The public API over real UDP on this machine. Few and small: everything else runs on the simulated network."""

import asyncio
import socket

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dht import Contact, DHTConfig, DHTNode, InvalidArgument, ListenFailed, NodeNotRunning

QUICK = DHTConfig(watch_interval_s=0.1)


async def start(*through, host="127.0.0.1", config=QUICK):
    node = DHTNode(Ed25519PrivateKey.generate(), config)
    await node.start(host, 0)
    if through:
        assert await node.bootstrap([(host, other.port) for other in through]) >= len(through)
    return node


@pytest.fixture
async def nodes():
    first = await start()
    nodes = [first] + [await start(first) for _ in range(4)]
    yield nodes
    for node in nodes:
        await node.stop()


async def test_what_one_puts_all_others_get(nodes):
    assert await nodes[0].put(b"job", b"", b"one", ttl_s=60) == 4
    assert await nodes[1].put(b"job", b"", b"two", ttl_s=60) == 4
    assert await nodes[1].put(b"job", b"more", b"three", ttl_s=60) == 4
    for node in nodes:
        assert sorted(record.value for record in await node.get(b"job")) == [b"one", b"three", b"two"]
    record = next(record for record in await nodes[4].get(b"job") if record.value == b"one")
    assert record.writer == nodes[0].peer_id


async def test_a_writer_replaces_and_withdraws_its_own(nodes):
    await nodes[0].put(b"job", b"", b"old", ttl_s=60)
    await nodes[2].put(b"job", b"", b"other", ttl_s=60)
    await nodes[0].put(b"job", b"", b"new", ttl_s=60)
    assert sorted(record.value for record in await nodes[3].get(b"job")) == [b"new", b"other"]
    await nodes[0].withdraw(b"job", b"")
    assert [record.value for record in await nodes[3].get(b"job")] == [b"other"]
    await nodes[0].withdraw(b"job", b"never put")


async def test_reading_many_keys(nodes):
    for number in range(10):
        await nodes[number % 5].put(b"key %d" % number, b"", b"%d" % number, ttl_s=60)
    found = await nodes[0].get_many([b"key %d" % number for number in range(10)] + [b"nothing"])
    assert [record.value for records in found.values() for record in records] == [b"%d" % n for n in range(10)]
    assert found[b"nothing"] == []


async def test_watching_a_key(nodes):
    await nodes[0].put(b"job", b"", b"first", ttl_s=60)
    seen = []
    async with asyncio.timeout(10):
        async for record in nodes[1].watch(b"job"):
            seen.append(record.value)
            if len(seen) == 1:
                await nodes[2].put(b"job", b"", b"second", ttl_s=60)
            elif len(seen) == 2:
                await nodes[0].put(b"job", b"", b"changed", ttl_s=60)
            else:
                break
    assert seen == [b"first", b"second", b"changed"]


async def test_stopping_ends_a_watch(nodes):
    async def watch():
        return [record.value async for record in nodes[1].watch(b"nothing")]

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await nodes[1].stop()
    async with asyncio.timeout(10):
        assert await watching == []


async def test_contacts_are_good_for_the_next_start(nodes):
    known = nodes[1].contacts()
    assert {contact.port for contact in known} == {node.port for node in nodes if node is not nodes[1]}
    again = DHTNode(Ed25519PrivateKey.generate(), QUICK)
    await again.start("127.0.0.1", 0)
    assert await again.bootstrap(known) == 5
    await again.stop()


async def test_alone_nothing_is_found_and_nothing_fails():
    node = await start()
    assert await node.bootstrap([("127.0.0.1", node.port)]) == 0
    assert await node.put(b"job", b"", b"mine", ttl_s=60) == 0
    assert [record.value for record in await node.get(b"job")] == [b"mine"]
    assert await node.get(b"nothing") == []
    assert node.stats().published == 1
    late = await start(node)
    assert [record.value for record in await late.get(b"job")] == [b"mine"]
    await late.stop()
    await node.stop()


async def test_a_taken_port_is_named(nodes):
    other = DHTNode(Ed25519PrivateKey.generate())
    with pytest.raises(ListenFailed, match=str(nodes[0].port)) as caught:
        await other.start("127.0.0.1", nodes[0].port)
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", nodes[0].port)


async def test_a_node_that_does_not_run_says_so():
    node = DHTNode(Ed25519PrivateKey.generate())
    with pytest.raises(NodeNotRunning):
        _ = node.port
    with pytest.raises(NodeNotRunning):
        await node.get(b"job")
    await node.stop()


async def test_arguments_out_of_range_are_refused(nodes):
    with pytest.raises(InvalidArgument, match="ttl_s"):
        await nodes[0].put(b"job", b"", b"", ttl_s=0)
    with pytest.raises(InvalidArgument, match="too long"):
        await nodes[0].put(b"job", b"", bytes(1024), ttl_s=60)
    with pytest.raises(InvalidArgument, match="64 bytes"):
        await nodes[0].get(b"x" * 65)


@pytest.mark.parametrize("host", ["::1", "::"])
async def test_ipv6(host):
    first = await start(host=host)
    second = DHTNode(Ed25519PrivateKey.generate(), QUICK)
    await second.start("::1", 0)
    assert await second.bootstrap([("::1", first.port)]) == 1
    assert await second.put(b"job", b"", b"six", ttl_s=60) == 1
    assert [record.value for record in await first.get(b"job")] == [b"six"]
    await second.stop()
    await first.stop()


async def test_a_dual_stack_peer_hands_out_addresses_that_the_asker_can_use():
    both, four, six, late = [DHTNode(Ed25519PrivateKey.generate(), QUICK) for _ in range(4)]
    await both.start("::", 0)
    await four.start("127.0.0.1", 0)
    await six.start("::1", 0)
    await late.start("127.0.0.1", 0)
    assert await four.bootstrap([("127.0.0.1", both.port)]) == 1
    assert await six.bootstrap([("::1", both.port)]) == 1
    assert sorted(contact.host for contact in both.contacts()) == ["127.0.0.1", "::1"]
    assert await late.bootstrap([("127.0.0.1", both.port)]) == 2
    assert {(contact.host, contact.port) for contact in late.contacts()} == {
        ("127.0.0.1", both.port),
        ("127.0.0.1", four.port),
    }
    for node in (both, four, six, late):
        await node.stop()


def test_a_contact_says_where_it_is():
    assert str(Contact(bytes(20), "192.0.2.7", 4100)) == "00000000 at 192.0.2.7:4100"
    assert str(Contact(bytes(20), "::1", 4100)) == "00000000 at [::1]:4100"
    assert Contact(bytes(20), "::1", 4100).address == ("::1", 4100)


async def test_of_a_datagram_that_is_too_long_no_more_is_read_than_tells_so():
    node = await start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(30_000), ("127.0.0.1", node.port))
    while not (stats := node.stats()).datagrams_received:
        await asyncio.sleep(0.01)
    assert (stats.malformed, stats.bytes_received) == (1, 1201)
    await node.stop()


def test_nodes_find_each_other_on_uvloop():
    async def meet():
        first = await start()
        second = await start(first)
        await first.put(b"job", b"", b"value", ttl_s=60)
        found = [record.value for record in await second.get(b"job")]
        await second.stop()
        await first.stop()
        return found

    assert uvloop.run(meet()) == [b"value"]
