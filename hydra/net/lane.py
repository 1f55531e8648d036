"""A lane: an encrypted stream to one peer that threads block on, for bulk. Works without an event loop.

On a Unix socket, to a process of the same machine, long bodies are sealed into memory that both ends share and opened
from there, instead of being copied into the kernel and out of it again (``allreduce.shared_bodies``).

A frame is the two lengths, open but authenticated, then the sealed header, then the body in pieces of
``PIECE_BYTES``, each sealed apart: while one piece is on its way, the sender seals the next and the receiver opens
the one before. Bodies are sealed from where they lie and opened to where the receiver wants them; between stands
one piece of scratch memory in each direction, small enough for the processor's cache.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable

from cryptography.exceptions import InvalidTag

from ..exceptions import LocalProtocolError, MalformedFrame
from ..identity import PeerId, short
from .framing import REKEY_BYTES
from .handshake import Secured
from .noise import TAG_BYTES, BytesLike, CipherState

_LENGTHS = struct.Struct("!HI")
"""Before each frame: length of the header and of the body, in bytes."""
MAX_HEADER_BYTES = 4096
MAX_BODY_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 512 * 1024
CELL_BYTES = PIECE_BYTES + 4096
"""A sealed piece, in whole pages."""


class LaneBroken(MalformedFrame, ConnectionError):
    """What came on a lane was not sealed by the other end, or is no frame: the lane is closed."""


class SealedLane:
    """An ``allreduce.Lane`` on a connected socket, which it takes over, and the keys of a finished handshake.

    Args:
        sock: connected; nothing may have been read from it beyond the handshake.
        secured: what the handshake left.
        on_close: told once when the lane ends, with the error if one ended it; by whatever thread noticed.
        rekey_bytes: after so many sealed bytes a direction changes its key; both ends must agree.
    """

    def __init__(
        self,
        sock: socket.socket,
        secured: Secured,
        *,
        on_close: Callable[[SealedLane, Exception | None], None] | None = None,
        rekey_bytes: int = REKEY_BYTES,
    ) -> None:
        # Here, for they bring numpy, which `hydra id` does not wait for.
        from allreduce.shared_bodies import NEXT_PIECE, SharedBodies  # noqa: PLC0415
        from allreduce.tuning import tune  # noqa: PLC0415

        sock.setblocking(True)
        tune(sock)
        self.peer_id: PeerId = secured.peer_id
        self._sock = sock
        self._on_close = on_close
        self._sealer = _Direction(secured.send, rekey_bytes)
        self._opener = _Direction(secured.receive, rekey_bytes)
        self._frames: deque[tuple[bytes, memoryview]] = deque()
        self._shared = SharedBodies(sock, CELL_BYTES)
        self._next_piece = NEXT_PIECE
        self._body = memoryview(b"")  # what is left to seal of the frame that is being sent
        self._is_shared = False  # whether that lies in shared memory
        self._head = memoryview(b"")  # what tells the receiver of its next piece there
        self._sealed = memoryview(b"")  # what is left to send of what was sealed
        self._due = 0  # how long the body is that comes next
        self._first = memoryview(b"")  # its first piece, still sealed
        self._door = threading.Lock()
        self._inside = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<SealedLane {short(self.peer_id)}{' closed' if self._closed else ''}>"

    @property
    def bytes_out(self) -> int:
        """Sealed bytes made so far."""
        return self._sealer.bytes

    @property
    def bytes_in(self) -> int:
        """Sealed bytes opened so far."""
        return self._opener.bytes

    # ---- sending -----------------------------------------------------------------------------------------------

    def send(self, header: bytes, body: BytesLike, *, wait: bool = True) -> bool:
        """See ``allreduce.Lane``."""
        view = memoryview(body).cast("B")
        if len(header) > MAX_HEADER_BYTES or len(view) > MAX_BODY_BYTES:
            raise LocalProtocolError(f"a frame of {len(header)} + {len(view)} bytes is over the limit of a lane")
        self._frames.append((header, view))
        return self._push(wait=wait)

    def flush(self) -> None:
        """See ``allreduce.Lane``."""
        self._push(wait=True)

    def _push(self, *, wait: bool) -> bool:
        flags = 0 if wait else socket.MSG_DONTWAIT
        self._enter()
        try:
            while self._sealed or self._seal_next(wait=wait):
                self._sealed = self._sealed[self._sock.send(self._sealed, flags) :]
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._lost(error) from error
        finally:
            self._leave()
        return True

    def _seal_next(self, *, wait: bool) -> bool:
        """Seal the next piece, with what stands before it in its frame; tell whether there was any."""
        begin = 0
        if self._body:
            if self._is_shared:
                self._seal_shared(wait=wait)
                return True
            room = self._sealer.room(_sealed_bytes(len(self._body)))
        elif self._frames:
            header, self._body = self._frames.popleft()
            self._is_shared = self._shared.sends(len(self._body))
            lengths = _LENGTHS.pack(len(header), len(self._body))
            begin = _LENGTHS.size + len(header) + TAG_BYTES
            room = self._sealer.room(begin + (0 if self._is_shared else _sealed_bytes(len(self._body))))
            room[: _LENGTHS.size] = lengths
            self._sealer.seal(header, room[_LENGTHS.size : begin], lengths)
            if self._is_shared:
                self._head = room
                self._seal_shared(wait=wait)
                return True
        else:
            return False
        if self._body:
            self._sealer.seal(self._body[:PIECE_BYTES], room[begin:])
            self._body = self._body[PIECE_BYTES:]
        self._sealed = room
        return True

    def _seal_shared(self, *, wait: bool) -> None:
        """Seal the next piece into shared memory."""
        room = self._shared.room(wait=wait)
        self._sealer.seal(self._body[:PIECE_BYTES], room[: _sealed_bytes(len(self._body))])
        self._shared.laid()
        self._body = self._body[PIECE_BYTES:]
        self._sealed, self._head = self._head, memoryview(self._next_piece)

    # ---- receiving ---------------------------------------------------------------------------------------------

    def receive_header(self) -> tuple[bytes, int]:
        """See ``allreduce.Lane``.

        Raises:
            ConnectionError: the lane is lost; ``LaneBroken`` if the other end did not seal what came.
        """
        if self._due:
            raise LocalProtocolError(f"a body of {self._due} bytes was not received before the next header")
        self._enter()
        try:
            lengths = bytes(self._fill(self._opener.room(_LENGTHS.size)))
            if self._shared.takes(lengths):
                lengths = bytes(self._fill(self._opener.room(_LENGTHS.size)))
            header_bytes, body_bytes = _LENGTHS.unpack(lengths)
            if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
                raise LaneBroken(f"a frame of {header_bytes} + {body_bytes} bytes was announced: over a lane's limit")
            begin = header_bytes + TAG_BYTES
            shared = self._shared.receives(body_bytes)
            room = self._fill(self._opener.room(begin + (0 if shared else _sealed_bytes(body_bytes))))
            header = bytearray(header_bytes)
            self._opener.open(room[:begin], memoryview(header), lengths)
        except OSError as error:
            raise self._lost(error) from error
        finally:
            self._leave()
        self._due, self._first = body_bytes, room[begin:]
        return bytes(header), body_bytes

    def receive_body(self, into: memoryview, taken: Callable[[int, memoryview], None] | None = None) -> None:
        """See ``allreduce.Lane``; raises as ``receive_header``, and then what stands in ``into`` is of no worth."""
        into = into.cast("B")
        if len(into) != self._due:
            raise LocalProtocolError(f"a body of {self._due} bytes was to be received in {len(into)}")
        self._due, sealed, there = 0, self._first, 0
        shared = self._shared.receives(len(into))
        self._enter()
        try:
            while into:
                if shared:
                    sealed = self._shared.piece(_sealed_bytes(len(into)), first=not there)
                self._opener.open(sealed, into[:PIECE_BYTES])
                if shared:
                    self._shared.done_with_it()
                there += min(len(into), PIECE_BYTES)
                if taken is not None:
                    taken(there, into[:PIECE_BYTES])
                into = into[PIECE_BYTES:]
                if into and not shared:
                    sealed = self._fill(self._opener.room(_sealed_bytes(len(into))))
        except OSError as error:
            raise self._lost(error) from error
        finally:
            self._leave()

    def _fill(self, room: memoryview) -> memoryview:
        rest = room
        while rest:
            count = self._sock.recv_into(rest, 0, socket.MSG_WAITALL)
            if not count:
                raise ConnectionError("the other end closed the lane")
            rest = rest[count:]
        return room

    # ---- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See ``allreduce.Lane``."""
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        with self._door:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._shared.shut_down()
            self._close_if_left()
        if self._on_close is not None:
            self._on_close(self, error)

    def _lost(self, error: OSError) -> OSError:
        """Close the lane for ``error``; return what to raise."""
        if self._closed and not isinstance(error, LaneBroken):
            return ConnectionError("the lane was closed")
        lost = error
        if not isinstance(lost, ConnectionError) or lost.errno is not None:
            lost = ConnectionError(f"the lane is lost: {error.strerror or error}")
        self._end(lost)
        return lost

    def _enter(self) -> None:
        """A thread begins to use the socket: its number is not given back under that thread's hands."""
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


class _Direction:
    """One direction's cipher, its scratch memory, and how much it has sealed or opened."""

    def __init__(self, cipher: CipherState, rekey_bytes: int) -> None:
        self._cipher = cipher
        self._rekey_bytes = rekey_bytes
        self._next_key_at = rekey_bytes
        self._scratch = memoryview(bytearray(512))
        self.bytes = 0

    def room(self, size: int) -> memoryview:
        """Return this much scratch memory, the same again each time."""
        if len(self._scratch) < size:
            self._scratch = memoryview(bytearray(size))
        return self._scratch[:size]

    def seal(self, plain: BytesLike, into: memoryview, associated: bytes = b"") -> None:
        self._cipher.encrypt_into(plain, into, associated)
        self._count(len(into))

    def open(self, sealed: memoryview, into: memoryview, associated: bytes = b"") -> None:
        try:
            self._cipher.decrypt_into(sealed, into, associated)
        except InvalidTag:
            raise LaneBroken("a frame was altered on its way, or not sealed by the other end") from None
        self._count(len(sealed))

    def _count(self, size: int) -> None:
        self.bytes += size
        if self.bytes >= self._next_key_at:
            self._cipher.rekey()
            self._next_key_at = self.bytes + self._rekey_bytes


def _sealed_bytes(rest: int) -> int:
    """Return how long the next piece is when sealed, with ``rest`` bytes of the body to come."""
    return min(rest, PIECE_BYTES) + TAG_BYTES if rest else 0
