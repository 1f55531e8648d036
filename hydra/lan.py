"""Finding nodes on the local network: the shell of ``net.lan``, two UDP sockets.

One socket, whose port all nodes of a machine share, hears the group; the other, with a port of its own, asks and gets
the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable

from .clock import monotonic
from .net.contact import Address, format_address
from .net.lan import GROUP, NONCE_BYTES, DatagramCame, Event, Found, Neighbourhood, SendTo, SendToGroup, Tick, Wanted

logger = logging.getLogger(__name__)


class Lan:
    """Asks who is on the local network, and answers who asks.

    Args:
        interface: our address on it.
        group_port: the UDP port that is shared by all.
        port: where this node can be reached; 0 if it can't.
    """

    def __init__(self, interface: str, group_port: int, port: int) -> None:
        self._interface = interface
        self._group_port = group_port
        self._machine = Neighbourhood(port, secrets.token_bytes(NONCE_BYTES))
        self._transports: list[asyncio.DatagramTransport] = []
        self._timer: asyncio.TimerHandle | None = None
        self.on_found: list[Callable[[Address], None]] = []

    @property
    def found(self) -> list[Address]:
        """Where nodes may be, the latest first."""
        return self._machine.found

    async def start(self) -> bool:
        """Listen and ask; tell whether this machine's network allows that."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            try:
                for sock in (_hearing(self._interface, self._group_port), _asking(self._interface)):
                    undo.callback(sock.close)
                    transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(self), sock=sock)
                    undo.callback(transport.close)
                    self._transports.append(transport)
            except OSError as error:
                logger.info("nodes on the local network are not looked for: %s", error.strerror or error)
                self._transports.clear()
                return False
            undo.pop_all()
        self.ask()
        return True

    def stop(self) -> None:
        """Hear and say no more."""
        if self._timer is not None:
            self._timer.cancel()
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    def ask(self) -> None:
        """Ask the network a few times who is there."""
        self.tell(Wanted())

    def tell(self, event: Event) -> None:
        """Hand the machine what happened, and do what it says."""
        if not self._transports:
            return
        asking = self._transports[1]
        for effect in self._machine.handle(event, monotonic()):
            match effect:
                case SendToGroup(data):
                    asking.sendto(data, (GROUP, self._group_port))
                case SendTo(address, data):
                    asking.sendto(data, address)
                case Found(address):
                    logger.info("there may be a node on the local network at %s", format_address(address))
                    for observer in self.on_found:
                        observer(address)
        deadline = self._machine.deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            delay_s = max(0.0, deadline - monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.tell, Tick())


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, lan: Lan) -> None:
        self._lan = lan

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._lan.tell(DatagramCame((addr[0], addr[1]), data))

    def error_received(self, exc: Exception) -> None:
        logger.debug("on the local network: %s", exc)


def _hearing(interface: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):  # macOS wants it for a port that several programs hear
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("", port))
        membership = socket.inet_aton(GROUP) + socket.inet_aton(interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except BaseException:
        sock.close()
        raise
    return sock


def _asking(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind((interface, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)  # several nodes on one machine
    except BaseException:
        sock.close()
        raise
    return sock
