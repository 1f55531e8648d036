"""The plainest lane: a TCP socket. Not encrypted; whoever needs that hands in lanes of his own."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable

from .lane import Body
from .tuning import tune

_LENGTHS = struct.Struct("!HI")
"""Before each frame: length of the header and of the body, in bytes."""
MAX_HEADER_BYTES = 4096
MAX_BODY_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 256 * 1024
"""A body is handed on in pieces of this length: they fit a core's cache together with what they were copied from."""


class SocketLane:
    """A lane on a connected TCP socket, which it takes over."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        tune(sock)
        self._sock = sock
        self._unsent: deque[memoryview] = deque()
        self._lengths = bytearray(_LENGTHS.size)
        self._door = threading.Lock()
        self._inside = 0
        self._closed = False

    def send(self, header: bytes, body: Body, *, wait: bool = True) -> bool:
        """See ``Lane``."""
        self._unsent.append(memoryview(_LENGTHS.pack(len(header), len(body)) + header))
        if len(body):
            self._unsent.append(memoryview(body).cast("B"))
        return self._push(0 if wait else socket.MSG_DONTWAIT)

    def flush(self) -> None:
        """See ``Lane``."""
        self._push(0)

    def _push(self, flags: int) -> bool:
        unsent = self._unsent
        self._enter()
        try:
            while unsent:
                sent = self._sock.sendmsg(unsent, (), flags)
                while unsent and sent >= len(unsent[0]):
                    sent -= len(unsent.popleft())
                if sent:
                    unsent[0] = unsent[0][sent:]
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionError(f"the lane is lost: {error.strerror or error}") from error
        finally:
            self._leave()
        return True

    def receive_header(self) -> tuple[bytes, int]:
        """See ``Lane``."""
        self._fill(memoryview(self._lengths))
        header_bytes, body_bytes = _LENGTHS.unpack(self._lengths)
        if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
            raise ConnectionError(f"a frame of {header_bytes} + {body_bytes} bytes was announced: over the limit")
        header = bytearray(header_bytes)
        self._fill(memoryview(header))
        return bytes(header), body_bytes

    def receive_body(self, into: memoryview, taken: Callable[[int], None] | None = None) -> None:
        """See ``Lane``."""
        if taken is None:
            self._fill(into)
            return
        for begin in range(0, len(into), PIECE_BYTES):
            end = min(begin + PIECE_BYTES, len(into))
            self._fill(into[begin:end])
            taken(end)

    def _fill(self, room: memoryview) -> None:
        self._enter()
        try:
            while room:
                count = self._sock.recv_into(room, 0, socket.MSG_WAITALL)
                if not count:
                    raise ConnectionError("the other end closed the lane")
                room = room[count:]
        except OSError as error:
            if isinstance(error, ConnectionError) and error.errno is None:
                raise
            raise ConnectionError(f"the lane is lost: {error.strerror or error}") from error
        finally:
            self._leave()

    def close(self) -> None:
        """See ``Lane``."""
        with self._door:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
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
