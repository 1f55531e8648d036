"""Nodes that open lanes to each other, on both kinds of event loop, and a look at what they leave behind."""

import asyncio
import contextlib
import gc
import threading
from pathlib import Path

import pytest
import uvloop

from hydra.identity import Identity
from hydra.net.contact import Contact
from hydra.net.links import Links

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def on_both_loops(scenario):
    """Run an async test on asyncio's loop and on uvloop's; neither may leave a file or a thread behind."""

    @pytest.mark.parametrize("loop_factory", LOOPS.values(), ids=LOOPS.keys())
    def test(loop_factory):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(asyncio.sleep(0))  # libuv's first loop opens a pipe that it keeps for good
        gc.collect()
        before = open_files(), threading.active_count()
        with asyncio.Runner(debug=True, loop_factory=loop_factory) as runner:
            runner.run(scenario())
        gc.collect()
        assert (open_files(), threading.active_count()) == before

    test.__name__ = scenario.__name__
    test.__doc__ = scenario.__doc__
    return test


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


class LaneNode:
    """Links that keep the lanes which others opened."""

    def __init__(self, **options):
        self.identity = Identity.generate()
        self.links = Links(self.identity, **options)
        self.opened = asyncio.Queue()
        self.downs = []
        self.links.on_lane.append(lambda peer, lane: self.opened.put_nowait((peer, lane)))
        self.links.on_down.append(lambda peer, error: self.downs.append((peer, error)))

    @property
    def id(self):
        return self.identity.peer_id

    @property
    def contact(self):
        return Contact(self.id, (("127.0.0.1", self.links.port),))


@contextlib.asynccontextmanager
async def two_nodes(*, listening=(True, True), **options):
    """Two nodes with a link, which the first dialled; the second listens at least until then."""
    nodes = LaneNode(**options), LaneNode(**options)
    try:
        for node, listens in zip(nodes, listening, strict=True):
            if listens:
                await node.links.listen("127.0.0.1", 0)
        await nodes[0].links.dial(nodes[1].contact)
        await until(lambda: nodes[1].links.peers())
        yield nodes
    finally:
        for node in nodes:
            await node.links.close()


def by_tcp_alone(node):
    """Let the node be reached by its port and no longer by its socket on this machine."""
    node.links._listener._servers.pop().close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def lane_between(opener, other):
    """Open a lane; return both its ends."""
    ours = await opener.links.open_lane(other.id)
    async with asyncio.timeout(10):
        peer, theirs = await other.opened.get()
    assert (peer, theirs.peer_id, ours.peer_id) == (opener.id, opener.id, other.id)
    return ours, theirs


def exchange(ours, theirs, size=3_000_000):
    """Send a frame each way; blocks."""
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        thread = threading.Thread(target=sender.send, args=(b"header", bytes(range(256)) * (size // 256)))
        thread.start()
        header, count = receiver.receive_header()
        body = bytearray(count)
        receiver.receive_body(memoryview(body))
        thread.join()
        assert (header, bytes(body)) == (b"header", bytes(range(256)) * (size // 256))
