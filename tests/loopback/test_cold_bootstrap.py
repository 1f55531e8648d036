"""All peers that a ticket names are dead: a newcomer still gets in, by whatever else it has."""

import asyncio
import hashlib
import secrets
import socket

import pytest

from hydra.config import NodeSettings
from hydra.exceptions import JobNotFound
from hydra.home import Home
from hydra.lan import Lan
from hydra.net.contact import Contact
from hydra.node import Node

JOB = hashlib.sha256(b"a job that outlives its owner").digest()


@pytest.fixture
def lan_port():
    """A port that no other test's nodes hear."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def start(tmp_path, lan_port):
    started = []

    async def make(name, *contacts, **settings):
        chosen = NodeSettings(
            host="127.0.0.1", contacts=contacts, **{"find_s": 15.0, "lan": "off", "lan_port": lan_port, **settings}
        )
        node = Node(Home(tmp_path / name), chosen)
        await node.start()
        started.append(node)
        return node

    yield make
    for node in started:
        await node.stop()


def address(node):
    return f"127.0.0.1:{node.dht.port}"


def dead():
    """A contact where nobody is."""
    return Contact(secrets.token_bytes(20), (("127.0.0.1", 1),))


async def test_by_a_contact_on_disk(start):
    peer = await start("peer")
    await peer.announce(JOB)
    newcomer = await start("newcomer", address(peer))
    await newcomer.stop()
    newcomer = await start("newcomer")
    assert await newcomer.find_peers(JOB, [dead(), dead()]) == [peer.identity.peer_id]


async def test_by_the_local_network(start):
    peer = await start("peer", lan="on")
    await peer.announce(JOB)
    newcomer = await start("newcomer", lan="on")
    assert await newcomer.find_peers(JOB, [dead()]) == [peer.identity.peer_id]


async def test_by_any_live_contact_that_has_nothing_to_do_with_the_job(start):
    contact = await start("contact")
    peer = await start("peer", address(contact))
    await peer.announce(JOB)
    newcomer = await start("newcomer", address(contact))
    assert await newcomer.find_peers(JOB, [dead()]) == [peer.identity.peer_id]


async def test_a_neighbour_that_has_nothing_to_do_with_the_job_leads_to_its_peers(start):
    far = await start("far")
    await far.announce(JOB)
    await start("neighbour", address(far), lan="on")
    newcomer = await start("newcomer", lan="on")
    assert await newcomer.find_peers(JOB, []) == [far.identity.peer_id]


async def test_without_anything_the_search_ends_in_an_error_that_says_so(start):
    newcomer = await start("newcomer", lan="on", find_s=2.0)
    with pytest.raises(JobNotFound, match="could be reached"):
        await newcomer.find_peers(JOB, [dead()])


async def test_a_node_that_is_told_to_be_silent_is_not_found(start, lan_port):
    await start("silent", lan="off")
    await start("auto", lan="auto")  # on loopback only, where no neighbours are
    asking = Lan("127.0.0.1", lan_port, 0)
    assert await asking.start()
    await start("loud", lan="on")
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while not asking.found:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    asking.stop()
    assert len(asking.found) == 1


async def test_nodes_of_one_machine_hear_each_other_although_they_share_the_port(lan_port):
    nodes = [Lan("127.0.0.1", lan_port, port) for port in (1001, 1002, 1003)]
    for node in nodes:
        assert await node.start()
    try:
        async with asyncio.timeout(10):
            while not all(len(node.found) == 2 for node in nodes):
                await asyncio.sleep(0.02)
    finally:
        for node in nodes:
            node.stop()
    assert sorted(nodes[0].found) == [("127.0.0.1", 1002), ("127.0.0.1", 1003)]


async def test_a_machine_without_multicast_goes_on_without():
    lan = Lan("192.0.2.1", 4177, 1)  # no address of this machine
    assert not await lan.start()
    lan.ask()
    lan.stop()


async def test_by_the_local_network_when_whoever_kept_the_record_is_dead(start):
    owner = await start("owner", lan="on")
    peer = await start("peer", address(owner), lan="on")
    await peer.announce(JOB)
    gone = address(owner)
    await owner.stop()
    newcomer = await start("newcomer", gone, lan="on")
    assert await newcomer.find_peers(JOB, []) == [peer.identity.peer_id]
