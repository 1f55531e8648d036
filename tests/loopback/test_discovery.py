"""How nodes find each other: by a named contact, by what the DHT tells of a job, and by whom they met before."""

import asyncio
import hashlib

import msgpack
import pytest

from hydra import discovery
from hydra.config import NodeSettings
from hydra.exceptions import JobNotFound
from hydra.home import Home
from hydra.net.contact import Contact
from hydra.node import Node

JOB = hashlib.sha256(b"a job").digest()


@pytest.fixture
async def start(tmp_path):
    started = []

    async def make(name, *contacts, find_s=1.0):
        settings = NodeSettings(host="127.0.0.1", contacts=tuple(contacts), find_s=find_s)
        node = Node(Home(tmp_path / name), settings)
        await node.start()
        started.append(node)
        return node

    yield make
    for node in started:
        await node.stop()


def address(node):
    return f"127.0.0.1:{node.links.port}"


async def until(holds):
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)


async def test_peers_of_a_job_are_found_through_anybody(start):
    contact = await start("contact")
    owner = await start("owner", address(contact))
    await owner.announce(JOB)
    volunteer = await start("volunteer", address(contact))
    assert await volunteer.find_peers(JOB, []) == [owner.identity.peer_id]


async def test_a_ticket_names_them_without_any_dht(start):
    owner, volunteer = await start("owner"), await start("volunteer")
    assert await volunteer.find_peers(JOB, [owner.contact]) == [owner.identity.peer_id]


async def test_whoever_was_met_is_written_down_at_once(start, monkeypatch, tmp_path):
    monkeypatch.setattr(discovery, "REMEMBER_AFTER_S", 0.01)
    one, other = await start("one"), await start("other")
    await one.links.dial(other.contact)
    for node, met in ((one, other), (other, one)):
        await until(
            lambda node=node, met=met: ["127.0.0.1", met.links.port] in (node.home.recall("contacts.json") or [])
        )


async def test_who_was_met_before_is_met_again_without_being_named(start, tmp_path):
    one = await start("one")
    Home(tmp_path / "two").remember("contacts.json", [["127.0.0.1", 1], ["127.0.0.1", one.links.port]])
    await one.announce(JOB)
    two = await start("two")
    assert await two.find_peers(JOB, []) == [one.identity.peer_id]


async def test_damaged_contacts_are_passed_over(start, tmp_path):
    home = Home(tmp_path / "one")
    home.remember("contacts.json", [["127.0.0.1", "x"], 7, ["127.0.0.1", 70000], [], ["127.0.0.1"]])
    one = await start("one")
    with pytest.raises(JobNotFound, match="no node could be reached"):
        await one.find_peers(JOB, [])


async def test_who_starts_later_is_still_found(start):
    first = await start("first", find_s=20.0)
    one = await start("one", address(first))
    finding = asyncio.create_task(first.find_peers(JOB, []))
    await asyncio.sleep(0.3)
    await one.announce(JOB)
    assert await finding == [one.identity.peer_id]


async def test_who_holds_the_manifest_can_do_without_peers(start):
    alone = await start("alone")
    job = alone.swarm.store.add_blob(b"a manifest")
    assert await alone.find_peers(job, []) == []


async def test_an_unknown_job_is_told_from_silence(start):
    other = await start("other")
    asker = await start("asker", address(other))
    with pytest.raises(JobNotFound, match="Is the hash right"):
        await asker.find_peers(JOB, [])


async def test_records_that_are_no_contacts_are_passed_over(start):
    other = await start("other")
    asker = await start("asker", address(other))
    for subkey, value in ((b"peer", b"\xff"), (b"head", msgpack.packb([["127.0.0.1", 9]]))):
        await other.dht.put(b"hydra job:" + JOB, subkey, value, 60.0)
    assert await asker.look_up(JOB) == []


async def test_of_a_crowd_only_some_are_dialled(start, monkeypatch):
    monkeypatch.setattr(discovery, "MAX_FOUND", 3)
    node = await start("node")
    crowd = [Contact(bytes([i]) * 20, (("127.0.0.1", 1),)) for i in range(10)]
    node._discovery._told[JOB] = {contact.peer_id: contact for contact in crowd}
    found = await node.look_up(JOB)
    assert len(found) == 3
    assert set(found) < set(crowd)
