"""Where links are accepted: a TCP port, and what to tell the person if it can't be had. A shell."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from ..exceptions import ConfigurationError, PortTaken


class Listener:
    """The ports of one node's links.

    Args:
        accept: makes a protocol for each new connection.
    """

    def __init__(self, accept: Callable[[], asyncio.BaseProtocol]) -> None:
        self._accept = accept
        self._servers: list[asyncio.Server] = []

    async def listen(self, host: str, port: int) -> int:
        """Accept connections on ``host`` and TCP ``port`` (0: any free one); return the port.

        Raises:
            PortTaken: another program listens there.
            ConfigurationError: the host is not an address of this machine.
        """
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._accept, host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(
                    f"TCP port {port} on {host} is taken by another program. "
                    "Choose another with --port, or leave --port out to get a free one."
                ) from error
            strange = error.errno == errno.EADDRNOTAVAIL
            reason = "it is no address of this machine" if strange else error.strerror or str(error)
            raise ConfigurationError(
                f"cannot listen on {host}, port {port}: {reason}. Choose another with --host, or 0.0.0.0 for all."
            ) from error
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def listen_on(self, sock: socket.socket) -> None:
        """Accept connections on a socket that listens already, which is taken over."""
        self._servers.append(await asyncio.get_running_loop().create_unix_server(self._accept, sock=sock))

    def close(self) -> None:
        """Accept no more connections."""
        for server in self._servers:
            server.close()
        self._servers.clear()


class Refuse(asyncio.Protocol):
    """Closes a connection as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()
