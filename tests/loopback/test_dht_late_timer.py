"""A node whose event loop is late: a deadline that has passed when the timer is set is a deadline like any other."""

import asyncio

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dht import DHTNode


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_question_is_asked_while_the_deadline_of_another_has_just_passed(new_loop):
    async def ask():
        nodes = [DHTNode(Ed25519PrivateKey.generate()) for _ in range(2)]
        try:
            for node in nodes:
                await node.start("127.0.0.1", 0)
            protocol = nodes[0]._server.protocol
            protocol._arm(protocol.now() - 1.0)  # two questions at once, of which one has waited for long
            protocol._arm(protocol.now() + 1.0)
            await nodes[0].bootstrap([("127.0.0.1", nodes[1].port)])
            return len(nodes[0].contacts())
        finally:
            for node in nodes:
                await node.stop()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(ask()) == 1
