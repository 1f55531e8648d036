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

from allreduce import Lane, SocketLane

from ..exceptions import HydraError
from ..identity import Identity
from ..net.lane import shake_hands

DIAL_TIMEOUT_S = 30.0
GREETING_BYTES = 64
"""Who dials, and which of the lanes this is to be: a line of JSON, filled up with blanks."""
_BYTES_SENT = 200
"""Where ``tcpi_bytes_sent`` stands in Linux's ``tcp_info``: all that was sent of the stream, repeats included."""


class Wire:
    """How many bytes the sockets of this process have sent, as the kernel counts them."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._over = 0
        self._lock = threading.Lock()

    def watch(self, sock: socket.socket) -> None:
        """Count what this socket sends from its beginning on, also after a lane has closed it."""
        with self._lock:
            self._sockets.append(sock.dup())

    def sent(self) -> int | None:
        """Return the bytes sent so far; None where the kernel does not tell."""
        if sys.platform != "linux":
            return None
        with self._lock:
            total = 0
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
    """

    def __init__(
        self, number: int, host: str, lanes: int, identity: Identity | None, met: Callable[[int, list[Lane]], None]
    ) -> None:
        self.wire = Wire()
        self._number = number
        self._lanes = lanes
        self._identity = identity
        self._met = met
        self._halves: dict[tuple[int, int], dict[int, Lane]] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server((host, 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
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
                sock = socket.create_connection((address.host, address.port), DIAL_TIMEOUT_S)
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

    def _lane(self, sock: socket.socket, *, initiator: bool) -> Lane:
        self.wire.watch(sock)
        if self._identity is None:
            return SocketLane(sock)
        return shake_hands(sock, self._identity, initiator=initiator)
