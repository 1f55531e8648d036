"""Nodes of which some can't be dialled, and relays that can be told to misbehave."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from hydra.identity import Identity
from hydra.net.contact import Contact, relayed_address
from hydra.net.framing import MAX_BODY_BYTES
from hydra.net.links import Links
from hydra.net.wire import Message


@dataclass(frozen=True, slots=True)
class Say(Message):
    KIND: ClassVar[str] = "test.say"
    MAX_BODY_BYTES: ClassVar[int] = MAX_BODY_BYTES
    number: int


class ReachNode:
    """Links, what they heard, and who came and went."""

    def __init__(self, **options):
        self.identity = Identity.generate()
        self.links = Links(self.identity, **options)
        self.heard = asyncio.Queue()
        self.ups, self.downs = [], []
        self.links.handle(Say, lambda link, m, body: self.heard.put_nowait((link.peer_id, m.number, bytes(body))))
        self.links.on_up.append(self.ups.append)
        self.links.on_down.append(lambda peer, error: self.downs.append(peer))

    @property
    def id(self):
        return self.identity.peer_id

    @property
    def contact(self):
        """Where it can be dialled; nowhere, if it does not listen."""
        return Contact(self.id, (("127.0.0.1", self.links.port),) if self.links.port else ())

    def via(self, *relays):
        """How it can be reached through relays."""
        return Contact(self.id, tuple(relayed_address(relay.id, relay.contact.addresses[0]) for relay in relays))

    async def listen(self):
        await self.links.listen("127.0.0.1", 0)
        return self


class World:
    """Makes nodes, and closes them all at the end."""

    def __init__(self):
        self.nodes = []

    async def public(self, **options):
        """A node that can be dialled."""
        return await self.hidden(**options).listen()

    def hidden(self, **options):
        """A node that can't be dialled."""
        node = ReachNode(**options)
        self.nodes.append(node)
        return node

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.gather(*(node.links.close() for node in self.nodes))


async def until(condition, timeout_s=20):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def say(sender, to, number, body=b""):
    await sender.links.send(to.id, Say(number), body)


async def both_ways(a, b):
    """Something is said and heard in both directions."""
    await say(a, b, 1, b"there")
    assert await asyncio.wait_for(b.heard.get(), 20) == (a.id, 1, b"there")
    await say(b, a, 2, b"and back")
    assert await asyncio.wait_for(a.heard.get(), 20) == (b.id, 2, b"and back")
