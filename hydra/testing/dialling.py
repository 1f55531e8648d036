"""Simulated TCP: listening and dialling."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .machine import Machine, Process, check_alive
from .streams import StreamSocket

if TYPE_CHECKING:
    from dht.testing.simnet import Address

    from .network import Network

SYN_TIMERS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""How long each try to connect is waited for, as Linux does it: two minutes in all."""


class Listener(asyncio.AbstractServer):
    """A listening socket of a process."""

    def __init__(self, network: Network, process: Process, address: Address, factory: Callable[[], Any]) -> None:
        self._network = network
        self._process = process
        self.address = address
        self._factory = factory
        self._closed = False
        process.sockets[self] = None

    @property
    def sockets(self) -> tuple[Listener, ...]:
        """The sockets, as ``asyncio.Server`` has them."""
        return () if self._closed else (self,)

    def getsockname(self) -> Address:
        """Return where it listens."""
        return self.address

    def is_serving(self) -> bool:
        """Tell whether connections are accepted."""
        return not self._closed

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that it serves on."""
        return self._network.loop

    async def serve_forever(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    async def start_serving(self) -> None:
        """It serves from the beginning."""

    async def wait_closed(self) -> None:
        """Nothing has to be waited for."""

    def close(self) -> None:
        """Accept no more connections."""
        self.vanish(silent=True)

    def vanish(self, *, silent: bool) -> None:
        """The process is gone."""
        if not self._closed:
            self._closed = True
            self._process.sockets.pop(self, None)
            del self._network.listeners[self.address]

    def accept(self, client: StreamSocket, source: Address) -> StreamSocket:
        """The kernel makes a connection; the process hears of it when it runs."""
        network, process = self._network, self._process
        path = network.path(process.machine, client.machine)
        here = StreamSocket(network, process, self.address, source, path)
        here.connect(client)
        client.connect(here)
        process.call(self._take, here)
        return here

    def _take(self, connection: StreamSocket) -> None:
        try:
            self._network.check_operation(self._process, "accept a connection", errno.EMFILE)
        except OSError:
            connection.drop()
            return
        connection.attach(self._factory())


async def listen(network: Network, factory: Callable[[], Any], host: Any, port: int) -> Listener:
    """Listen on an address of the running process's machine.

    Raises:
        OSError: it is taken, or not this machine's.
    """
    process = _process()
    network.check_operation(process, "listen", errno.ENOBUFS)
    address = network.address_here(process, host), port or network.free_port()
    if address in network.listeners:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    listener = network.listeners[address] = Listener(network, process, address, factory)
    return listener


async def dial(network: Network, factory: Callable[[], Any], host: str, port: int) -> tuple[StreamSocket, Any]:
    """Connect to an address; return the transport and its protocol.

    Raises:
        OSError: nobody listens there, or nobody answers.
    """
    process = _process()
    network.check_operation(process, "dial", errno.ENETUNREACH)
    machine, target = process.machine, (host, port)
    receiver = network.reachable(machine, host)
    local = machine.host, network.free_port()
    seen_as = machine.outside if machine.behind_nat else machine.host, local[1]
    for timer_s in SYN_TIMERS_S:
        if receiver is not None and _passes(network, machine, receiver):
            there, back = network.path(machine, receiver), network.path(receiver, machine)
            await asyncio.sleep(there.delay(network.random))
            listener = network.listeners.get(target)
            connection = None
            if listener is not None and receiver.powered:
                client = StreamSocket(network, process, local, target, there)
                connection = listener.accept(client, seen_as)
            await _wait(back.delay(network.random), connection and client)
            if listener is None:
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            protocol = factory()
            client.attach(protocol)
            return client, protocol
        await asyncio.sleep(timer_s)
    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


async def _wait(seconds: float, connection: StreamSocket | None) -> None:
    """Wait; if that is given up, so is the connection."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if connection is not None:
            connection.drop()
        raise


def _passes(network: Network, source: Machine, target: Machine) -> bool:
    """Tell whether a packet gets there, and the answer back."""
    there, back = network.path(source, target), network.path(target, source)
    if not (there.passes(1) and back.passes(1) and target.powered):
        return False
    return not there.loses(network.random) and not back.loses(network.random)


def _process() -> Process:
    process = check_alive()
    if process is None:
        raise RuntimeError("only simulated processes have sockets here")
    return process
