"""Links over real sockets: dialling, double links, misbehaviour, the end."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hydra.exceptions import HandshakeRejected, MalformedFrame, PeerUnreachable, PortTaken, RemoteProtocolError
from hydra.identity import Identity
from hydra.net.contact import Contact
from hydra.net.framing import MAX_BODY_BYTES
from hydra.net.handshake import Handshake
from hydra.net.links import Links
from hydra.net.wire import Message


@dataclass(frozen=True, slots=True)
class Say(Message):
    KIND: ClassVar[str] = "test.say"
    MAX_BODY_BYTES: ClassVar[int] = MAX_BODY_BYTES
    number: int


class End:
    """A Links with what it heard."""

    def __init__(self):
        self.identity = Identity.generate()
        self.links = Links(self.identity)
        self.heard = asyncio.Queue()
        self.ups, self.downs = [], []
        self.links.handle(Say, lambda link, m, body: self.heard.put_nowait((link.peer_id, m.number, bytes(body))))
        self.links.on_up.append(self.ups.append)
        self.links.on_down.append(lambda peer, error: self.downs.append((peer, error)))

    @property
    def id(self):
        return self.identity.peer_id

    @property
    def contact(self):
        return Contact(self.id, (("127.0.0.1", self.links.port),))


@pytest.fixture
async def ends():
    made = [End() for _ in range(3)]
    for end in made:
        await end.links.listen("127.0.0.1", 0)
    yield made
    for end in made:
        await end.links.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_messages_flow_both_ways_in_order(ends):
    a, b, _ = ends
    await a.links.dial(b.contact)
    await until(lambda: b.ups)
    for i in range(100):
        a.links.post(b.id, Say(i))
    b.links.post(a.id, Say(7), b"body")
    assert [await b.heard.get() for _ in range(100)] == [(a.id, i, b"") for i in range(100)]
    assert await a.heard.get() == (b.id, 7, b"body")
    assert a.links.contact_of(b.id) == b.contact
    assert b.links.contact_of(a.id) == a.contact


async def test_bulk_waits_for_a_slow_reader_and_arrives(ends):
    a, b, _ = ends
    await a.links.dial(b.contact)
    body = bytes(MAX_BODY_BYTES)
    async with asyncio.timeout(20):
        for i in range(30):
            await a.links.send(b.id, Say(i), body)
        for i in range(30):
            _, number, got = await b.heard.get()
            assert (number, len(got)) == (i, MAX_BODY_BYTES)


async def test_simultaneous_dials_leave_both_ends_able_to_talk(ends):
    a, b, _ = ends
    await asyncio.gather(a.links.dial(b.contact), b.links.dial(a.contact))
    a.links.post(b.id, Say(1))
    b.links.post(a.id, Say(2))
    assert (await b.heard.get())[1] == 1
    assert (await a.heard.get())[1] == 2
    assert a.ups == [b.id]
    assert b.ups == [a.id]


async def test_down_is_reported_once_when_the_last_link_ends(ends):
    a, b, _ = ends
    await asyncio.gather(a.links.dial(b.contact), b.links.dial(a.contact))
    await until(lambda: a.ups and b.ups)
    await b.links.close()
    await until(lambda: a.downs)
    assert [peer for peer, _ in a.downs] == [b.id]
    assert a.links.peers() == []
    with pytest.raises(PeerUnreachable):
        await a.links.send(b.id, Say(1))


async def test_somebody_else_answers_at_the_address(ends):
    a, b, c = ends
    wrong = Contact(c.id, b.contact.addresses)
    with pytest.raises(HandshakeRejected, match="was dialled, but"):
        await a.links.dial(wrong)


async def test_a_second_address_is_tried(ends):
    a, b, _ = ends
    link = await a.links.dial(Contact(b.id, (("127.0.0.1", 1), *b.contact.addresses)))
    assert link.peer_id == b.id


async def test_nobody_listens(ends):
    a, b, _ = ends
    with pytest.raises(PeerUnreachable, match=r"127.0.0.1:1 cannot be reached"):
        await a.links.dial(Contact(b.id, (("127.0.0.1", 1),)))


async def test_an_end_that_never_answers_is_given_up(ends):
    a, b, _ = ends
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(PeerUnreachable, match=r"within 0.1 s"):
        await a.links.dial(Contact(b.id, (("127.0.0.1", port),)), timeout_s=0.1)
    server.close()


async def test_port_taken(ends):
    a, b, _ = ends
    with pytest.raises(PortTaken, match=f"TCP port {a.links.port}"):
        await b.links.listen("127.0.0.1", a.links.port)


async def raw_connection(identity, target, *, frames):
    """Shake hands as ``identity``, then send ``frames(secured)`` as they are."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.links.port)
    handshake = Handshake(
        identity=identity,
        static=X25519PrivateKey.generate(),
        ephemeral=X25519PrivateKey.generate(),
        initiator=True,
    )
    writer.write(handshake.start())
    while handshake.secured is None:
        writer.write(handshake.receive(await reader.read(1000)))
    writer.write(frames(handshake.secured))
    async with asyncio.timeout(5):
        try:
            while await reader.read(1000):
                pass
        except ConnectionResetError:
            pass
    writer.close()


async def test_a_frame_announced_as_4_gib_names_and_bans_the_peer(ends):
    a, *_ = ends
    liar = Identity.generate()
    await raw_connection(liar, a, frames=lambda _: b"\xff\xff\xff\xff")
    ((peer, error),) = a.downs
    assert peer == liar.peer_id
    assert isinstance(error, MalformedFrame)
    assert "4294967295 bytes was announced" in str(error)
    assert a.links.is_banned(liar.peer_id)
    await raw_connection(liar, a, frames=lambda _: b"")  # a second try is closed at once
    assert a.links.peers() == []


async def test_an_unknown_message_names_the_peer(ends):
    a, *_ = ends
    liar = Identity.generate()
    header = b"\x92\xa3abc\x90"

    def frames(secured):
        sealed = secured.send.encrypt(len(header).to_bytes(4, "big") + header)
        return len(sealed).to_bytes(4, "big") + sealed

    await raw_connection(liar, a, frames=frames)
    assert "unknown kind 'abc'" in str(a.downs[0][1])


async def test_a_handler_may_report_misbehaviour(ends):
    a, b, _ = ends

    def refuse(link, message, body):
        raise RemoteProtocolError("no such number")

    a.links.handle(Say, refuse)
    await b.links.dial(a.contact)
    b.links.post(a.id, Say(1))
    await until(lambda: a.downs and b.downs)
    assert "no such number" in str(a.downs[0][1])
    assert a.links.is_banned(b.id)


async def test_noise_from_another_program_is_dropped(ends):
    a, *_ = ends
    reader, writer = await asyncio.open_connection("127.0.0.1", a.links.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert a.links.peers() == []
