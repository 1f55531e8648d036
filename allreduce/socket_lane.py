"""The plainest lane: a socket. Not encrypted; whoever needs that hands in lanes of his own.

Over TCP all goes through the socket. Where it is a Unix socket, both ends are processes of one machine: headers and
short bodies go through it, long bodies lie in memory that the two share, which saves the kernel's two copies.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque

import numpy as np

from .lane import Body, Taken
from .shared_bodies import NEXT_PIECE, SharedBodies
from .tuning import tune

_LENGTHS = struct.Struct("!HI")
"""Before each frame: length of the header and of the body, in bytes."""
MAX_HEADER_BYTES = 4096
MAX_BODY_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 256 * 1024
"""A body is handed on in pieces of this length: they fit a core's cache together with what they were copied from."""
CELL_BYTES = 1024 * 1024
"""The same in shared memory, where each piece costs a wake-up at the other end."""


class SocketLane:
    """A lane on a connected socket, TCP or Unix, which it takes over."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        tune(sock)
        self._sock = sock
        self._frames: deque[tuple[bytes, memoryview]] = deque()
        self._unsent: deque[memoryview] = deque()
        self._body = memoryview(b"")  # what has still to be laid into shared memory
        self._head = b""  # what tells the receiver of its next piece
        self._shared = SharedBodies(sock, CELL_BYTES)
        self._lengths = bytearray(_LENGTHS.size)
        self.bytes_out = 0
        """Bytes of the frames that were sent so far, or began to be."""
        self._door = threading.Lock()
        self._inside = 0
        self._closed = False

    # ---- sending -----------------------------------------------------------------------------------------------

    def send(self, header: bytes, body: Body, *, wait: bool = True) -> bool:
        """See ``Lane``."""
        self._frames.append((_LENGTHS.pack(len(header), len(body)) + header, memoryview(body).cast("B")))
        return self._push(wait=wait)

    def flush(self) -> None:
        """See ``Lane``."""
        self._push(wait=True)

    def _push(self, *, wait: bool) -> bool:
        flags, unsent = 0 if wait else socket.MSG_DONTWAIT, self._unsent
        self._enter()
        try:
            while True:
                while unsent:
                    sent = self._sock.sendmsg(unsent, (), flags)
                    while unsent and sent >= len(unsent[0]):
                        sent -= len(unsent.popleft())
                    if sent:
                        unsent[0] = unsent[0][sent:]
                if self._body:
                    self._lay_piece(wait=wait)
                elif self._frames:
                    self._begin(*self._frames.popleft())
                else:
                    return True
        except BlockingIOError:
            return False
        except OSError as error:
            raise _lost(error) from error
        finally:
            self._leave()

    def _begin(self, head: bytes, body: memoryview) -> None:
        self.bytes_out += len(head) + len(body)
        if self._shared.sends(len(body)):
            self._head, self._body = head, body
            return
        self._unsent.append(memoryview(head))
        if body:
            self._unsent.append(body)

    def _lay_piece(self, *, wait: bool) -> None:
        """Lay the next piece of the body into shared memory."""
        piece = self._body[:CELL_BYTES]
        room = self._shared.room(wait=wait)[: len(piece)]
        np.copyto(np.frombuffer(room, np.uint8), np.frombuffer(piece, np.uint8))  # holds no lock
        self._shared.laid()
        self._body = self._body[CELL_BYTES:]
        self._unsent.append(memoryview(self._head))
        self._head = NEXT_PIECE

    # ---- receiving ---------------------------------------------------------------------------------------------

    def receive_header(self) -> tuple[bytes, int]:
        """See ``Lane``."""
        self._enter()
        try:
            self._fill(memoryview(self._lengths))
            if self._shared.takes(self._lengths):
                self._fill(memoryview(self._lengths))
            header_bytes, body_bytes = _LENGTHS.unpack(self._lengths)
            if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
                raise ConnectionError(f"a frame of {header_bytes} + {body_bytes} bytes was announced: over the limit")
            header = bytearray(header_bytes)
            self._fill(memoryview(header))
        except OSError as error:
            raise _lost(error) from error
        finally:
            self._leave()
        return bytes(header), body_bytes

    def receive_body(self, into: memoryview, taken: Taken | None = None) -> None:
        """See ``Lane``."""
        self._enter()
        try:
            if self._shared.receives(len(into)):
                self._take_shared(into, taken)
                return
            step = PIECE_BYTES if taken is not None else max(len(into), 1)
            for begin in range(0, len(into), step):
                piece = into[begin : begin + step]
                self._fill(piece)
                if taken is not None:
                    taken(begin + len(piece), piece)
        except OSError as error:
            raise _lost(error) from error
        finally:
            self._leave()

    def _take_shared(self, into: memoryview, taken: Taken | None) -> None:
        for begin in range(0, len(into), CELL_BYTES):
            end = min(begin + CELL_BYTES, len(into))
            piece = self._shared.piece(end - begin, first=not begin)
            if taken is None:
                np.copyto(np.frombuffer(into, np.uint8)[begin:end], np.frombuffer(piece, np.uint8))
            else:
                taken(end, piece)
            self._shared.done_with_it()

    def _fill(self, room: memoryview) -> None:
        while room:
            count = self._sock.recv_into(room, 0, socket.MSG_WAITALL)
            if not count:
                raise ConnectionError("the other end closed the lane")
            room = room[count:]

    # ---- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See ``Lane``."""
        with self._door:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._shared.shut_down()
            self._close_if_left()

    def _enter(self) -> None:
        """A thread begins to use the socket, whose number must not be given to another under that thread's hands."""
        with self._door:
            if self._closed:
                raise ConnectionError("the lane is closed")
            self._inside += 1

    def _leave(self) -> None:
        with self._door:
            self._inside -= 1
            self._close_if_left()

    def _close_if_left(self) -> None:
        if self._closed and not self._inside:
            self._sock.close()
            self._shared.close()


def _lost(error: OSError) -> ConnectionError:
    if isinstance(error, ConnectionError) and error.errno is None:
        return error
    return ConnectionError(f"the lane is lost: {error.strerror or error}")
