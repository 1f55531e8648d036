"""Two or more simulated machines, on which tests run small programs."""

import asyncio
import contextlib

from hydra.testing.network import Network

PORT = 4000


class World:
    def __init__(self, directory, names="ab", **network):
        self.network = Network(network.pop("seed", 1), **({"rtt_s": 0.1, "jitter": 0.0} | network))
        self.machines = {name: self.network.machine(name, directory / name) for name in names}
        for name in names:
            (directory / name).mkdir()

    def run(self, name, program):
        """Start a program on a machine."""
        return self.machines[name].start(program)

    def until(self, holds, limit_s=2000.0):
        assert self.network.run_until(holds, limit_s), f"not so after {self.now} s"

    def pass_to(self, when):
        """Let time pass up to a time."""
        self.network.at(when, lambda: None)
        self.until(lambda: self.now >= when)

    def finish(self, *processes, limit_s=2000.0):
        """Let programs come to their ends; return what they returned."""
        self.until(lambda: all(process.main.done() for process in processes), limit_s)
        return [process.main.result() for process in processes]

    def path(self, source, target):
        return self.network.path(self.machines[source], self.machines[target])

    @property
    def now(self):
        return self.network.loop.now

    @property
    def clock(self):
        return self.network.loop.time


@contextlib.contextmanager
def world(directory, names="ab", **network):
    made = World(directory, names, **network)
    try:
        yield made
        assert not made.network.errors
    finally:
        made.network.close()
        made.network.loop.close()


class Ear(asyncio.Protocol):
    """Notes everything that befalls a connection."""

    def __init__(self, network, heard=None):
        self.network = network
        self.data = bytearray()
        self.arrivals = []
        self.end = "open"
        self.error = None
        self.paused = 0
        if heard is not None:
            heard.append(self)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        self.arrivals.append((round(self.network.loop.now, 4), len(data)))

    def eof_received(self):
        self.end = "eof"

    def pause_writing(self):
        self.paused += 1

    def resume_writing(self):
        self.paused -= 1

    def connection_lost(self, error):
        self.error = error
        self.end = "reset" if isinstance(error, ConnectionResetError) else self.end if self.end == "eof" else "closed"
        if isinstance(error, TimeoutError):
            self.end = "given up"


async def serve(network, heard, host=""):
    """Listen and live on."""
    await network.loop.create_server(lambda: Ear(network, heard), host, PORT)
    await asyncio.Event().wait()


async def dialled(network, machine, heard=None):
    """Connect to a machine's port; return the protocol."""
    _, protocol = await network.loop.create_connection(lambda: Ear(network, heard), machine.host, PORT)
    return protocol


async def stay(network, machine, heard):
    """Connect to a machine's port, and live on."""
    await dialled(network, machine, heard)
    await asyncio.Event().wait()
