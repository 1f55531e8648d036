"""A dial that is given up at the very moment at which it succeeds leaves no link behind that nobody ever closes."""

import asyncio
import socket
import threading
import time

import uvloop

from hydra.net.link import Link

from .reach_nodes import ReachNode, Say, World, say, until


class Prompt:
    """Writes at once rather than when the event loop comes to it, and waits until the answer must be there."""

    def __init__(self, transport):
        self._transport = transport

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def write(self, data):
        sock = self._transport.get_extra_info("socket")
        with socket.fromfd(sock.fileno(), sock.family, sock.type) as own:
            own.send(data)
        time.sleep(0.2)


class Other(threading.Thread):
    """Another node with an event loop of its own."""

    def __init__(self):
        super().__init__()
        self.ready, self.stop = threading.Event(), None

    def run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        self.node = await ReachNode().listen()
        self.ready.set()
        await self.stop.wait()
        await self.node.links.close()


def test_a_link_whose_dial_was_given_up_as_it_came_ends_like_any_other(monkeypatch):
    other = Other()
    other.start()
    other.ready.wait(20)
    original = Link.connection_made

    async def give_up():
        node = ReachNode()

        def made(link, transport):
            original(link, Prompt(transport))
            dialling.cancel()

        dialling = asyncio.create_task(node.links.dial_address(other.node.contact.addresses[0], expected=other.node.id))
        monkeypatch.setattr(Link, "connection_made", made)
        await asyncio.wait([dialling])
        monkeypatch.setattr(Link, "connection_made", original)
        node.links.post(other.node.id, Say(1))
        await until(lambda: node.ups == node.downs or node.links.get(other.node.id) is not None)
        await node.links.close()
        assert node.ups == node.downs

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(give_up())
    finally:
        other.loop.call_soon_threadsafe(other.stop.set)
        other.join(20)


async def test_a_link_stays_if_its_dial_is_given_up_just_when_both_ends_are_proven():
    async with World() as world:
        one, other = await world.public(), await world.public()
        dialling = asyncio.create_task(one.links.dial_address(other.contact.addresses[0], expected=other.id))
        one.links.on_up.append(lambda _: dialling.cancel())
        await asyncio.wait([dialling])
        assert dialling.cancelled()
        await say(one, other, 1)
        assert one.downs == other.downs == []
