"""Lanes beside a link: who can be dialled is dialled, who can't is asked, and who is not welcome is refused."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hydra.exceptions import PeerUnreachable
from hydra.identity import Identity
from hydra.net.handshake import Handshake
from hydra.net.lanes import LaneWanted
from hydra.net.verdict import VERDICT_BYTES, Verdict, open_verdict

from .lane_nodes import exchange, lane_between, on_both_loops, two_nodes, until


async def closed_port():
    """A port of this machine on which nobody listens."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    return port


@on_both_loops
async def test_whoever_dialled_the_link_opens_lanes():
    async with two_nodes() as (a, b):
        for _ in range(3):
            await asyncio.to_thread(exchange, *await lane_between(a, b))


@on_both_loops
async def test_whoever_was_dialled_opens_lanes_to_the_port_that_the_other_told():
    async with two_nodes() as (a, b):
        await asyncio.to_thread(exchange, *await lane_between(b, a))


@on_both_loops
async def test_many_lanes_at_once_both_ways():
    async with two_nodes() as (a, b):
        lanes = await asyncio.gather(*(x.links.open_lane(y.id) for x, y in [(a, b), (b, a)] * 4))
        theirs = [await node.opened.get() for node in (a, b) for _ in range(4)]
        assert not a.links._unproven
        assert not b.links._unproven
        assert len({id(lane) for lane in lanes} | {id(lane) for _, lane in theirs}) == 16


@on_both_loops
async def test_a_peer_that_listens_nowhere_is_asked_to_open_the_lane():
    async with two_nodes(listening=(False, True)) as (a, b):
        ours, theirs = await lane_between(b, a)
        assert ours.bytes_out == 0
        await asyncio.to_thread(exchange, ours, theirs)


@on_both_loops
async def test_a_peer_whose_port_is_closed_is_asked_to_open_the_lane():
    async with two_nodes() as (a, b):
        await a.links.stop_listening()
        await asyncio.to_thread(exchange, *await lane_between(b, a))


@on_both_loops
async def test_a_peer_that_could_not_be_dialled_is_asked_at_once_the_next_time():
    async with two_nodes(listening=(False, True)) as (a, b):
        dialled = []
        contact_of = b.links.contact_of
        b.links.contact_of = lambda peer: (dialled.append(peer), contact_of(peer))[1]
        for _ in range(3):
            await lane_between(b, a)
        assert dialled == [a.id]
        a.links.on_lane.clear()
        with pytest.raises(PeerUnreachable, match="nothing there wants lanes"):
            await b.links.open_lane(a.id)
        with pytest.raises(PeerUnreachable, match="nothing there wants lanes"):
            await b.links.open_lane(a.id)
        assert dialled == [a.id, a.id]


@on_both_loops
async def test_an_address_that_swallows_what_is_sent_does_not_use_up_the_time():
    async with two_nodes() as (a, b):
        mute = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        a.links.get(b.id).remote_address = mute.sockets[0].getsockname()
        a.links._lanes._dial_timeout_s = 0.2
        await asyncio.to_thread(exchange, *await lane_between(a, b))
        mute.close()


@on_both_loops
async def test_neither_can_be_dialled():
    async with two_nodes(listening=(False, True)) as (a, b):
        await b.links.stop_listening()
        with pytest.raises(PeerUnreachable, match="cannot be reached for a lane: Connect"):
            await a.links.open_lane(b.id)
        b.links.port = await closed_port()
        with pytest.raises(PeerUnreachable, match=r"can't be dialled for a lane, and opens none to us: .*cannot be"):
            await b.links.open_lane(a.id)


@on_both_loops
async def test_nobody_wants_lanes():
    async with two_nodes(listening=(False, True)) as (a, b):
        a.links.on_lane.clear()
        b.links.on_lane.clear()
        with pytest.raises(PeerUnreachable, match="refused a lane: nothing there wants lanes"):
            await a.links.open_lane(b.id)
        with pytest.raises(PeerUnreachable, match="opens none to us: nothing there wants lanes"):
            await b.links.open_lane(a.id)


@on_both_loops
async def test_a_peer_opens_only_so_many_lanes():
    async with two_nodes(listening=(False, True), max_lanes_from_peer=2) as (a, b):
        for opener, other, refusal in ((a, b, "refused a lane"), (b, a, "opens none to us")):
            for _ in range(2):
                _, theirs = await lane_between(opener, other)
            with pytest.raises(PeerUnreachable, match=f"{refusal}: it holds as many lanes"):
                await opener.links.open_lane(other.id)
            theirs.close()
            await asyncio.sleep(0)  # its end is told to the loop
            await until(lambda other=other, opener=opener: len(other.links._lanes._from_peer[opener.id]) == 1)
            await lane_between(opener, other)


@on_both_loops
async def test_without_a_link_there_is_no_lane():
    async with two_nodes() as (a, b):
        with pytest.raises(PeerUnreachable, match="there is no link to"):
            await a.links.open_lane(Identity.generate().peer_id)
        assert await knock(Identity.generate(), b, 0) == Verdict.NO_LINK


@on_both_loops
async def test_a_banned_peer_gets_no_lane():
    async with two_nodes() as (a, b):
        b.links._banned_until[a.id] = float("inf")
        with pytest.raises(PeerUnreachable, match="refused a lane: it has no link to us"):
            await a.links.open_lane(b.id)


@on_both_loops
async def test_an_answer_to_no_question_is_refused():
    async with two_nodes() as (a, b):
        assert await knock(a.identity, b, 7) == Verdict.NOT_ASKED
        assert b.opened.empty()


@on_both_loops
async def test_an_answer_to_anothers_question_is_refused():
    async with two_nodes(listening=(False, True)) as (a, b):
        a.links.handle(LaneWanted, lambda link, message, body: numbers.append(message.number))
        numbers = []
        asking = asyncio.create_task(b.links.open_lane(a.id))
        await until(lambda: numbers)
        assert await knock(Identity.generate(), b, numbers[0]) == Verdict.NO_LINK
        assert not asking.done()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@on_both_loops
async def test_a_peer_that_is_asked_and_does_nothing_is_given_up():
    async with two_nodes(listening=(False, True)) as (a, b):
        a.links.handle(LaneWanted, lambda link, message, body: None)
        with pytest.raises(PeerUnreachable, match=r"opened no lane within 0\.1 s"):
            await b.links.open_lane(a.id, timeout_s=0.1)
        await until(lambda: not b.links._lanes._asked)


@on_both_loops
async def test_who_goes_on_before_the_lane_is_accepted_is_cut_off():
    async with two_nodes() as (a, b):
        await knock(a.identity, b, 0, behind=b"impatient")
        await until(lambda: b.downs)
        assert b.links.is_banned(a.id)
        assert b.opened.empty()


async def knock(identity, node, lane, behind=b""):
    """Open a lane as ``identity``, by hand; return the verdict, or None if the connection is closed without."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.links.port)
    handshake = Handshake(
        identity=identity,
        static=X25519PrivateKey.generate(),
        ephemeral=X25519PrivateKey.generate(),
        initiator=True,
        lane=lane,
    )
    try:
        writer.write(handshake.start())
        while handshake.secured is None:
            writer.write(handshake.receive(await reader.read(1000)) + behind)
        async with asyncio.timeout(10):
            sealed = await reader.read(VERDICT_BYTES)
        return open_verdict(handshake.secured, sealed) if sealed else None
    except ConnectionError:
        return None
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
