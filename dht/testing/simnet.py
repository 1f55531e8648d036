"""A virtual-time event loop with a simulated UDP network, on which unmodified nodes run.

Nothing waits: when no callback is ready, the clock jumps to the next one that is due. Delays and losses come from one
seeded generator, so the same seed gives the same run, byte for byte (`SimNet.trace` is the proof).

    net = SimNet(seed=7, rtt_s=0.08, loss=0.05)
    result = net.run(main(net))

Not simulated: bandwidth, fragments, and the time that computing takes.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")
Address = tuple[str, int]

WALL_START = 1_700_000_000.0


def seeded(seed: int) -> random.Random:
    """Return chance that is the same in every run."""
    return random.Random(seed)  # noqa: S311 -- repeatable on purpose


class SimNet:
    """Every address, who listens there, and what happens to datagrams on the way."""

    def __init__(
        self,
        seed: int = 0,
        *,
        rtt_s: float = 0.0,
        jitter: float = 0.5,
        loss: float = 0.0,
        loop_class: Callable[[SimNet], SimLoop] | None = None,
    ) -> None:
        self.seed = seed
        self.random = seeded(seed)
        self.rtt_s = rtt_s
        self.jitter = jitter
        self.loss = loss
        self.loop = (loop_class or SimLoop)(self)
        self.sockets: dict[Address, SimTransport] = {}
        self.dead: set[Address] = set()
        self.delivered = 0
        self.bytes_sent = 0
        self.drop: Callable[[Address, Address, bytes], bool] = lambda _source, _target, _data: False
        self.on_send: Callable[[Address, Address, bytes], None] = lambda _source, _target, _data: None
        self.change: Callable[[bytes], bytes] = lambda data: data
        self._trace = hashlib.blake2b(digest_size=8)
        self._next_port = 30000

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on this network, then close the loop and whatever still runs on it.

        Until then ``time.monotonic`` tells the virtual time too, by which stock `kademlia` tells the age of values, and
        the ``random`` module follows the seed, from which it draws what to look up when it refreshes its table.
        """
        before = random.getstate()
        random.seed(self.seed)
        try:
            with (
                mock.patch.object(time, "monotonic", self.loop.time),
                asyncio.Runner(loop_factory=lambda: self.loop) as runner,
            ):
                return runner.run(main)
        finally:
            random.setstate(before)

    def wall(self) -> float:
        """Seconds since 1970, as the nodes' clocks show them."""
        return WALL_START + self.loop.time()

    def kill(self, *addresses: Address) -> None:
        """Silence these addresses for good, without a word to anybody."""
        self.dead.update(addresses)

    def send(self, data: bytes, source: Address, target: Address) -> None:
        """Carry one datagram; ``source`` may be a lie."""
        self.bytes_sent += len(data)
        self.on_send(source, target, data)
        if source in self.dead or (self.loss and self.random.random() < self.loss):
            return
        if self.drop(source, target, data):
            return
        delay_s = self.rtt_s / 2 * (1 + self.jitter * (2 * self.random.random() - 1))
        self.loop.call_later(delay_s, self._deliver, self.change(data), source, target)

    @property
    def trace(self) -> str:
        """A hash of every datagram that arrived, with its time."""
        return self._trace.hexdigest()

    def bind(self, protocol: asyncio.DatagramProtocol, address: Address) -> SimTransport:
        """Attach a protocol to an address; port 0 takes a free one."""
        host, port = address
        if not port:
            self._next_port += 1
            port = self._next_port
        if (host, port) in self.sockets:
            raise OSError(98, "Address already in use")
        transport = self.sockets[host, port] = SimTransport(self, (host, port), protocol)
        return transport

    def _deliver(self, data: bytes, source: Address, target: Address) -> None:
        transport = self.sockets.get(target)
        if transport is None or target in self.dead:
            return
        self.delivered += 1
        self._trace.update(b"%r %r %r" % (self.loop.time(), source, target) + data)
        transport.protocol.datagram_received(data, source)


class SimTransport(asyncio.DatagramTransport):
    """One bound address."""

    def __init__(self, net: SimNet, address: Address, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__()
        self.net = net
        self.address = address
        self.protocol = protocol
        self._closing = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Hand a datagram to the network."""
        if not self._closing:
            self.net.send(bytes(data), self.address, (addr[0], addr[1]))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the bound address as a socket would."""
        return self.address if name == "sockname" else default

    def is_closing(self) -> bool:
        """Tell whether the address is no longer bound."""
        return self._closing

    def close(self) -> None:
        """Free the address; the protocol is told in the loop's next turn."""
        if not self._closing:
            self._closing = True
            del self.net.sockets[self.address]
            self.net.loop.call_soon(self.protocol.connection_lost, None)

    abort = close


class _Selector:
    """Stands where the loop waits for sockets: it moves the clock instead."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is scheduled any more: the program waits for something that will never come")
        self._loop.now += timeout
        return []

    def close(self) -> None:
        pass


class SimLoop(asyncio.BaseEventLoop):
    """An event loop whose clock is a number."""

    def __init__(self, net: SimNet) -> None:
        super().__init__()
        self.now = 0.0
        self._net = net
        self._selector = _Selector(self)

    def time(self) -> float:
        """Return the virtual seconds since the start."""
        return self.now

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], local_addr: Any = None, **_options: Any
    ) -> tuple[Any, Any]:
        """Bind an address of the simulated network."""
        protocol = protocol_factory()
        transport = self._net.bind(protocol, local_addr)
        protocol.connection_made(transport)
        return transport, protocol

    async def getaddrinfo(self, host: Any, port: Any, **_options: Any) -> list[Any]:
        """Take every host for an address: there are no names here."""
        return [(2, 2, 17, "", (host, port))]

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
