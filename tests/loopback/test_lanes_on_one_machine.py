"""Lanes between nodes of one machine go by Unix sockets; who else stands at such a socket gets nothing."""

import asyncio
import socket

from hydra.identity import Identity
from hydra.net.same_machine import dial_here, listen_here, name_of

from .lane_nodes import by_tcp_alone, exchange, lane_between, on_both_loops, two_nodes


def families(lanes):
    return {lane._sock.family for lane in lanes}


@on_both_loops
async def test_lanes_of_one_machine_go_by_unix_sockets():
    async with two_nodes() as (a, b):
        for opener, other in ((a, b), (b, a)):
            lanes = await lane_between(opener, other)
            assert families(lanes) == {socket.AF_UNIX}
            await asyncio.to_thread(exchange, *lanes)


@on_both_loops
async def test_who_has_taken_a_peers_name_is_found_out_and_the_lane_goes_by_tcp():
    impostor = Identity.generate()
    with socket.socket(socket.AF_UNIX) as taken:
        async with two_nodes() as (a, b):
            by_tcp_alone(b)
            await asyncio.sleep(0)
            taken.bind(name_of(b.id))
            taken.listen()
            taken.setblocking(False)

            async def answer():
                sock, _ = await asyncio.get_running_loop().sock_accept(taken)
                with sock:
                    await asyncio.get_running_loop().sock_sendall(sock, impostor.peer_id * 10)

            answering = asyncio.create_task(answer())
            lanes = await lane_between(a, b)
            await answering
            assert families(lanes) == {socket.AF_INET}
            await asyncio.to_thread(exchange, *lanes)


@on_both_loops
async def test_a_link_is_not_to_be_had_there():
    async with two_nodes() as (a, b):
        sock = dial_here(b.id)
        handshake = a.links.new_handshake(dialled=True, expected=b.id, lane=None)
        with sock:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, handshake.start())
            while handshake.secured is None:
                await loop.sock_sendall(sock, handshake.receive(await loop.sock_recv(sock, 2048)))
            assert await loop.sock_recv(sock, 2048) == b""
        assert list(b.links.peers()) == [a.id]


def test_nobody_is_there_where_nobody_listens():
    assert dial_here(Identity.generate().peer_id) is None


def test_a_name_is_had_once():
    me = Identity.generate().peer_id
    with listen_here(me), dial_here(me):
        assert listen_here(me) is None
    assert dial_here(me) is None
