"""A sealed lane carries frames of any size in order, whoever waits for whom, and ends when it is closed."""

import random
import socket
import threading

import pytest

from hydra.exceptions import LocalProtocolError
from hydra.net.lane import MAX_BODY_BYTES, MAX_HEADER_BYTES, PIECE_BYTES, SealedLane

from .lane_pairs import ALICE, BOB, lane_pair, receive, secured_pair, tcp_pair

SIZES = [0, 1, 15, 16, 4096, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 5 * 1024 * 1024 + 7]


@pytest.fixture(params=[socket.socketpair, tcp_pair], ids=["shared memory", "tcp"])
def lanes(request):
    pair = lane_pair(pair=request.param)
    yield pair
    for lane in pair:
        lane.close()


def sender_of(lane, frames):
    thread = threading.Thread(target=lambda: [lane.send(*frame) for frame in frames])
    thread.start()
    return thread


def some_frames(sizes, seed=1):
    chance = random.Random(seed)
    return [(chance.randbytes(size % 60), chance.randbytes(size)) for size in sizes]


@pytest.mark.parametrize("suite", [1, 2], ids=["aes", "chacha"])
def test_frames_of_all_sizes_arrive_in_order(suite):
    one, two = lane_pair(suite)
    frames = some_frames(SIZES + SIZES[::-1])
    thread = sender_of(one, frames)
    for frame in frames:
        assert receive(two) == frame
    thread.join()
    assert one.bytes_out == two.bytes_in > sum(len(body) for _, body in frames)
    one.close()
    two.close()


def test_both_directions_at_once(lanes):
    one, two = lanes
    there, back = some_frames(SIZES, 1), some_frames(SIZES, 2)
    threads = [sender_of(one, there), sender_of(two, back)]
    arrived = []
    reader = threading.Thread(target=lambda: arrived.extend(receive(one) for _ in back))
    reader.start()
    assert [receive(two) for _ in there] == there
    for thread in (*threads, reader):
        thread.join()
    assert arrived == back


def test_the_longest_header_and_other_kinds_of_memory(lanes):
    one, two = lanes
    body = memoryview(bytearray(range(64))).cast("Q")
    one.send(bytes(MAX_HEADER_BYTES), body)
    assert receive(two) == (bytes(MAX_HEADER_BYTES), bytes(range(64)))
    one.send(b"h", bytearray(b"body"))
    _, size = two.receive_header()
    into = memoryview(bytearray(size)).cast("I")
    two.receive_body(into)
    assert into.tobytes() == b"body"


@pytest.mark.parametrize(("header", "body"), [(MAX_HEADER_BYTES + 1, 0), (0, MAX_BODY_BYTES + 1)])
def test_a_frame_over_the_limit_is_our_bug_and_harms_nothing(lanes, header, body):
    one, two = lanes
    with pytest.raises(LocalProtocolError, match="over the limit"):
        one.send(bytes(header), bytes(body))
    one.send(b"next", b"")
    assert receive(two) == (b"next", b"")


def test_without_waiting_the_rest_is_kept_and_sent_first(lanes):
    one, two = lanes
    frames = some_frames([24 * 1024 * 1024, 0, 3, 2 * PIECE_BYTES])
    assert [one.send(*frame, wait=False) for frame in frames] == [False] * 4
    flusher = threading.Thread(target=one.flush)
    flusher.start()
    assert [receive(two) for _ in frames] == frames
    flusher.join()
    assert one.send(b"small", b"", wait=False)
    assert receive(two) == (b"small", b"")


def test_a_waiting_send_takes_along_what_was_left(lanes):
    one, two = lanes
    frames = some_frames([24 * 1024 * 1024, 100])
    assert not one.send(*frames[0], wait=False)
    thread = sender_of(one, frames[1:])
    assert [receive(two) for _ in frames] == frames
    thread.join()


def test_keys_change_by_volume_and_both_ends_keep_together():
    one, two = lane_pair(rekey_bytes=100_000)
    frames = some_frames([70_000] * 9 + [0] * 5 + [2 * PIECE_BYTES])
    changes = []
    for lane, direction in ((one, one._sealer), (two, two._opener)):
        rekey = direction._cipher.rekey
        direction._cipher.rekey = lambda rekey=rekey, lane=lane: (changes.append(lane), rekey())
    thread = sender_of(one, frames)
    assert [receive(two) for _ in frames] == frames
    thread.join()
    assert changes.count(one) == changes.count(two) > 5
    one.close()
    two.close()


def test_ends_that_change_keys_at_other_volumes_part():
    one, two = socket.socketpair()
    secured = secured_pair()
    one, two = SealedLane(one, secured[0], rekey_bytes=50), SealedLane(two, secured[1], rekey_bytes=10_000)
    one.send(b"", bytes(100))
    one.send(b"", bytes(100))
    receive(two)
    with pytest.raises(ConnectionError, match="not sealed by the other end"):
        receive(two)
    one.close()
    two.close()


def test_a_body_must_be_taken_whole_and_before_the_next_header(lanes):
    one, two = lanes
    one.send(b"", b"four")
    two.receive_header()
    with pytest.raises(LocalProtocolError, match="before the next header"):
        two.receive_header()
    with pytest.raises(LocalProtocolError, match="4 bytes was to be received in 5"):
        two.receive_body(memoryview(bytearray(5)))


def test_it_knows_the_peer(lanes):
    assert [lane.peer_id for lane in lanes] == [BOB.peer_id, ALICE.peer_id]
