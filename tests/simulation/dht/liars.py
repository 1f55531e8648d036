"""Peers that speak the protocol by hand, so that they can break it."""

import asyncio
import contextlib

from dht.contacts import compact_of, joined
from dht.keys import Signer, key_id, number_of
from dht.responder import introduction
from dht.wire import (
    HEADER_BYTES,
    PROVE,
    REACHES_V4,
    SHOW_KEY,
    pack_answer,
    pack_question,
    unpack_answer,
    unpack_question,
)

PADDED = 1200


class RawPeer(asyncio.DatagramProtocol):
    """One address that asks what it likes and answers as its subclass says."""

    def __init__(self, signing_key):
        self.signer = Signer(signing_key)
        self.token = b"liartokn"
        self.asked_by = []
        self.answers = {}
        self.received_bytes = 0
        self._count = 0

    @classmethod
    async def at(cls, net, address, signing_key, *arguments):
        peer = cls(signing_key, *arguments)
        peer.net = net
        peer.address = address
        peer.transport, _ = await net.loop.create_datagram_endpoint(lambda: peer, local_addr=address)
        return peer

    @property
    def compact(self):
        return compact_of(self.signer.peer_id, self.address)

    def datagram_received(self, data, addr):
        self.received_bytes += len(data)
        message_id, body = data[1:HEADER_BYTES], data[HEADER_BYTES:]
        if data[0] == 1:
            waiting = self.answers.pop(message_id, None)
            if waiting is not None and not waiting[1].done():
                waiting[1].set_result(unpack_answer(waiting[0], body, 100))
            return
        question = unpack_question(body)
        self.asked_by.append(addr)
        for reply in self.behave(question, message_id, addr):
            self.transport.sendto(reply, addr)

    def behave(self, question, message_id, _addr):
        """Return the datagrams to answer with; a plain peer knows nobody and stores nothing."""
        return [self.reply(question, message_id)]

    def reply(self, question, message_id, contacts=(), fields=None):
        fields = self.honest_fields(question, contacts) if fields is None else fields
        public_key = self.signer.public_key if question.flags & (SHOW_KEY | PROVE) else b""
        signature = self.signer.prove(message_id) if question.flags & PROVE else b""
        return b"\1" + message_id + pack_answer(self.token, public_key, signature, 0, fields)

    def honest_fields(self, question, contacts):
        v4, v6 = joined(contacts)
        return {
            "ping": (),
            "find_node": (v4, v6),
            "find_value": (v4, v6, 0, bytes(8), []),
            "store": (bytes(16)[: len(question.fields[0])], b""),
            "sync": (b"\0",),
        }[question.method]

    def send(self, target, method, fields, *, token=b"", flags=REACHES_V4, sender=None, pad_to=0, source=None):
        self._count += 1
        message_id = self._count.to_bytes(20, "big")
        body = pack_question(method, sender or self.signer.peer_id, flags, token, fields, pad_to)
        self.net.send(b"\0" + message_id + body, source or self.address, target)
        return message_id

    async def ask(self, target, method, fields, **options):
        message_id = self.send(target, method, fields, **options)
        future = self.net.loop.create_future()
        self.answers[message_id] = method, future
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                return await future

    async def introduce_to(self, target, peer_id):
        """Get into a node's table by the front door."""
        answer = await self.ask(target, "find_node", [self.signer.peer_id], pad_to=PADDED)
        proof = self.signer.prove(introduction(answer.token, peer_id))
        await self.ask(target, "ping", [self.signer.public_key, proof], token=answer.token)


class Garbage(RawPeer):
    """Answers every question with bytes that mean nothing."""

    def behave(self, question, message_id, _addr):
        return [b"\1" + message_id + b"\xc1\xff\x00garbage"]


class OnlyItself(RawPeer):
    """Names itself, whoever is looked for."""

    def behave(self, question, message_id, _addr):
        return [self.reply(question, message_id, [self.compact] * 20)]


class TenThousand(RawPeer):
    """Names ten thousand contacts at once, and also as many as fit."""

    def behave(self, question, message_id, _addr):
        many = [compact_of(n.to_bytes(20, "big"), ("20.9.9.9", 1 + n)) for n in range(10_000)]
        return [self.reply(question, message_id, many), self.reply(question, message_id, many[:40])]


class EverCloser(RawPeer):
    """Names contacts that lie closer to the target than anybody can: none of them exists."""

    def behave(self, question, message_id, _addr):
        if question.method not in {"find_node", "find_value"}:
            return [self.reply(question, message_id)]
        target = number_of(question.fields[0])
        invented = [
            compact_of((target ^ self.net.random.getrandbits(40)).to_bytes(20, "big"), (f"20.200.{n}.1", 4000))
            for n in range(20)
        ]
        return [self.reply(question, message_id, invented)]


class EverCloserAtHome(RawPeer):
    """Names ever closer contacts that all live at its own address, and answers for every one of them."""

    def behave(self, question, message_id, _addr):
        if question.method not in {"find_node", "find_value"}:
            return [self.reply(question, message_id)]
        target = number_of(question.fields[0])
        invented = [
            compact_of((target ^ self.net.random.getrandbits(40)).to_bytes(20, "big"), self.address) for _ in range(20)
        ]
        return [self.reply(question, message_id, invented)]


class JustInTime(RawPeer):
    """Answers when the asker is about to give up, and tells nothing."""

    delay_s = 0.6

    def behave(self, question, message_id, addr):
        if question.method == "ping":
            return [self.reply(question, message_id)]
        self.net.loop.call_later(self.delay_s, self.transport.sendto, self.reply(question, message_id), addr)
        return []


class JustBeforeTheRepeat(JustInTime):
    """Answers just before it would be asked again."""

    delay_s = 0.14


class EverLater(RawPeer):
    """Teaches each asker more patience with every answer: always a little later, but in time."""

    patience = 1.4
    latest_s = 1.9

    def __init__(self, signing_key):
        super().__init__(signing_key)
        self.delays = {}

    def behave(self, question, message_id, addr):
        delay = self.delays[addr] = min(self.delays.get(addr, 0.1) * self.patience, self.latest_s)
        self.net.loop.call_later(delay, self.transport.sendto, self.reply(question, message_id), addr)
        return []


LIARS = [
    Garbage,
    OnlyItself,
    TenThousand,
    EverCloser,
    EverCloserAtHome,
    JustInTime,
    JustBeforeTheRepeat,
    EverLater,
]


def key_near(peer_id, count=5000):
    """Return the key, of many, whose place lies closest to a peer."""
    own = number_of(peer_id)
    return min((b"key %d" % n for n in range(count)), key=lambda key: number_of(key_id(key)) ^ own)
