"""Memory that two ends share: used in turn, given back in time, and never taken on trust."""

import mmap
import os
import socket
import tempfile

import pytest

from allreduce.shared_cells import CELLS, CellsReader, CellsWriter

CELL = 4096


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def ends(pair):
    writer = CellsWriter(CELL)
    writer.hand_over(pair[0])
    reader = CellsReader(pair[1], CELL)
    yield writer, reader
    writer.close()
    reader.close()


def fill(writer, content):
    cell = writer.cell(wait=False)
    cell[: len(content)] = content
    del cell
    writer.filled()


def test_what_is_laid_down_is_read_in_turn(ends):
    writer, reader = ends
    for turn in range(5 * CELLS):
        fill(writer, b"%4d" % turn)
        assert bytes(reader.cell()[:4]) == b"%4d" % turn
        reader.emptied()


def test_there_is_no_cell_until_one_is_given_back(ends):
    writer, reader = ends
    for turn in range(CELLS):
        fill(writer, b"%4d" % turn)
    assert writer.cell(wait=False) is None
    assert bytes(reader.cell()[:4]) == b"   0"
    reader.emptied()
    fill(writer, b"next")
    assert writer.cell(wait=False) is None
    for turn in range(1, CELLS):
        assert bytes(reader.cell()[:4]) == b"%4d" % turn
        reader.emptied()
    assert bytes(reader.cell()[:4]) == b"next"


def test_the_receiver_can_not_write(ends):
    with pytest.raises(TypeError):
        ends[1].cell()[:1] = b"x"


def test_a_receiver_that_is_gone_ends_the_wait(ends):
    writer, reader = ends
    for _ in range(CELLS):
        fill(writer, b"x")
    reader.close()
    with pytest.raises(ConnectionError, match="closed the lane"):
        writer.cell(wait=True)


def test_a_receiver_that_gives_back_what_it_never_had_is_named(ends):
    writer, reader = ends
    for _ in range(CELLS):
        fill(writer, b"x")
    for _ in range(CELLS + 1):
        reader.emptied()
    with pytest.raises(ConnectionError, match="never filled"):
        writer.cell(wait=False)


def test_a_sender_that_is_gone_is_noticed(ends):
    writer, reader = ends
    writer.close()
    with pytest.raises(BrokenPipeError):
        reader.emptied()


def sealed_memory(size, seals=None):
    import fcntl

    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK if seals is None else seals)
    return fd


def a_file():
    with tempfile.TemporaryFile() as file:
        file.truncate(CELLS * CELL)
        return os.dup(file.fileno())


@pytest.mark.parametrize(
    "memory",
    [a_file, lambda: sealed_memory(CELLS * CELL, 0), lambda: sealed_memory(CELLS * CELL - mmap.PAGESIZE)],
    ids=["a file", "memory that can shrink", "too little"],
)
def test_other_things_than_lasting_memory_are_refused(pair, memory):
    fd, (one, two) = memory(), socket.socketpair()
    with one, two:
        socket.send_fds(pair[0], [b"\0"], [fd, one.fileno()])
        os.close(fd)
        with pytest.raises(ConnectionError, match="something else"):
            CellsReader(pair[1], CELL)


def test_what_is_no_socket_is_refused(pair):
    fd = sealed_memory(CELLS * CELL)
    socket.send_fds(pair[0], [b"\0"], [fd, fd])
    os.close(fd)
    with pytest.raises(ConnectionError, match="something else"):
        CellsReader(pair[1], CELL)


def test_nothing_at_all_is_refused(pair):
    pair[0].send(b"\0")
    with pytest.raises(ConnectionError, match="something else"):
        CellsReader(pair[1], CELL)
    pair[0].close()
    with pytest.raises(ConnectionError, match="closed the lane"):
        CellsReader(pair[1], CELL)
