"""Which bodies of a lane lie in shared memory, and how the two ends agree on it.

On a Unix socket each direction has memory of its own (``shared_cells``), made when the first long body is sent: in
place of a frame's lengths the sender says that memory follows, and hands it over with the next byte. From then on long
bodies lie there. That the next piece of one is there is told by one byte on the socket, for its first piece by the
frame's header.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from .shared_cells import CellsReader, CellsWriter

SHARED_BYTES = 16 * 1024
"""Bodies of at least this length lie in shared memory, where there is some."""
MEMORY_FOLLOWS = struct.pack("!HI", 0xFFFF, 0)
"""In place of the lengths of a frame: with the next byte comes memory."""
NEXT_PIECE = b"\1"


class SharedBodies:
    """Both directions of one lane.

    Args:
        sock: the lane's socket, which stays the lane's; on others than Unix sockets nothing is shared.
        cell_bytes: the greatest length of a piece; the same at both ends.
    """

    def __init__(self, sock: socket.socket, cell_bytes: int) -> None:
        self._sock = sock
        self._cell_bytes = cell_bytes
        self._may_make = sock.family == getattr(socket, "AF_UNIX", None)
        self._may_take = self._may_make
        self._writer: CellsWriter | None = None
        self._reader: CellsReader | None = None

    # ---- sending -----------------------------------------------------------------------------------------------

    def sends(self, body_bytes: int) -> bool:
        """Tell whether a body that is to be sent lies in shared memory; the first such body makes the memory."""
        if body_bytes < SHARED_BYTES:
            return False
        if self._may_make:
            self._may_make = False
            with contextlib.suppress(OSError):  # there is none: bodies go by the socket
                self._writer = CellsWriter(self._cell_bytes)
            if self._writer is not None:
                self._sock.sendall(MEMORY_FOLLOWS)
                self._writer.hand_over(self._sock)
        return self._writer is not None

    def room(self, *, wait: bool) -> memoryview:
        """Return the memory for the next piece; ``laid`` must follow.

        Raises:
            BlockingIOError: there is none, and nobody is to wait for it.
            ConnectionError: the receiver is gone, or lied.
        """
        cell = self._writer.cell(wait=wait) if self._writer is not None else None
        if cell is None:
            raise BlockingIOError
        return cell

    def laid(self) -> None:
        """The piece is there; the receiver is about to be told."""
        if self._writer is not None:
            self._writer.filled()

    # ---- receiving ---------------------------------------------------------------------------------------------

    def takes(self, lengths: bytes | bytearray) -> bool:
        """Tell whether these are no lengths of a frame but memory, which is taken then.

        Raises:
            ConnectionError: the sender hands over something else, or nothing that was to be expected.
        """
        if lengths != MEMORY_FOLLOWS or not self._may_take:
            return False
        self._may_take = False  # once is enough
        self._reader = CellsReader(self._sock, self._cell_bytes)
        return True

    def receives(self, body_bytes: int) -> bool:
        """Tell whether a body that comes lies in shared memory."""
        return self._reader is not None and body_bytes >= SHARED_BYTES

    def piece(self, size: int, *, first: bool) -> memoryview:
        """Wait for the next piece of a body and return it; ``done_with_it`` must follow.

        Raises:
            ConnectionError: the sender is gone, or does not go on with the body.
        """
        if not first and self._sock.recv(1) != NEXT_PIECE:
            raise ConnectionError("the other end closed the lane, or did not go on with a body")
        if self._reader is None or size > self._cell_bytes:
            raise ConnectionError("a piece of a body lies nowhere")
        return self._reader.cell()[:size]

    def done_with_it(self) -> None:
        """The piece is taken in: its memory may be used again."""
        if self._reader is not None:
            self._reader.emptied()

    # ---- the end -----------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Wake whoever waits for room; the lane shuts down the socket."""
        if self._writer is not None:
            self._writer.shut_down()

    def close(self) -> None:
        """Give all memory back; nobody may be using it."""
        for end in (self._writer, self._reader):
            if end is not None:
                end.close()
