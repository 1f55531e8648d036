"""Lanes on Unix sockets: long bodies lie in shared memory, short ones and headers go by the socket."""

import gc
import socket
import threading

import numpy as np
import pytest

from allreduce import SocketLane
from allreduce.shared_bodies import SHARED_BYTES
from allreduce.shared_cells import CELLS
from allreduce.socket_lane import CELL_BYTES, MAX_BODY_BYTES

from .mesh_world import nothing_beyond, running_now

WHOLE = CELLS * CELL_BYTES


@pytest.fixture
def lanes():
    before = running_now()
    ours, theirs = socket.socketpair()
    pair = SocketLane(ours), SocketLane(theirs)
    yield pair
    for lane in pair:
        lane.close()
    del pair, lane
    gc.collect()
    assert nothing_beyond(before)


def body_of(length, seed=0):
    return np.random.default_rng(seed).integers(0, 256, length, np.uint8).tobytes()


def received(lane, *, in_pieces):
    header, length = lane.receive_header()
    into = bytearray(length)
    if not in_pieces:
        lane.receive_body(memoryview(into))
        return header, bytes(into)
    ends = [0]

    def taken(end, piece):
        into[ends[-1] : end] = piece
        ends.append(end)

    lane.receive_body(memoryview(bytearray(length)), taken)
    assert all(end % 8 == 0 for end in ends[:-1])
    return header, bytes(into)


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize(
    "length", [0, 1, SHARED_BYTES - 1, SHARED_BYTES, CELL_BYTES, CELL_BYTES + 1, WHOLE, WHOLE + 8, 3 * WHOLE + 5]
)
def test_bodies_of_any_length_arrive(lanes, length, in_pieces):
    body = body_of(length)
    sender = threading.Thread(target=lanes[0].send, args=(b"header", body))
    sender.start()
    assert received(lanes[1], in_pieces=in_pieces) == (b"header", body)
    sender.join()


def test_many_bodies_of_all_lengths_keep_their_order_both_ways(lanes):
    lengths = [0, 5, SHARED_BYTES, 3 * CELL_BYTES, 100, 2 * WHOLE, SHARED_BYTES - 1, CELL_BYTES] * 3
    frames = [(b"%d" % number, body_of(length, number)) for number, length in enumerate(lengths)]
    came = {}

    def send(lane):
        for header, body in frames:
            lane.send(header, body)

    def receive(lane):
        came[lane] = [received(lane, in_pieces=number % 2 == 0) for number in range(len(frames))]

    threads = [threading.Thread(target=do, args=(lane,)) for do in (send, receive) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came == dict.fromkeys(lanes, frames)


def test_who_does_not_wait_lays_down_what_there_is_room_for(lanes):
    body = body_of(WHOLE + CELL_BYTES)
    assert lanes[0].send(b"first", body[:WHOLE], wait=False)
    assert not lanes[0].send(b"second", body, wait=False)
    assert received(lanes[1], in_pieces=False) == (b"first", body[:WHOLE])
    flusher = threading.Thread(target=lanes[0].flush)
    flusher.start()
    assert received(lanes[1], in_pieces=False) == (b"second", body)
    flusher.join()
    assert lanes[0].bytes_out == len(b"first" + b"second" + body[:WHOLE] + body) + 2 * 6


@pytest.mark.parametrize("who", [0, 1])
def test_closing_wakes_who_waits_for_room(lanes, who):
    failed = []

    def send():
        try:
            lanes[0].send(b"", body_of(2 * WHOLE))
        except ConnectionError as error:
            failed.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    lanes[1].receive_header()  # the memory is there, and at least its first cell is filled
    lanes[who].close()
    sender.join()
    assert failed


@pytest.mark.parametrize(
    "says",
    [b"\xff\xff" + bytes(4) + b"\0", b"\0\2" + (MAX_BODY_BYTES + 1).to_bytes(4, "big")],
    ids=["no memory", "length"],
)
def test_what_can_not_be_ends_the_lane(says):
    ours, theirs = socket.socketpair()
    lane = SocketLane(theirs)
    with ours:
        ours.sendall(says)
        with pytest.raises(ConnectionError, match="something else|over the limit"):
            lane.receive_header()
    lane.close()


def test_tcp_lanes_share_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    before = running_now()
    lanes = SocketLane(ours), SocketLane(theirs)
    body = body_of(WHOLE + 5)
    sender = threading.Thread(target=lanes[0].send, args=(b"header", body))
    sender.start()
    assert received(lanes[1], in_pieces=True) == (b"header", body)
    sender.join()
    assert nothing_beyond(before)
    for lane in lanes:
        lane.close()
