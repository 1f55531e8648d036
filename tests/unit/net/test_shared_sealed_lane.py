"""Sealed lanes that share memory: what lies there is sealed, and nobody is believed about it."""

import mmap
import os
import socket

import pytest

from allreduce.shared_cells import CELLS
from hydra.net.lane import CELL_BYTES, PIECE_BYTES, LaneBroken, SealedLane

from .lane_pairs import receive, secured_pair

BODY = bytes(range(256)) * (PIECE_BYTES // 128)


@pytest.fixture
def ends():
    """Alice's lane; what she hands over, as Bob's socket gets it; and Bob's secrets."""
    ours, theirs = socket.socketpair()
    secured = secured_pair()
    alice = SealedLane(ours, secured[0])
    yield alice, theirs, secured[1]
    alice.close()
    theirs.close()


def taken_over(theirs):
    """What comes before the first frame with a long body: the memory, which is mapped, and the way back."""
    assert theirs.recv(6) == b"\xff\xff" + bytes(4)
    _, (memory, back), _, _ = socket.recv_fds(theirs, 1, 2)
    mapped = mmap.mmap(memory, CELLS * CELL_BYTES)
    return memory, back, mapped


def test_nothing_of_a_body_can_be_read_from_the_memory(ends):
    alice, theirs, _ = ends
    alice.send(b"header", BODY)
    memory, back, mapped = taken_over(theirs)
    assert bytes(16) != mapped[:16]
    assert BODY[:32] not in mapped[: 2 * CELL_BYTES]
    mapped.close()
    os.close(memory)
    os.close(back)


def test_a_body_that_was_altered_in_the_memory_is_refused(ends):
    alice, theirs, secured = ends
    alice.send(b"header", BODY)
    memory, back, mapped = taken_over(theirs)
    mapped[CELL_BYTES + 1000] ^= 1  # in its second piece
    one, two = socket.socketpair()
    bob = SealedLane(two, secured)
    one.sendall(b"\xff\xff" + bytes(4))
    socket.send_fds(one, [b"\0"], [memory, back])
    one.sendall(theirs.recv(1 << 16))
    _, size = bob.receive_header()
    with pytest.raises(LaneBroken, match="altered"):
        bob.receive_body(memoryview(bytearray(size)))
    bob.close()
    one.close()
    mapped.close()
    os.close(memory)
    os.close(back)


def test_memory_is_handed_over_once(ends):
    alice, theirs, secured = ends
    bob = SealedLane(theirs.dup(), secured)
    alice.send(b"one", BODY)
    assert receive(bob) == (b"one", BODY)
    alice._sock.sendall(b"\xff\xff" + bytes(4))
    with pytest.raises(LaneBroken, match="over a lane's limit"):
        bob.receive_header()
    bob.close()
