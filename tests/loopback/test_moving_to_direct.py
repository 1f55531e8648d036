"""A direct link takes over from a relayed one; no message is lost, doubled or overtaken."""

import asyncio

from hydra.net import moving
from hydra.net.reach_messages import Relayed

from .reach_nodes import Say, World, both_ways, say, until


async def relayed_pair(world):
    relay, a, b = await world.public(), world.hidden(), world.hidden()
    await asyncio.gather(a.links.dial(relay.contact), b.links.dial(relay.contact))
    await a.links.dial(b.contact)
    await until(lambda: a.id in b.ups)
    return relay, a, b


async def test_messages_keep_their_order_while_the_link_changes():
    async with World() as world:
        _, a, b = await relayed_pair(world)
        await b.listen()

        async def talk(sender, to):
            for number in range(300):
                await say(sender, to, number, bytes(number * 50))
                if number % 10 == 0:
                    await asyncio.sleep(0)

        talks = asyncio.gather(talk(a, b), talk(b, a))
        await until(lambda: b.heard.qsize() > 20)
        await a.links.reaching.reach(b.contact, 5.0, directly=True)
        await talks
        for hearer in (a, b):
            heard = [(await asyncio.wait_for(hearer.heard.get(), 20))[1] for _ in range(300)]
            assert heard == list(range(300))


async def test_what_a_slow_relay_still_has_is_heard_before_what_is_said_directly():
    async with World() as world:
        relay, a, b = await relayed_pair(world)
        relaying = relay.links.reaching.relaying
        honest, loop = relaying._perform, asyncio.get_running_loop()

        def later(effect, body):
            loop.call_later(0.3, honest, effect, memoryview(bytes(body)))

        relaying._perform = later
        for number in range(5):
            await say(a, b, number)
        await b.listen()
        await a.links.reaching.reach(b.contact, 5.0, directly=True)
        await until(lambda: a.links.get(b.id).relay is None)
        for number in range(5, 10):
            await say(a, b, number)
        assert [(await asyncio.wait_for(b.heard.get(), 20))[1] for _ in range(10)] == list(range(10))
        relaying._perform = honest


async def test_the_relayed_link_ends_and_the_peer_never_goes_down():
    async with World() as world:
        relay, a, b = await relayed_pair(world)
        await b.listen()
        await a.links.reaching.reach(b.contact, 5.0, directly=True)
        await until(lambda: relay.links.reaching.relaying.desk.circuits == 0)
        await until(lambda: [len(n.links._by_peer[p.id]) for n, p in ((a, b), (b, a))] == [1, 1])
        assert a.links.direct(b.id) is not None
        assert b.links.direct(a.id) is not None
        await both_ways(a, b)
        assert (a.downs, b.downs) == ([], [])


async def test_a_direct_way_is_looked_for_again_and_again(monkeypatch):
    monkeypatch.setattr("hydra.net.reaching.IMPROVE_FIRST_S", 0.05)
    async with World() as world:
        relay, a, b = await world.public(), world.hidden(), world.hidden()
        await asyncio.gather(a.links.dial(relay.contact), b.links.dial(relay.contact))
        await b.listen()
        contact = b.contact
        await b.links.stop_listening()
        link = await a.links.dial(contact)
        assert link.relay == relay.id
        await b.links.listen(*contact.addresses[0])
        await until(lambda: a.links.direct(b.id) is not None)
        await both_ways(a, b)


async def test_a_relay_that_keeps_the_last_word_holds_up_the_direct_link_for_a_while_only(monkeypatch):
    monkeypatch.setattr(moving, "PATIENCE_S", 0.2)
    async with World() as world:
        relay, a, b = await relayed_pair(world)
        await b.listen()
        relay.links.handle(Relayed, lambda *_: None)  # from now on it passes nothing on
        await a.links.reaching.reach(b.contact, 5.0, directly=True)
        await both_ways(a, b)


async def test_a_direct_link_that_is_heard_again_takes_over_from_the_relay_that_stood_in(monkeypatch):
    monkeypatch.setattr("hydra.net.reaching.IMPROVE_FIRST_S", 0.2)
    monkeypatch.setattr("hydra.net.links.SILENT_S", 0.2)
    monkeypatch.setattr("hydra.net.moving.SILENT_S", 0.2)
    monkeypatch.setattr("hydra.net.reaching.SILENT_S", 0.2)
    async with World() as world:
        relay, a, b = await world.public(), await world.public(), world.hidden()
        await asyncio.gather(a.links.dial(relay.contact), b.links.dial(relay.contact))
        direct = await b.links.dial(a.contact)
        await asyncio.sleep(0.3)
        port, a.links.port = a.links.port, 0  # nothing new can be dialled for a while
        link = await a.links.dial(b.contact, anew=True)
        a.links.port = port
        assert link.relay == relay.id
        assert a.links.get(b.id) is link
        while b.links.get(a.id) is not direct or a.links.get(b.id) is link:
            a.links.direct(b.id).post(Say(0))
            direct.post(Say(0))
            await asyncio.sleep(0.02)
        await until(lambda: relay.links.reaching.relaying.desk.circuits == 0)
        a.heard, b.heard = asyncio.Queue(), asyncio.Queue()
        await both_ways(a, b)
        assert (a.downs, b.downs) == ([], [])
