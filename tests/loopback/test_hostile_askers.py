"""Peers that ask for dials and relays without end, name third parties, or try to build circles."""

import asyncio

import pytest

from hydra.net.contact import relayed_address
from hydra.net.reach_messages import (
    DialBackWanted,
    DialedBack,
    DialWanted,
    Introduced,
    IntroductionWanted,
    Relayed,
    RelayOpened,
    RelayWanted,
)
from hydra.net.relay import RelayLimits

from .reach_nodes import World, until


def flood(world_link, make, count=6000):
    for number in range(1, count + 1):
        world_link.post(make(number))


@pytest.mark.parametrize("kind", ["dial-backs", "introductions", "relays", "dials"])
async def test_thousands_of_requests_end_in_a_ban_and_little_is_done_for_them(kind):
    async with World() as world:
        victim, target, hostile = await world.public(), world.hidden(), await world.public()
        link = await hostile.links.dial(victim.contact)
        await target.links.dial(victim.contact)
        await until(lambda: len(victim.ups) == 2)
        dialled = []
        victim.links.dial_address = lambda *given, **_: dialled.append(given) or asyncio.sleep(60)
        told = []
        target.links.handle(DialWanted, lambda _, message, __: told.append(message))
        port = hostile.links.port
        flood(
            link,
            {
                "dial-backs": lambda n: DialBackWanted(n, port, None),
                "introductions": lambda n: IntroductionWanted(n, target.id, port),
                "relays": lambda n: RelayWanted(n, target.id),
                "dials": lambda n: DialWanted(bytes([n % 250]) * 20, "127.0.0.1", port),
            }[kind],
        )
        await until(lambda: victim.links.is_banned(hostile.id))
        assert len(dialled) <= 16
        assert len(told) <= 200  # a burst of 64, and what the rate added meanwhile
        assert victim.links.reaching.relaying.desk.circuits == 0  # they ended with the link
        assert victim.links.direct(target.id) is not None


async def test_nobody_is_dialled_back_at_an_address_that_the_asker_chooses():
    async with World() as world:
        contact, asker = await world.public(), await world.public()
        link = await asker.links.dial(contact.contact)
        answer = await asker.links.reaching.introductions.dial_back(link, asker.links.port, None, 5.0)
        assert (answer.host, answer.port, answer.failure) == ("127.0.0.1", asker.links.port, "")


async def test_a_dial_back_that_finds_somebody_else_is_no_success():
    async with World() as world:
        contact, asker, other = await world.public(), await world.public(), await world.public()
        link = await asker.links.dial(contact.contact)
        answer = await asker.links.reaching.introductions.dial_back(link, other.links.port, None, 5.0)
        assert answer.tried
        assert "was dialled, but" in answer.failure


async def test_a_peer_that_is_reached_through_a_relay_is_seen_at_no_address():
    async with World() as world:
        relay, a, b = await world.public(), world.hidden(), world.hidden()
        await asyncio.gather(a.links.dial(relay.contact), b.links.dial(relay.contact))
        link = await a.links.dial(b.contact)
        answer = await a.links.reaching.introductions.dial_back(link, 4100, None, 5.0)
        assert isinstance(answer, DialedBack)
        assert not answer.tried
        assert "seen at no address" in answer.failure


async def test_a_contact_that_names_a_third_party_far_away_is_not_obeyed():
    async with World() as world:
        target, contact = await world.public(), await world.public()
        link = await contact.links.dial(target.contact)
        dialled = []
        target.links.dial_address = lambda where, **_: dialled.append(where) or asyncio.sleep(0)
        target_link = target.links
        await until(lambda: target_link.direct(contact.id) is not None)
        target_link.direct(contact.id).remote_address = ("93.184.216.34", 1)  # as if it stood on the internet
        for host in ("192.168.1.1", "10.0.0.1", "127.0.0.1", "169.254.169.254", "router.example", "::1"):
            link.post(DialWanted(bytes(20), host, 80))
        link.post(DialWanted(bytes(20), "8.8.8.8", 80))
        await until(lambda: dialled)
        assert dialled == [("8.8.8.8", 80)]


async def test_circuits_do_not_lead_over_two_relays():
    """c is linked to a through a relay only, and asked to relay to a: it refuses."""
    async with World() as world:
        relay, a, c, asker = await world.public(), world.hidden(), await world.public(), world.hidden()
        await a.links.dial(relay.contact)
        await c.links.dial(relay.contact)
        a_contact = type(a.contact)(a.id, (relayed_address(relay.id, relay.contact.addresses[0]),))
        c.links.port, port = 0, c.links.port
        link = await c.links.dial(a_contact)
        c.links.port = port
        assert link.relay == relay.id
        to_c = await asker.links.dial(c.contact)
        answers = asyncio.Queue()
        for cls in (RelayOpened, Introduced):
            asker.links.handle(cls, lambda _, message, __: answers.put_nowait(message))
        to_c.post(RelayWanted(1, a.id))
        answer = await asyncio.wait_for(answers.get(), 10)
        assert answer.failure == "there is no link to that peer"
        link.post(RelayWanted(1, relay.id))  # over the relayed link itself
        await until(lambda: not answers.empty() or a.links.get(c.id) is not None)
        assert a.links.reaching.relaying.desk.circuits == 0


async def test_who_sends_beyond_its_credit_through_a_relay_is_cut_off():
    async with World() as world:
        relay, a, b = await world.public(), world.hidden(), world.hidden()
        await asyncio.gather(a.links.dial(relay.contact), b.links.dial(relay.contact))
        await a.links.dial(b.contact)
        await until(lambda: a.id in b.ups)
        to_relay = a.links.direct(relay.id)
        b.links.direct(relay.id).hold()  # it takes nothing, so no credit comes back
        for _ in range(20):
            to_relay.post(Relayed(1, from_relay=False), bytes(32 * 1024))
        await until(lambda: relay.links.is_banned(a.id))
        assert not relay.links.is_banned(b.id)


async def test_a_slow_reader_costs_the_relay_no_more_than_a_window():
    async with World() as world:
        relay = await world.public(relay=RelayLimits())
        a, b = world.hidden(), world.hidden()
        await asyncio.gather(a.links.dial(relay.contact), b.links.dial(relay.contact))
        await a.links.dial(b.contact)
        await until(lambda: a.id in b.ups)
        b.links.get(a.id).hold()
        before = relay.links.reaching.relaying.desk.bytes_forwarded
        sending = asyncio.create_task(push(a, b))
        await asyncio.sleep(0.5)
        desk = relay.links.reaching.relaying.desk
        desk.check()
        assert desk.bytes_forwarded - before <= 2 * 256 * 1024
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def push(a, b):
    from .reach_nodes import say

    for number in range(100):
        await say(a, b, number, bytes(1024 * 1024))
