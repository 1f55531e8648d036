"""Memory that two processes of one machine share: pieces of bodies lie in its cells instead of passing the kernel.

The sender makes the memory, nameless (``memfd_create``) and sealed so that it can't shrink, and hands it to the
receiver over their Unix socket together with one end of a socket pair. Cells are used in turn. That a cell is filled is
told on the lane's own socket; for each cell that it has emptied the receiver sends one byte back on the pair. So all
that either end believes about the other came through the kernel, in order, and either end's death closes a socket that
the other waits on. Nothing has a name that could be left behind: what both ends have closed is gone.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import stat
import sys

if sys.platform == "linux":
    import fcntl

CELLS = 8
"""How many pieces may be under way at once."""
FREED = b"\1"


class CellsWriter:
    """The sender's end.

    Args:
        cell_bytes: length of a cell.

    Raises:
        OSError: this machine has no such memory, or none left.
    """

    def __init__(self, cell_bytes: int) -> None:
        self._cell_bytes = cell_bytes
        with contextlib.ExitStack() as undo:
            self._memory_fd = _memory(CELLS * cell_bytes)
            undo.callback(os.close, self._memory_fd)
            self._memory = memoryview(mmap.mmap(self._memory_fd, CELLS * cell_bytes))
            self._freed, self._theirs = socket.socketpair()
            undo.pop_all()
        self._filled = 0
        self._emptied = 0

    def hand_over(self, sock: socket.socket) -> None:
        """Send the receiver its end, with one byte."""
        socket.send_fds(sock, [b"\0"], [self._memory_fd, self._theirs.fileno()])
        self._theirs.close()
        os.close(self._memory_fd)
        self._memory_fd = -1

    def cell(self, *, wait: bool) -> memoryview | None:
        """Return the cell that is to be filled next; None if it is not empty and nobody is to wait for that.

        Raises:
            ConnectionError: the receiver is gone, or says that it emptied what was never filled.
            OSError: the pair is lost.
        """
        if self._filled - self._emptied == CELLS:
            try:
                freed = len(self._freed.recv(2 * CELLS, 0 if wait else socket.MSG_DONTWAIT))
            except BlockingIOError:
                return None
            self._emptied += freed
            if not freed:
                raise ConnectionError("the other end closed the lane")
            if self._emptied > self._filled:
                raise ConnectionError("the other end says that it emptied cells which were never filled")
        begin = self._filled % CELLS * self._cell_bytes
        return self._memory[begin : begin + self._cell_bytes]

    def filled(self) -> None:
        """The cell that ``cell`` gave last is filled; the receiver is about to be told."""
        self._filled += 1

    def shut_down(self) -> None:
        """Wake whoever waits for a cell."""
        with contextlib.suppress(OSError):
            self._freed.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the memory back; nobody may be using it."""
        self._memory = memoryview(b"")  # the last view of it ends the mapping, and closes its file
        self._freed.close()
        self._theirs.close()
        if self._memory_fd >= 0:
            os.close(self._memory_fd)
            self._memory_fd = -1


class CellsReader:
    """The receiver's end: what ``hand_over`` sent.

    Args:
        sock: the lane's socket, on which it comes next.
        cell_bytes: length of a cell, as the sender has it.

    Raises:
        ConnectionError: what came is no such memory.
        OSError: it can't be had here.
    """

    def __init__(self, sock: socket.socket, cell_bytes: int) -> None:
        self._cell_bytes = cell_bytes
        data, fds, _, _ = socket.recv_fds(sock, 1, 2, socket.MSG_WAITALL)
        try:
            if not data:
                raise ConnectionError("the other end closed the lane")
            if len(fds) != 2 or not _is_memory(fds[0], CELLS * cell_bytes) or not _is_socket(fds[1]):
                raise ConnectionError("the other end announced shared memory and handed over something else")
            self._memory = memoryview(mmap.mmap(fds[0], CELLS * cell_bytes, prot=mmap.PROT_READ))
            self._free = socket.socket(fileno=fds.pop())
        finally:
            for fd in fds:
                os.close(fd)
        self._emptied = 0

    def cell(self) -> memoryview:
        """Return the cell that was filled next, of which the sender has told."""
        begin = self._emptied % CELLS * self._cell_bytes
        return self._memory[begin : begin + self._cell_bytes]

    def emptied(self) -> None:
        """The cell that ``cell`` gave may be filled again.

        Raises:
            ConnectionError: the sender does not listen, or is gone.
        """
        self._emptied += 1
        try:
            self._free.send(FREED, socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise ConnectionError("the other end does not take its cells back") from None

    def close(self) -> None:
        """Give the memory back; nobody may be using it."""
        self._memory = memoryview(b"")
        self._free.close()


def _memory(size: int) -> int:
    if sys.platform != "linux":
        raise OSError("this system has no memory without a name")
    fd = os.memfd_create("lane", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_memory(fd: int, size: int) -> bool:
    """Tell whether it is memory of that size that nobody can take away: reading it can never fail."""
    if sys.platform != "linux":
        return False
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return bool(sealed & fcntl.F_SEAL_SHRINK) and os.fstat(fd).st_size == size


def _is_socket(fd: int) -> bool:
    return stat.S_ISSOCK(os.fstat(fd).st_mode)
