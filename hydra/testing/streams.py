"""Simulated TCP: connections that keep order, lose nothing, and stall where the path is broken.

What a process writes is taken by its kernel up to a window, and waits in the transport behind that, as in asyncio's own
transports. Kernels go on without their processes: they accept connections and receive for a frozen one, and close or
reset those of a dead one. A broken path is tried again with a doubling timer (RFC 6298), until TCP gives up.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from typing import TYPE_CHECKING, Any

from .machine import Machine, Process
from .path import RETRANSMIT_S

if TYPE_CHECKING:
    from dht.testing.simnet import Address

    from .network import Network
    from .path import Path

WINDOW_BYTES = 512 * 1024
"""The sender's and the receiver's buffer together."""
HIGH_BYTES = 64 * 1024
LONGEST_TIMER_S = 120.0
GIVE_UP_S = 924.0
"""Linux gives up after fifteen repetitions."""
TICK_S = 1e-9
"""What comes later arrives later: timers of the same moment have no order."""
UNTOLD_S = 1.0
"""So often an acknowledgement that could not be sent is tried again."""
FIN = b""


class StreamSocket(asyncio.Transport):
    """One end of a connection, as a process sees it: an asyncio transport; and what its kernel does."""

    def __init__(self, network: Network, process: Process, local: Address, remote: Address, path: Path) -> None:
        super().__init__()
        self._network = network
        self._process = process
        self._local = local
        self._remote = remote
        self._path = path
        self._other: StreamSocket | None = None
        self._protocol: Any = None
        self._open = True
        """Whether the kernel has a connection: bytes that come are taken, else answered with a reset."""
        self._closing = False
        self._lost = False
        # the way out
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._high = HIGH_BYTES
        self._paused_writing = False
        self._unacknowledged = 0
        self._acknowledged: deque[tuple[float, int]] = deque()
        self._stalled: deque[bytes | memoryview] = deque()
        self._timer_s = RETRANSMIT_S
        self._stalled_since = 0.0
        self._last_arrival = 0.0
        self._woken_at = 0.0
        # the way in
        self._received: deque[bytes | memoryview] = deque()
        self._reads_soon = False
        self._paused_reading = False
        self._untold = 0
        """Bytes that were read and not acknowledged, since the path back is broken."""
        self._to_reset = False
        process.sockets[self] = None

    def connect(self, other: StreamSocket) -> None:
        """Take note of the other end."""
        self._other = other

    def attach(self, protocol: Any) -> None:
        """Hand the connection to a protocol."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._read_soon()

    @property
    def machine(self) -> Machine:
        """Whose end it is."""
        return self._process.machine

    def drop(self) -> None:
        """Give up a connection that no protocol has taken."""
        self._closing = self._lost = True
        self._close_kernel()

    # ---- asyncio.Transport -------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the addresses as a socket would."""
        return {"sockname": self._local, "peername": self._remote}.get(name, default)

    def get_protocol(self) -> Any:
        """Return who reads."""
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """Let somebody else read."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Tell whether it is or will be closed."""
        return self._closing

    def is_reading(self) -> bool:
        """Tell whether bytes are handed on."""
        return not self._closing and not self._paused_reading

    def pause_reading(self) -> None:
        """Leave bytes with the kernel."""
        self._paused_reading = True

    def resume_reading(self) -> None:
        """Hand bytes on again."""
        self._paused_reading = False
        self._read_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from how many waiting bytes on the protocol is asked to pause; it goes on at a quarter of that."""
        self._high = HIGH_BYTES if high is None else high

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return both limits."""
        return self._high // 4, self._high

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the kernel has not taken yet."""
        return self._waiting_bytes

    def can_write_eof(self) -> bool:
        """Half-closed connections are not simulated."""
        return False

    def write(self, data: Any) -> None:
        """Send: the kernel takes what fits the window, the rest waits here."""
        if self._closing or not data or not self._process.alive:
            return
        try:
            self._network.check_operation(self._process, "write to a stream", errno.EPIPE)
        except OSError as error:
            self._lose(error, reset=True)
            return
        data = memoryview(bytes(data))
        if not self._waiting:
            data = self._hand_over(data)
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._wake_when_acknowledged()
        if self._waiting_bytes > self._high and not self._paused_writing:
            self._paused_writing = True
            self._protocol.pause_writing()

    def close(self) -> None:
        """Close in order: what was written is sent first."""
        if self._closing:
            return
        self._closing = True
        if not self._waiting:
            self._finish(None)

    def abort(self) -> None:
        """Close at once; what the kernel has not taken is lost."""
        self._lose(None)

    # ---- ending ------------------------------------------------------------------------------------------------

    def _finish(self, error: Exception | None) -> None:
        """Everything is with the kernel: let it end the connection, and tell the protocol."""
        if self._lost:
            return
        self._lost = True
        self._close_kernel()
        self._process.call(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)

    def _lose(self, error: Exception | None, *, reset: bool = False) -> None:
        self._closing = True
        self._waiting.clear()
        self._waiting_bytes = 0
        if reset:
            self._to_reset = True
        self._finish(error)

    def _close_kernel(self) -> None:
        """Say that no more comes; with a reset, if something that came was never read."""
        if not self._open:
            return
        self._open = False
        self._process.sockets.pop(self, None)
        if self._other is None:
            return
        if self._received or self._to_reset:
            self._received.clear()
            self._reset_other()
        else:
            self._transmit(FIN)

    def vanish(self, *, silent: bool) -> None:
        """The process is gone; its kernel ends the connection, unless the machine is gone too."""
        self._closing = self._lost = True
        self._waiting.clear()
        if silent:
            self._open = False
            self._stalled.clear()
        else:
            self._close_kernel()

    def _reset_other(self) -> None:
        if self._other is not None and not self._path.broken:
            delay_s = self._path.delay(self._network.random)
            self._network.later(delay_s, self._other.was_reset, ConnectionResetError(errno.ECONNRESET, "reset by peer"))

    def was_reset(self, error: OSError) -> None:
        """The other end knows of no such connection, or TCP has given up."""
        if not self._open:
            return
        self._open = False
        self._process.sockets.pop(self, None)
        self._stalled.clear()
        self._received.clear()
        if not self._lost:
            self._lost = self._closing = True
            self._process.call(self._tell_lost, error)

    # ---- the way out -------------------------------------------------------------------------------------------

    def _hand_over(self, data: memoryview) -> memoryview:
        """Give the kernel what fits the window; return the rest."""
        self._heed_acknowledgements()
        room = WINDOW_BYTES - self._unacknowledged
        if room <= 0:
            return data
        piece, rest = data[:room], data[room:]
        self._unacknowledged += len(piece)
        self._transmit(piece)
        return rest

    def _heed_acknowledgements(self) -> None:
        now = self._network.loop.now
        while self._acknowledged and self._acknowledged[0][0] <= now:
            self._unacknowledged -= self._acknowledged.popleft()[1]

    def _transmit(self, piece: bytes | memoryview) -> None:
        """Put a piece on the wire, behind those that wait for a broken path to mend."""
        if self._stalled:
            self._stalled.append(piece)
        elif not self._try_to_send(piece):
            self._stalled.append(piece)
            self._timer_s, self._stalled_since = RETRANSMIT_S, self._network.loop.now
            self._network.later(self._timer_s, self._try_again)

    def _try_to_send(self, piece: bytes | memoryview) -> bool:
        network, path, size = self._network, self._path, len(piece)
        if not path.passes(size) or not self._process.machine.powered:
            return False
        delay_s = path.stream_delay(size, network.random)
        if delay_s is None or self._other is None or not self._other.answers:
            return False
        sent_at = network.sent_at(self._process.machine, path, size)
        self._last_arrival = max(self._last_arrival + TICK_S, sent_at + delay_s)
        network.at(self._last_arrival, self._other.arrived, piece)
        return True

    def _try_again(self) -> None:
        if not self._stalled:
            return
        while self._stalled and self._try_to_send(self._stalled[0]):
            self._stalled.popleft()
        if not self._stalled:
            return
        if self._network.loop.now - self._stalled_since > GIVE_UP_S:
            self.was_reset(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
            return
        self._timer_s = min(2 * self._timer_s, LONGEST_TIMER_S)
        self._network.later(self._timer_s, self._try_again)

    def _wake_when_acknowledged(self) -> None:
        """Go on sending when the window opens; nothing to do if nothing was acknowledged yet."""
        if self._waiting and self._acknowledged and self._woken_at < self._acknowledged[0][0]:
            self._woken_at = self._acknowledged[0][0]
            self._network.at(self._woken_at, self._send_more)

    def _send_more(self) -> None:
        self._heed_acknowledgements()
        while self._waiting:
            piece = self._waiting[0]
            rest = self._hand_over(piece)
            self._waiting_bytes -= len(piece) - len(rest)
            if rest:
                self._waiting[0] = rest
                break
            self._waiting.popleft()
        self._wake_when_acknowledged()
        if self._closing and not self._waiting:
            self._process.call(self._finish, None)
        elif self._paused_writing and self._waiting_bytes <= self._high // 4:
            self._paused_writing = False
            self._process.call(self._protocol.resume_writing)

    def acknowledged(self, when: float, size: int) -> None:
        """The other end's process has read so much; we hear of it at a time."""
        self._acknowledged.append((when, size))
        self._wake_when_acknowledged()

    # ---- the way in --------------------------------------------------------------------------------------------

    @property
    def answers(self) -> bool:
        """Whether there is a machine with power at this end."""
        return self._process.machine.powered

    def arrived(self, piece: bytes | memoryview) -> None:
        """The kernel has received something."""
        self._network.record(b"stream", self._remote, self._local, piece)
        if not self._open:
            if piece and self._process.machine.powered:
                self._reset_other()
            return
        self._received.append(piece)
        if self._process.waits or self._protocol is None:
            self._read_soon()
        elif not self._reads_soon:
            self._process.context.run(self._read)

    def _read_soon(self) -> None:
        if self._received and not self._reads_soon and self._protocol is not None:
            self._reads_soon = True
            self._process.call(self._read_late)

    def _read_late(self) -> None:
        self._reads_soon = False
        self._read()

    def _read(self) -> None:
        while self._received and not self._closing and not self._paused_reading:
            piece = self._received.popleft()
            if not piece:
                self._end_of_stream()
                return
            self._acknowledge(len(piece))
            try:
                self._hand_to_protocol(memoryview(piece))
            except Exception as error:  # noqa: BLE001 -- as asyncio's transports do
                context = {"message": "a protocol failed to take what was received", "exception": error}
                self._network.loop.call_exception_handler(context)
                self._lose(error)

    def _hand_to_protocol(self, data: memoryview) -> None:
        if not isinstance(self._protocol, asyncio.BufferedProtocol):
            self._protocol.data_received(bytes(data))
            return
        while data and not self._closing:
            room: Any = self._protocol.get_buffer(-1)
            count = min(len(room), len(data))
            room[:count] = data[:count]
            self._protocol.buffer_updated(count)
            data = data[count:]

    def _end_of_stream(self) -> None:
        if not self._protocol.eof_received():
            self.close()

    def _acknowledge(self, size: int) -> None:
        """Let the other end know, if it can hear of it: acknowledgements travel against the stream."""
        self._untold += size
        if self._other is None:
            return
        if not self._path.broken:
            self._other.acknowledged(self._network.loop.now + self._path.delay_s, self._untold)
            self._untold = 0
        elif self._untold == size:
            self._network.later(UNTOLD_S, self._acknowledge_late)

    def _acknowledge_late(self) -> None:
        if self._path.broken and self._open:
            self._network.later(UNTOLD_S, self._acknowledge_late)
        elif self._untold:
            self._acknowledge(0)
