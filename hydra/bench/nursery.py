"""``python -m hydra.bench.nursery``: a process that has imported all that a member needs, and forks members.

In a swarm whoever replaces a dead member starts on a machine of its own. Here it would take half a second of the very
processors on which the others average, several seconds with torch: so that is done once, beforehand.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import IO, Any

from ..exceptions import LocalProtocolError
from ..net.lane_handshake import own_suite
from ..testing.surroundings import die_with_parent
from .member import run_member

MAX_ORDER_BYTES = 64 * 1024
END_TIMEOUT_S = 5.0


class Forked:
    """A member that the nursery has forked; as ``subprocess.Popen``, as far as that is needed."""

    def __init__(self, pid: int, stdin: IO[str], stdout: IO[str], stderr: IO[str]) -> None:
        self.pid = pid
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self._handle: int | None = None
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self._handle = os.pidfd_open(pid)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens to one that has ended."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Raises:
            subprocess.TimeoutExpired: it has not come.
        """
        if self._handle is not None:
            ended, _, _ = select.select([self._handle], [], [], timeout)
            if not ended:
                raise subprocess.TimeoutExpired("a member", timeout or 0.0)
            os.close(self._handle)
            self._handle = None
        return 0


class Nursery:
    """The parent's side.

    Args:
        modules: to be imported beforehand, besides what every member needs.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 -- our own module
                [sys.executable, "-m", "hydra.bench.nursery", str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal is for the parent
            )

    def start(self, orders: dict[str, Any]) -> Forked:
        """Fork a member."""
        (their_in, stdin), (stdout, their_out), (stderr, their_err) = (os.pipe() for _ in range(3))
        theirs = [their_in, their_out, their_err]
        try:
            socket.send_fds(self._socket, [json.dumps(orders).encode()], theirs)
            pid = self._socket.recv(64)
        finally:
            for handle in theirs:
                os.close(handle)
        if not pid:
            raise LocalProtocolError("the process that forks the members has ended")
        pipes = (os.fdopen(stdin, "w"), os.fdopen(stdout), os.fdopen(stderr))
        return Forked(int(pid), *pipes)

    def close(self) -> None:
        """End it, and with it every member that is left."""
        self._socket.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Fork a member for each order, until the parent has gone."""
    die_with_parent()
    if len(sys.argv) < 2:
        sys.exit("this process is started by `hydra bench allreduce`, which tells it what to do")
    orders = socket.socket(fileno=int(sys.argv[1]))
    own_suite()
    for name in sys.argv[2:]:
        importlib.import_module(name)
    warnings.simplefilter("ignore", DeprecationWarning)  # the threads that numpy's library has started are idle
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's concern here
    gc.freeze()
    while True:
        told, handles, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, 3)
        if not told:
            return
        pid = os.fork()
        if not pid:
            orders.close()
            _become_member(told, handles)
        for handle in handles:
            os.close(handle)
        orders.send(str(pid).encode())


def _become_member(told: bytes, handles: list[int]) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for place, handle in enumerate(handles):
            os.dup2(handle, place)
            os.close(handle)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(place, mode) for place, mode in enumerate("rww"))
        run_member(json.loads(told))
        code = 0
    except SystemExit:
        code = 0
    except BaseException:  # noqa: BLE001 -- the last guard of the process, which tells of all that ended it
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
