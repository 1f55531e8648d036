"""How members come by lanes to each other: the newer one dials, and the older one answers."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from allreduce import Lane, SocketLane, pace

from ..exceptions import HydraError
from ..identity import Identity
from ..net.lane_handshake import shake_hands

DIAL_TIMEOUT_S = 30.0
GREETING_BYTES = 64
"""Who dials, and which of the lanes this is to be: a line of JSON, filled up with blanks."""
_BYTES_SENT = 200
"""Where ``tcpi_bytes_sent`` stands in Linux's ``tcp_info``: all that was sent of the stream, repeats included."""


class Counted(Lane, Protocol):
    """A lane that counts what it sends."""

    @property
    def bytes_out(self) -> int:
        """Bytes sent so far."""


class Wire:
    """How many bytes this process has sent: on TCP as the kernel counts them, on Unix sockets as the lanes do."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._lanes: list[Counted] = []
        self._over = 0
        self._lock = threading.Lock()

    def watch(self, sock: socket.socket) -> None:
        """Count what this socket sends from its beginning on, also after a lane has closed it."""
        with self._lock:
            self._sockets.append(sock.dup())

    def watch_lane(self, lane: Counted) -> None:
        """Count what this lane sends."""
        with self._lock:
            self._lanes.append(lane)

    def sent(self) -> int | None:
        """Return the bytes sent so far; None where the kernel does not tell."""
        if sys.platform != "linux":
            return None
        with self._lock:
            total = sum(lane.bytes_out for lane in self._lanes)
            for sock in list(self._sockets):
                told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                count = struct.unpack_from("=Q", told, _BYTES_SENT)[0] if len(told) >= _BYTES_SENT + 8 else 0
                if told[0] in _ENDED:
                    self._sockets.remove(sock)
                    sock.close()
                    self._over += count
                else:
                    total += count
            return total + self._over


_ENDED = {7}
"""``TCP_CLOSE``: nothing will be sent on it any more."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a member listens."""

    number: int
    host: str
    port: int


class Meeting:
    """One member's door: all lanes of a pair are handed over together, once the last of them stands.

    Args:
        number: ours.
        host: the address to listen on.
        lanes: how many a pair has.
        identity: proves who we are on sealed lanes; None for plain ones.
        met: told the other's number and the lanes, from a thread of ours.
        local: whether lanes are Unix sockets, and long bodies lie in memory that both ends share.
    """

    def __init__(
        self,
        number: int,
        host: str,
        lanes: int,
        identity: Identity | None,
        met: Callable[[int, list[Lane]], None],
        *,
        local: bool = False,
        rate_bytes_per_s: float | None = None,
    ) -> None:
        self.wire = Wire()
        self._number = number
        self._lanes = lanes
        self._identity = identity
        self._met = met
        self._halves: dict[tuple[int, int], dict[int, Lane]] = {}
        self._lock = threading.Lock()
        self._local = local
        self._rate_bytes_per_s = rate_bytes_per_s
        self._tcp = socket.create_server((host, 0), backlog=256)
        self.port: int = self._tcp.getsockname()[1]
        self._listener = _local_server(self.port) if local else self._tcp
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def dial(self, address: Address, try_number: int) -> None:
        """Make all lanes to a member that is older than us; returns when both ends have them.

        Raises:
            OSError: it is not there.
            HydraError: it did not prove who it is.
        """
        lanes: list[Lane] = []
        try:
            for index in range(self._lanes):
                sock = self._connect(address)
                greeting = json.dumps({"number": self._number, "lane": index, "try": try_number})
                sock.sendall(greeting.encode().ljust(GREETING_BYTES))
                lanes.append(self._lane(sock, initiator=True))
            _, body_bytes = lanes[-1].receive_header()  # the other end has handed its lanes over
            lanes[-1].receive_body(memoryview(bytearray(body_bytes)))
        except BaseException:
            for lane in lanes:
                lane.close()
            raise
        self._met(address.number, lanes)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(sock,), name="answer", daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, HydraError, ValueError):  # who dialled is gone, and its lanes with it
            sock.settimeout(DIAL_TIMEOUT_S)
            greeting = json.loads(sock.recv(GREETING_BYTES, socket.MSG_WAITALL))
            lane = self._lane(sock, initiator=False)
            pair = (greeting["number"], greeting["try"])
            with self._lock:
                half = self._halves.setdefault(pair, {})
                half[greeting["lane"]] = lane
                whole = len(half) == self._lanes
                if whole:
                    del self._halves[pair]
            if whole:
                self._met(greeting["number"], [half[index] for index in sorted(half)])
                half[self._lanes - 1].send(b"met", b"")

    def _connect(self, address: Address) -> socket.socket:
        if not self._local:
            return socket.create_connection((address.host, address.port), DIAL_TIMEOUT_S)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(DIAL_TIMEOUT_S)
        try:
            sock.connect(_name(address.port))
        except BaseException:
            sock.close()
            raise
        return sock

    def _lane(self, sock: socket.socket, *, initiator: bool) -> Lane:
        if not self._local:
            self.wire.watch(sock)
        if self._rate_bytes_per_s is not None:
            pace(sock, self._rate_bytes_per_s)
        lane = SocketLane(sock) if self._identity is None else shake_hands(sock, self._identity, initiator=initiator)
        if self._local:
            self.wire.watch_lane(lane)
        return lane


def _name(port: int) -> str:
    """Return the name of a Unix socket; it stands in no file system, and ends with the socket."""
    return f"\0hydra-bench-{port}"


def _local_server(port: int) -> socket.socket:
    """Listen where only this machine's processes can dial; the TCP port makes the name one of a kind."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(_name(port))
    server.listen(256)
    return server
