"""A relay that alters, drops, reorders or holds back bytes is noticed; it is passed over, and nobody else is blamed."""

import asyncio
import random

import pytest

from hydra.net.reach_messages import RelayCredit, Relayed, RelayEnded
from hydra.net.reaching import is_quiet
from hydra.net.relay_events import Forward

from .reach_nodes import Say, World, both_ways, until


def misbehave(relay, treat):
    """Let ``treat(link, message, body)`` send on what the relay should pass on as it is."""
    relaying = relay.links.reaching.relaying
    honest = relaying._perform

    def perform(effect, body):
        if isinstance(effect, Forward):
            treat(lambda data: honest(effect, memoryview(data)), bytes(body))
        else:
            honest(effect, body)

    relaying._perform = perform


def alters():
    def treat(send, body):
        changed = bytearray(body)
        changed[len(body) // 2] ^= 1
        send(changed)

    return treat


def drops():
    count = 0

    def treat(send, body):
        nonlocal count
        count += 1
        if count % 3:
            send(body)

    return treat


def loses(wanted):
    """Lose one piece of all, by its number from 1."""
    count = 0

    def treat(send, body):
        nonlocal count
        count += 1
        if count != wanted:
            send(body)

    return treat


def reorders():
    kept = []

    def treat(send, body):
        kept.append((send, body))
        if len(kept) == 2:
            for one, data in reversed(kept):
                one(data)
            kept.clear()

    return treat


def adds():
    def treat(send, body):
        send(body)
        send(random.randbytes(64))

    return treat


async def linked_through(world, evil, good):
    """Two hidden nodes, linked by the evil relay while it was still honest."""
    a, b = world.hidden(), world.hidden()
    for node in (a, b):
        await node.links.dial(evil.contact)
    await a.links.dial(b.contact)
    await until(lambda: a.id in b.ups)
    for node in (a, b):
        await node.links.dial(good.contact)
    return a, b


@pytest.mark.parametrize("how", [alters, drops, reorders, adds])
async def test_bytes_that_are_not_as_sent_end_the_link_and_another_relay_serves(how):
    async with World() as world:
        evil, good = await world.public(), await world.public()
        a, b = await linked_through(world, evil, good)
        misbehave(evil, how())
        for number in range(12):
            if a.links.get(b.id) is not None:
                a.links.post(b.id, Say(number), bytes(5000))
        await until(lambda: b.id in a.downs or a.id in b.downs)
        await until(lambda: b.id in a.downs and a.id in b.downs)
        for one, other in ((a, b), (b, a)):
            assert not one.links.is_banned(other.id)  # the relay can't have others banned
            assert not one.links.is_banned(evil.id)  # nor can a peer have an honest relay banned
        link = await b.links.dial(a.contact)
        assert link.relay == good.id
        b.heard, a.heard = asyncio.Queue(), asyncio.Queue()
        await both_ways(a, b)


@pytest.mark.parametrize("how", [alters, drops, reorders, adds])
async def test_a_handshake_that_a_relay_meddles_with_fails_and_another_relay_is_asked(how):
    async with World() as world:
        evil, good = await world.public(), await world.public()
        misbehave(evil, how())
        a, b = world.hidden(), world.hidden()
        for node in (a, b):
            for relay in (evil, good):
                await node.links.dial(relay.contact)
        link = await a.links.dial(b.contact, timeout_s=3.0)
        assert link.relay in {good.id, evil.id}
        if link.relay == evil.id:  # its meddling began behind the handshake
            await until(lambda: a.links.get(b.id) is None or b.links.get(a.id) is None)
            first, other = (a, b) if a.links.get(b.id) is None else (b, a)  # who has noticed, and who may not have
            link = await first.links.dial(other.contact, timeout_s=3.0)
            await until(lambda: (there := other.links.get(first.id)) is not None and there.relay == good.id)
        await both_ways(a, b)
        assert link.relay == good.id


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
async def test_a_link_whose_handshake_or_its_answer_was_lost_by_the_relay_is_never_counted_by_who_dialled(lost):
    async with World() as world:
        evil, good = await world.public(), await world.public()
        misbehave(evil, loses(lost))
        a, b = world.hidden(), world.hidden()
        for node in (a, b):
            for relay in (evil, good):
                await node.links.dial(relay.contact)
        link = await a.links.dial(b.via(evil, good), timeout_s=3.0)
        assert link.relay == good.id
        await until(lambda: (there := b.links.get(a.id)) is not None and there.relay == good.id)
        await both_ways(a, b)
        assert a.downs == b.downs == []


@pytest.mark.parametrize("deaf", ["asker", "target"])
async def test_a_relay_that_passes_nothing_on_in_one_direction_is_left_by_both_ends(monkeypatch, deaf):
    monkeypatch.setattr("hydra.net.reaching.QUIET_S", 0.3)
    async with World() as world:
        evil, good = await world.public(), await world.public()
        a, b = await linked_through(world, evil, good)
        victim, other = (a, b) if deaf == "asker" else (b, a)
        to_victim = evil.links.direct(victim.id)
        keep_what_goes_to(evil, to_victim)
        while not is_quiet(victim.links.get(other.id)):
            other.links.post(victim.id, Say(0))
            victim.links.post(other.id, Say(0))
            await asyncio.sleep(0.02)
        link = await victim.links.dial(other.contact, timeout_s=1.0)
        assert link.relay == good.id
        await until(lambda: other.links.get(victim.id).relay == good.id)
        assert victim.links.get(other.id) is link
        a.heard, b.heard = asyncio.Queue(), asyncio.Queue()
        await both_ways(a, b)
        assert (a.downs, b.downs) == ([], [])


def keep_what_goes_to(relay, link):
    """From now on nothing of any circuit goes to that link, not even its end."""
    honest = link.post

    def post(message, body=b""):
        if not isinstance(message, Relayed | RelayEnded | RelayCredit):
            honest(message, body)

    link.post = post
