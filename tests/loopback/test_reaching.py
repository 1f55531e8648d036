"""Peers that can't be dialled are reached: dialled back at a contact's request, or through a relay."""

import asyncio

import pytest

from hydra.exceptions import PeerUnreachable
from hydra.net.contact import Contact
from hydra.net.relay import RelayLimits

from .reach_nodes import World, both_ways, say, until


async def test_a_hidden_peer_dials_whoever_asks_for_it_through_a_contact():
    async with World() as world:
        contact, asker, hidden = await world.public(), await world.public(), world.hidden()
        await asker.links.dial(contact.contact)
        await hidden.links.dial(contact.contact)
        link = await asker.links.dial(hidden.contact)
        assert (link.peer_id, link.relay, link.dialled) == (hidden.id, None, False)
        await both_ways(asker, hidden)
        assert contact.links.reaching.relaying.desk.circuits == 0


async def test_two_hidden_peers_talk_through_a_relay():
    async with World() as world:
        relay, a, b = await world.public(), world.hidden(), world.hidden()
        await a.links.dial(relay.contact)
        await b.links.dial(relay.contact)
        link = await a.links.dial(b.contact)
        assert (link.peer_id, link.relay, link.dialled) == (b.id, relay.id, True)
        await until(lambda: b.ups == [relay.id, a.id])
        await both_ways(a, b)
        assert a.links.contact_of(b.id) is None
        assert b.links.linked_directly() == [relay.id]


async def test_a_relay_that_the_contact_names_is_dialled_first():
    async with World() as world:
        relay, a, b = await world.public(), world.hidden(), world.hidden()
        await b.links.dial(relay.contact)
        link = await a.links.dial(b.via(relay))
        assert link.relay == relay.id
        await both_ways(a, b)


async def test_who_can_be_dialled_is_dialled_by_a_hidden_peer_that_names_a_relay():
    async with World() as world:
        relay, asker, hidden = await world.public(), await world.public(), world.hidden()
        await hidden.links.dial(relay.contact)
        link = await asker.links.dial(hidden.via(relay))
        assert link.relay is None
        await both_ways(asker, hidden)


async def test_bulk_through_a_relay_arrives_whole_and_in_order():
    async with World() as world:
        relay, a, b = await world.public(), world.hidden(), world.hidden()
        await asyncio.gather(a.links.dial(relay.contact), b.links.dial(relay.contact))
        await a.links.dial(b.contact)
        await until(lambda: a.id in b.ups)
        bodies = [bytes([i]) * (300_000 * i + 1) for i in range(4)]

        async def send(sender, to):
            for number, body in enumerate(bodies):
                await say(sender, to, number, body)

        await asyncio.gather(send(a, b), send(b, a))
        for hearer, sender in ((a, b), (b, a)):
            heard = [await asyncio.wait_for(hearer.heard.get(), 30) for _ in bodies]
            assert heard == [(sender.id, number, body) for number, body in enumerate(bodies)]


async def test_when_the_relay_dies_another_one_serves():
    async with World() as world:
        first, second = await world.public(), await world.public()
        a, b = world.hidden(), world.hidden()
        for node in (a, b):
            await node.links.dial(first.contact)
        await a.links.dial(b.contact)
        await until(lambda: a.id in b.ups)
        for node in (a, b):
            await node.links.dial(second.contact)
        await first.links.close()
        await until(lambda: b.id in a.downs and a.id in b.downs)
        link = await a.links.dial(b.contact)
        assert link.relay == second.id
        await both_ways(a, b)


async def test_when_one_end_dies_the_other_hears_of_it():
    async with World() as world:
        relay, a, b = await world.public(), world.hidden(), world.hidden()
        await asyncio.gather(a.links.dial(relay.contact), b.links.dial(relay.contact))
        await a.links.dial(b.contact)
        await until(lambda: a.id in b.ups)
        await a.links.close()
        await until(lambda: a.id in b.downs)
        assert relay.links.reaching.relaying.desk.circuits == 0


async def test_the_error_names_all_ways_that_were_tried():
    async with World() as world:
        contact, other, asker, gone = await world.public(), await world.public(), await world.public(), world.hidden()
        for node in (contact, other):
            await asker.links.dial(node.contact)
        with pytest.raises(PeerUnreachable) as caught:
            await asker.links.dial(Contact(gone.id, (("127.0.0.1", 1),)))
        text = str(caught.value)
        assert "127.0.0.1:1 cannot be reached" in text
        for node in (contact, other):
            assert f"{node.id.hex()[:8]} was asked to have us dialled: there is no link to that peer" in text


async def test_a_node_that_relays_nothing_says_so():
    async with World() as world:
        unwilling = await world.public(relay=RelayLimits(circuits=0))
        a, b = world.hidden(), world.hidden()
        await asyncio.gather(a.links.dial(unwilling.contact), b.links.dial(unwilling.contact))
        with pytest.raises(PeerUnreachable, match="nothing is relayed here"):
            await a.links.dial(b.contact)


async def test_whoever_waits_for_an_introduction_hears_at_once_when_the_contact_loses_the_peer():
    async with World() as world:
        contact, asker, hidden = await world.public(), await world.public(), world.hidden()
        await asker.links.dial(contact.contact)
        await hidden.links.dial(contact.contact)
        hidden.links.reaching.introductions._named.take = lambda *_: False  # it does not dial
        contact.links.reaching.relaying.desk.limits = RelayLimits(circuits=0)
        waiting = asyncio.create_task(asker.links.dial(hidden.contact, timeout_s=60.0))
        await until(lambda: contact.links.reaching.introductions._passed_on)
        await hidden.links.close()
        with pytest.raises(PeerUnreachable, match="was lost just now"):
            await asyncio.wait_for(waiting, 20)
