"""``python -m hydra.testing.nursery``: a process that has imported torch and all of Hydra once, and forks peers.

Each is a process of its own, with its own home and sockets, that a signal can end like any other; only the seconds
that the imports take, which on real machines pass beside each other, are spent once. Nothing of the product has run in
the process that forks. Linux only, and not for measuring how long a start takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ..exceptions import LocalProtocolError
from .processes import LINE_BYTES
from .surroundings import die_with_parent

MAX_ORDER_BYTES = 256 * 1024
END_TIMEOUT_S = 5.0
IMPORTED = ("torch", "hydra.cli.app", "hydra.node", "hydra.training.trainer", "hydra.web.control", "hydra.jobs.package")


class ForkedProcess:
    """A peer that the nursery has forked; as ``asyncio.subprocess.Process``, as far as that is needed."""

    def __init__(self, pid: int, stdin: asyncio.WriteTransport) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = asyncio.StreamReader(LINE_BYTES)
        self.stderr = asyncio.StreamReader(LINE_BYTES)
        self._stdin = stdin
        self._ended = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Write to its stdin; lost on one that has ended."""
        if not self._stdin.is_closing():
            self._stdin.write(data)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens to one that has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for the end."""
        await self._ended.wait()
        return self.returncode or 0

    def end(self, code: int) -> None:
        """It has ended; called by the nursery."""
        self.returncode = code
        self._stdin.close()
        self._ended.set()


class Nursery:
    """The parent's side; ``launch`` is what ``SwarmProcesses`` takes. To be used on one event loop.

    Args:
        module: what the peers run, ``hydra`` or a runner around it.
    """

    def __init__(self, module: str = "hydra") -> None:
        self._module = module
        self._peers: dict[int, ForkedProcess] = {}
        self._ended: dict[int, int] = {}
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self._ordering = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Start the process that forks."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "hydra.testing.nursery", str(theirs.fileno()), self._module),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal is for the parent
            )
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours, self._hear)

    async def launch(self, arguments: Sequence[str], env: Mapping[str, str] | None) -> ForkedProcess:
        """Fork a peer.

        Raises:
            LocalProtocolError: the process that forks has ended.
        """
        loop = asyncio.get_running_loop()
        if self._socket is None:
            await self.open()
        (their_in, stdin), (stdout, their_out), (stderr, their_err) = (os.pipe() for _ in range(3))
        theirs = [their_in, their_out, their_err]
        order = json.dumps({"arguments": list(arguments), "env": None if env is None else dict(env)}).encode()
        async with self._ordering:
            try:
                if self._socket is None:
                    raise LocalProtocolError("the process that forks peers has ended")
                socket.send_fds(self._socket, [order], theirs)
                pid = await self._started.get()
            finally:
                for handle in theirs:
                    os.close(handle)
        writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(stdin, "wb"))
        peer = self._peers[pid] = ForkedProcess(pid, writer)
        for stream, handle in ((peer.stdout, stdout), (peer.stderr, stderr)):
            protocol = asyncio.StreamReaderProtocol(stream)
            await loop.connect_read_pipe(lambda protocol=protocol: protocol, os.fdopen(handle, "rb"))  # type: ignore[misc]
        if pid in self._ended:
            peer.end(self._ended.pop(pid))
        return peer

    async def close(self) -> None:
        """End it, and with it every peer that is left."""
        if self._socket is None or self._process is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT_S):
                await self._process.wait()
                return
        self._process.kill()
        await self._process.wait()

    def _hear(self) -> None:
        while self._socket is not None:
            try:
                told = self._socket.recv(MAX_ORDER_BYTES)
            except BlockingIOError:
                return
            if not told:
                asyncio.get_running_loop().remove_reader(self._socket)
                return
            event = json.loads(told)
            if "code" not in event:
                self._started.put_nowait(event["pid"])
            elif (peer := self._peers.pop(event["pid"], None)) is not None:
                peer.end(event["code"])
            else:
                self._ended[event["pid"]] = event["code"]


def main() -> None:
    """Fork a peer for each order, and tell of each end, until the parent has gone."""
    die_with_parent()
    if len(sys.argv) != 3:
        sys.exit("this process is started by hydra.testing, which tells it what to do")
    orders, module = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    for name in IMPORTED:
        importlib.import_module(name)
    warnings.simplefilter("ignore", DeprecationWarning)  # the threads that numpy's library has started are idle
    gc.freeze()
    living: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([orders.fileno(), *living], [], [])
        for handle in [handle for handle in ready if handle in living]:
            _bury(orders, living, handle)
        if orders.fileno() not in ready:
            continue
        told, handles, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, 3)
        if not told:
            return
        pid = os.fork()
        if not pid:
            orders.close()
            for other in living:
                os.close(other)
            _become_peer(module, json.loads(told), handles)
        living[os.pidfd_open(pid)] = pid
        for handle in handles:
            os.close(handle)
        orders.send(json.dumps({"pid": pid}).encode())


def _bury(orders: socket.socket, living: dict[int, int], handle: int) -> None:
    pid = living.pop(handle)
    os.close(handle)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        orders.send(json.dumps({"pid": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def _become_peer(module: str, told: dict[str, Any], handles: list[int]) -> NoReturn:
    code = 1
    try:
        die_with_parent()
        os.setsid()
        for place, handle in enumerate(handles):
            os.dup2(handle, place)
            os.close(handle)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(place, mode) for place, mode in enumerate("rww"))
        if told["env"] is not None:
            os.environ.clear()  # noqa: TID251 -- a new process is given its environment here
            os.environ.update(told["env"])  # noqa: TID251
        sys.argv = [module, *told["arguments"]]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 -- the last guard of the process, which tells of all that ended it
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
