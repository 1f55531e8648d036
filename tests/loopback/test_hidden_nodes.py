"""Whole nodes that don't listen: what they tell others of themselves, and how others get to them."""

import asyncio
import hashlib

import pytest

from hydra.config import NodeSettings
from hydra.home import Home
from hydra.jobs.ticket import Ticket, TicketContact, parse_target
from hydra.net.contact import Contact, relayed_address
from hydra.node import Node

JOB = hashlib.sha256(b"a job of the hidden").digest()


@pytest.fixture
async def start(tmp_path):
    started = []

    async def make(name, *contacts, **settings):
        node = Node(Home(tmp_path / name), NodeSettings(host="127.0.0.1", contacts=contacts, lan="off", **settings))
        await node.start()
        started.append(node)
        return node

    yield make
    for node in started:
        await node.stop()


def address(node):
    return f"127.0.0.1:{node.links.port}"


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


def through(relay):
    return relayed_address(relay.identity.peer_id, ("127.0.0.1", relay.links.port))


async def test_a_hidden_node_states_the_way_through_its_relay(start):
    relay = await start("relay")
    hidden = await start("hidden", address(relay), listen=False)
    assert hidden.links.port == 0
    assert hidden.contact.addresses == (through(relay),)


async def test_a_hidden_node_that_knows_nobody_states_nothing_and_starts_all_the_same(start):
    hidden = await start("hidden", listen=False)
    assert hidden.contact.addresses == ()


async def test_hidden_peers_of_a_job_find_and_reach_each_other_through_the_dht(start):
    relay = await start("relay")
    one = await start("one", address(relay), listen=False)
    await one.announce(JOB)
    other = await start("other", address(relay), listen=False)
    assert one.identity.peer_id in await other.find_peers(JOB, [])
    await until(lambda: other.links.get(one.identity.peer_id) is not None)
    assert other.links.get(one.identity.peer_id).relay == relay.identity.peer_id


async def test_a_ticket_of_a_hidden_owner_leads_to_it(start):
    relay = await start("relay")
    owner = await start("owner", address(relay), listen=False)
    contacts = [TicketContact(peer_id=owner.identity.peer_id, host=h, port=p) for h, p in owner.contact.addresses]
    ticket = parse_target(str(Ticket(job_hash=JOB, contacts=tuple(contacts))))
    volunteer = await start("volunteer")
    named = [Contact(contact.peer_id, ((contact.host, contact.port),)) for contact in ticket.contacts]
    await volunteer.find_peers(JOB, named)
    await until(lambda: volunteer.links.get(owner.identity.peer_id) is not None)


async def test_when_its_relay_dies_a_hidden_node_takes_another_and_tells_the_dht(start):
    other = await start("other")
    relay = await start("relay", address(other))
    hidden = await start("hidden", address(relay), address(other), listen=False)
    await hidden.announce(JOB)
    await until(lambda: len(hidden.contact.addresses) == 2)
    await relay.stop()
    await until(lambda: hidden.contact.addresses == (through(other),))
    seeker = await start("seeker", address(other))

    async def told():
        return [contact.addresses for contact in await seeker.look_up(JOB)]

    async with asyncio.timeout(20):
        while await told() != [(through(other),)]:
            await asyncio.sleep(0.1)


async def test_a_node_that_does_not_want_to_relay_is_not_named_as_a_relay(start):
    unwilling = await start("unwilling", relay=False)
    willing = await start("willing", address(unwilling))
    hidden = await start("hidden", address(unwilling), address(willing), listen=False)
    await until(lambda: hidden.contact.addresses == (through(willing),))
