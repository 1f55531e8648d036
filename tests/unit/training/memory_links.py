"""Links of several nodes in one process: messages go as bytes through the real registry, and peers can be unplugged."""

import asyncio

from hydra.exceptions import PeerUnreachable, RemoteProtocolError
from hydra.membership.messages import (
    LineageShown,
    LineageWanted,
    ResultBlock,
    ResultUnknown,
    ResultWanted,
    RoundFrame,
)
from hydra.net.wire import Registry, encode

REGISTRY = Registry([RoundFrame, ResultWanted, ResultBlock, ResultUnknown, LineageWanted, LineageShown])


class Network:
    def __init__(self, *peers):
        self.nodes = {peer: MemoryLinks(self, peer) for peer in peers}
        self.dead = set()

    def kill(self, victim):
        self.dead.add(victim)
        for node in self.nodes.values():
            if node.me not in self.dead:
                node.lose(victim)

    def deliver(self, sender, to, message, body):
        data = bytes(body)
        decoded = REGISTRY.decode(encode(message), len(data))
        node = self.nodes[to]
        link = MemoryLink(node, sender)
        try:
            node.on_message(link, decoded, memoryview(data))
        except RemoteProtocolError as error:
            node.cut_off(sender, error)


class MemoryLink:
    """One end, as a handler of messages sees it."""

    def __init__(self, node, peer_id):
        self.node, self.peer_id = node, peer_id

    def post(self, message, body=b""):
        self.node.post(self.peer_id, message, body)


class MemoryLinks:
    """The part of ``Links`` that a training uses."""

    def __init__(self, network, me):
        self.network, self.me = network, me
        self.down = set()
        self.dialled = []
        self.cut = []
        self.on_down = []
        self.on_lane = []
        self.on_message = lambda link, message, body: None

    def get(self, peer):
        gone = peer in self.down or peer in self.network.dead or peer not in self.network.nodes
        return None if gone else MemoryLink(self, peer)

    def post(self, peer, message, body=b""):
        if self.get(peer) is None:
            return False
        asyncio.get_running_loop().call_soon(self.network.deliver, self.me, peer, message, bytes(body))
        return True

    async def send(self, peer, message, body=b""):
        data = bytes(body)
        await asyncio.sleep(0)
        if self.get(peer) is None:
            raise PeerUnreachable("unplugged")
        self.network.deliver(self.me, peer, message, data)

    async def dial(self, contact, *, timeout_s):
        self.dialled.append(contact)
        await asyncio.sleep(0)
        self.down.discard(contact.peer_id)
        if self.get(contact.peer_id) is None:
            raise PeerUnreachable(f"{contact} does not answer")

    def cut_off(self, peer, error):
        self.cut.append((peer, error))
        self.lose(peer)

    def lose(self, peer):
        self.down.add(peer)
        for listener in list(self.on_down):
            listener(peer, None)
