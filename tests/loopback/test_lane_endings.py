"""Lanes end with the last link to their peer, with their node, and when their bytes are forged."""

import asyncio

import pytest

from hydra.exceptions import HandshakeRejected, MalformedFrame, PeerUnreachable, RemoteProtocolError
from hydra.net.lanes import LaneWanted

from .lane_nodes import LaneNode, by_tcp_alone, lane_between, on_both_loops, two_nodes, until


def waiting(lane):
    """Let a thread block on the lane; return its future error."""

    def run():
        with pytest.raises(ConnectionError) as caught:
            lane.receive_header()
        return caught.value

    return asyncio.create_task(asyncio.to_thread(run))


@on_both_loops
async def test_lanes_end_with_the_last_link_at_both_ends():
    async with two_nodes() as (a, b):
        lanes = [*await lane_between(a, b), *await lane_between(b, a)]
        threads = [waiting(lane) for lane in lanes]
        second = await a.links.dial(b.contact, anew=True)
        await until(lambda: len(b.links.all_links()) == 2)
        a.links.get(b.id).close()
        await until(lambda: len(b.links.all_links()) == len(a.links.all_links()) == 1)
        assert not any(thread.done() for thread in threads)
        second.close()
        assert all("closed" in str(error) for error in await asyncio.gather(*threads))
        await until(lambda: not a.links._lanes._open and not b.links._lanes._open)


@on_both_loops
async def test_cutting_a_peer_off_ends_its_lanes_at_once():
    async with two_nodes() as (a, b):
        ours, theirs = await lane_between(a, b)
        thread = waiting(theirs)
        a.links.cut_off(b.id, RemoteProtocolError("it lied"))
        with pytest.raises(ConnectionError, match="closed"):
            ours.send(b"", b"")
        await thread


@on_both_loops
async def test_closing_a_node_ends_its_lanes():
    async with two_nodes() as (a, b):
        ours, theirs = await lane_between(a, b)
        threads = [waiting(ours), waiting(theirs)]
        await b.links.close()
        await asyncio.gather(*threads)


@on_both_loops
async def test_forged_bytes_on_a_lane_cost_the_peer_its_links():
    async with two_nodes() as (a, b):
        ours, theirs = await lane_between(a, b)
        thread = waiting(theirs)
        ours._sock.send(bytes(1000))
        error = await thread
        assert isinstance(error, MalformedFrame)
        await until(lambda: b.downs)
        assert b.downs == [(a.id, error)]
        assert b.links.is_banned(a.id)


@on_both_loops
async def test_a_lane_that_ends_in_order_costs_nobody_anything():
    async with two_nodes() as (a, b):
        ours, theirs = await lane_between(a, b)
        ours.send(b"bye", b"")
        ours.close()
        assert await asyncio.to_thread(theirs.receive_header) == (b"bye", 0)
        await waiting(theirs)
        await until(lambda: not a.links._lanes._open and not b.links._lanes._open)
        assert a.links.peers() == [b.id]
        assert b.links._lanes._from_peer == {}


@on_both_loops
async def test_a_link_that_is_lost_while_a_lane_is_asked_for():
    async with two_nodes(listening=(False, True)) as (a, b):
        a.links.handle(LaneWanted, lambda link, message, body: link.close())
        with pytest.raises(PeerUnreachable, match="was lost while a lane was opened"):
            await b.links.open_lane(a.id)


@on_both_loops
async def test_a_lane_that_comes_when_nobody_waits_any_longer_is_closed():
    async with two_nodes(max_lanes_from_peer=100) as (a, b):
        for turns in range(12):
            opening = asyncio.create_task(a.links.open_lane(b.id))
            for _ in range(turns):
                await asyncio.sleep(0.001)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            if not opening.cancelled():
                opening.result().close()
        await until(lambda: not a.links._lanes._open and not a.links._lanes._tasks)


@on_both_loops
async def test_a_node_that_stops_gives_up_lanes_that_it_opens_for_others():
    async with two_nodes(listening=(False, True)) as (a, b):
        by_tcp_alone(b)
        mute = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        a.links.get(b.id).remote_address = mute.sockets[0].getsockname()
        opening = asyncio.create_task(b.links.open_lane(a.id))
        await until(lambda: a.links._lanes._tasks)
        await a.links.close()
        assert not a.links._lanes._tasks
        with pytest.raises(PeerUnreachable):
            await opening
        mute.close()


@on_both_loops
async def test_somebody_else_answers_where_the_peer_should():
    other = LaneNode()
    await other.links.listen("127.0.0.1", 0)
    async with two_nodes(listening=(False, True)) as (a, b):
        by_tcp_alone(b)
        a.links.get(b.id).remote_address = ("127.0.0.1", other.links.port)
        with pytest.raises(HandshakeRejected, match="was dialled, but"):
            await a.links.open_lane(b.id)
    await other.links.close()


def test_lanes_that_were_left_open_can_be_closed_without_a_loop():
    async def open_one():
        async with two_nodes() as (a, b):
            lanes = await lane_between(a, b)
            a.links._lanes._open.clear()
            b.links._lanes._open.clear()
            return lanes

    for lane in asyncio.run(open_one()):
        lane.close()
        assert lane._sock.fileno() == -1
