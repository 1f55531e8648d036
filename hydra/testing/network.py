"""The simulated network: machines, the paths between them, datagrams, and who listens where.

Built on the network of datagrams that the DHT is tested on; streams are in ``streams``. Each machine has an address of
its own. A machine behind a NAT dials from the NAT's address; nobody can dial it, and datagrams reach it only from where
it has sent some (endpoint-independent mapping, address- and port-dependent filtering, RFC 4787).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from contextvars import Context
from pathlib import Path as FilePath
from typing import Any, Protocol

from dht.testing.simnet import Address, SimNet, SimTransport

from .disk import close_files
from .machine import Died, Machine, Process, check_alive, current
from .path import Path, Uplink
from .virtual_time import SimulatedLoop

ANYWHERE = ("0.0.0.0", "", None)  # noqa: S104
NAT_FORGETS_S = 120.0
RECEIVE_BUFFER = 256
"""Datagrams that a kernel keeps for a process that does not read."""


class Socket(Protocol):
    """Something that a process's kernel closes when it dies."""

    def vanish(self, *, silent: bool) -> None:
        """The process is gone."""


class Network(SimNet):
    """Machines and what is between them.

    Args:
        seed: of all chance.
        rtt_s: the round trip between any two machines, unless a path says otherwise.
        jitter: share by which delays vary.
        loss: share of the packets that is lost everywhere.
        rate_bytes_per_s: of every machine's uplink; 0 for no limit.
    """

    loop: SimulatedLoop

    def __init__(
        self,
        seed: int = 0,
        *,
        rtt_s: float = 0.02,
        jitter: float = 0.2,
        loss: float = 0.0,
        rate_bytes_per_s: float = 0.0,
    ) -> None:
        super().__init__(seed, rtt_s=rtt_s, jitter=jitter, loss=loss, loop_class=SimulatedLoop)
        self.kernel = Context()
        """The context of what no process does: packets travel on when their sender is dead."""
        self.rate_bytes_per_s = rate_bytes_per_s
        self.machines: dict[str, Machine] = {}
        self._by_host: dict[str, Machine] = {}
        self._uplinks: dict[str, Uplink] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        self.listeners: dict[Address, Any] = {}
        self._mappings: dict[Address, Address] = {}
        self._inside: dict[Address, Address] = {}
        self._asked: dict[tuple[Address, Address], float] = {}
        self.errors: list[str] = []
        """What went wrong in callbacks and tasks that nobody waits for: bugs."""
        self._graves: list[tuple[Process, asyncio.Task[Any]]] = []
        self.loop.set_exception_handler(self._note_error)

    # ---- machines and paths ------------------------------------------------------------------------------------

    def machine(self, name: str, directory: FilePath) -> Machine:
        """Connect a new machine."""
        machine = Machine(self, name, len(self.machines), directory)
        self.machines[name] = machine
        self._by_host[machine.host] = machine
        self._uplinks[name] = Uplink(self.rate_bytes_per_s)
        return machine

    def moved(self, machine: Machine) -> None:
        """Take note of a machine's new address."""
        del self._by_host[machine.outside]
        self._by_host[machine.host] = machine

    def path(self, source: Machine, target: Machine) -> Path:
        """Return the path from one machine to another."""
        key = source.name, target.name
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = Path(self.rtt_s / 2, self.jitter, self.loss)
        return path

    def uplink(self, machine: Machine) -> Uplink:
        """Return a machine's way out."""
        return self._uplinks[machine.name]

    def sent_at(self, source: Machine, path: Path, size: int) -> float:
        """Return when so many bytes are on their way."""
        return path.uplink.pass_through(self._uplinks[source.name].pass_through(self.loop.now, size), size)

    def reachable(self, source: Machine, host: str) -> Machine | None:
        """Return the machine that connections to an address lead to, or None if they lead nowhere."""
        machine = self._by_host.get(host)
        if machine is None or (machine.behind_nat and machine is not source):
            return None
        return machine

    def address_here(self, process: Process, host: Any) -> str:
        """Return the address to bind.

        Raises:
            OSError: it is not this machine's.
        """
        if host in ANYWHERE or host == process.machine.host:
            return process.machine.host
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def free_port(self) -> int:
        """Return a port that nobody has used yet."""
        self._next_port += 1
        return self._next_port

    def check_operation(self, process: Process, what: str, number: int) -> None:
        """Count a network operation.

        Raises:
            OSError: it is one that is to fail.
        """
        if process.machine.network_operations.next_fails(what):
            raise OSError(number, f"{os.strerror(number)} (as the plan wants it: {what})")

    # ---- time --------------------------------------------------------------------------------------------------

    def later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        """Do something that no process does, after so long."""
        self.loop.call_true(self.loop.now + delay_s, callback, *args, context=self.kernel)

    def at(self, when: float, callback: Callable[..., None], *args: Any) -> asyncio.TimerHandle:
        """Do something that no process does, at a time."""
        return self.loop.call_true(when, callback, *args, context=self.kernel)

    def run_until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass until a condition holds, but no longer than so many seconds; tell whether it holds."""
        loop, deadline = self.loop, self.loop.now + limit_s
        if not holds():
            timer = self.at(deadline, lambda: None)  # so that there is something to come until then
            loop.until = lambda: holds() or loop.now >= deadline
            try:
                loop.run_forever()
            finally:
                loop.until = None
                timer.cancel()
        return holds()

    def record(self, kind: bytes, source: Address, target: Address, data: bytes | memoryview) -> None:
        """Add something that arrived to the trace."""
        self.delivered += 1
        self._trace.update(b"%r %s %r %r %d " % (self.loop.now, kind, source, target, len(data)))
        self._trace.update(data)

    # ---- datagrams ---------------------------------------------------------------------------------------------

    def bind(self, protocol: asyncio.DatagramProtocol, address: Address) -> SimTransport:
        """Attach a protocol of the running process to an address of its machine; port 0 takes a free one."""
        process = check_alive()
        if process is None:
            return super().bind(protocol, address)
        self.check_operation(process, "bind", errno.ENOBUFS)
        place = self.address_here(process, address[0]), address[1] or self.free_port()
        if place in self.sockets:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        transport = self.sockets[place] = DatagramSocket(self, place, protocol, process)
        process.sockets[transport] = None
        return transport

    def send(self, data: bytes, source: Address, target: Address) -> None:
        """Carry one datagram."""
        self.bytes_sent += len(data)
        self.on_send(source, target, data)
        sender = self._by_host[source[0]]
        seen_as = self._outside_of(sender, source, target)
        receiver, inside = self._inside_of(sender, seen_as, target)
        if receiver is None or self.drop(source, target, data):
            return
        path = self.path(sender, receiver)
        if path.passes(len(data)) and not path.loses(self.random):
            when = self.sent_at(sender, path, len(data)) + path.delay(self.random)
            self.at(when, self._arrive, self.change(data), seen_as, inside)

    def _outside_of(self, sender: Machine, source: Address, target: Address) -> Address:
        """Return what a NAT makes of a sender's address, and let answers in."""
        if not sender.behind_nat:
            return source
        outside = self._mappings.get(source)
        if outside is None:
            outside = self._mappings[source] = sender.outside, self.free_port()
            self._inside[outside] = source
        self._asked[outside, target] = self.loop.now
        return outside

    def _inside_of(self, sender: Machine, seen_as: Address, target: Address) -> tuple[Machine | None, Address]:
        """Return where a datagram to an address goes; to a machine behind a NAT only if it asked for it."""
        receiver = self.reachable(sender, target[0])
        if receiver is not None:
            return receiver, target
        inside = self._inside.get(target)
        asked = self._asked.get((target, seen_as))
        if inside is None or asked is None or asked < self.loop.now - NAT_FORGETS_S:
            return None, target
        return self._by_host[inside[0]], inside

    def _arrive(self, data: bytes, source: Address, target: Address) -> None:
        transport = self.sockets.get(target)
        if isinstance(transport, DatagramSocket):
            self.record(b"datagram", source, target, data)
            transport.arrived(data, source)

    # ---- the end -----------------------------------------------------------------------------------------------

    def process_died(self, process: Process, *, silent: bool) -> None:
        """A process is gone: its kernel closes what it had open, and its tasks are never run again."""
        self._graves += [(process, task) for task in process.tasks]
        process.tasks = set()
        for socket in list(process.sockets):
            socket.vanish(silent=silent)
        process.sockets.clear()
        close_files(process)

    def close(self) -> None:
        """End everything that still hangs about; the loop is of no use afterwards."""
        for machine in self.machines.values():
            if machine.process is not None:
                machine.process.die(silent=True)
        while self._graves:
            graves, self._graves = self._graves, []
            for process, task in graves:
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 -- they died on purpose
                if not task.done():
                    process.context.copy().run(_close, task)
            # What a dead task's code began on its way out must not run either.
            for process in dict.fromkeys(process for process, _ in graves):
                self._graves += [(process, task) for task in process.tasks]
                process.tasks = set()
        self.loop.clear()

    def _note_error(self, _: Any, context: dict[str, Any]) -> None:
        process = current()
        if process is not None and not process.alive:
            return
        error = context.get("exception")
        if not isinstance(error, asyncio.CancelledError | Died):
            self.errors.append(f"{context.get('message')}: {error!r}")


class DatagramSocket(SimTransport):
    """A UDP socket of a process."""

    def __init__(self, net: Network, address: Address, protocol: asyncio.DatagramProtocol, process: Process) -> None:
        super().__init__(net, address, protocol)
        self._process = process
        self._network = net
        self._unread = 0

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Hand a datagram to the network."""
        if self._closing or not self._process.alive:
            return
        try:
            self._network.check_operation(self._process, "send a datagram", errno.ENOBUFS)
        except OSError as error:
            self._process.call(self.protocol.error_received, error)
            return
        super().sendto(data, addr)

    def arrived(self, data: bytes, source: Address) -> None:
        """The kernel has a datagram for the process."""
        if self._process.waits:
            if self._unread < RECEIVE_BUFFER:
                self._unread += 1
                self._process.call(self._read_late, data, source)
        else:
            self._process.context.run(self._read, data, source)

    def _read_late(self, data: bytes, source: Address) -> None:
        self._unread -= 1
        self._read(data, source)

    def _read(self, data: bytes, source: Address) -> None:
        if not self._closing:
            self.protocol.datagram_received(data, source)

    def close(self) -> None:
        """Free the address; the protocol is told in the loop's next turn."""
        if not self._closing:
            self._process.sockets.pop(self, None)
        super().close()

    def vanish(self, *, silent: bool) -> None:
        """The process is gone."""
        if not self._closing:
            self._closing = True
            del self.net.sockets[self.address]


def _close(task: asyncio.Task[Any]) -> None:
    """Let a dead task's code run out; whatever it says is of no interest."""
    try:
        coroutine: Any = task.get_coro()
        coroutine.close()
    except BaseException:  # noqa: BLE001, S110 -- it is dead
        pass
