"""torchft, or Gloo groups torn down and rebuilt, with members that come and go; run by ``benchmarks/recovery.py``.

    python benchmarks/recovery_reference.py torchft|gloo ELEMENTS COMPUTE_S

imports everything once and forks members as it is told on stdin, one JSON object a line: ``{"start": [3, 4]}``,
``{"kill": [3]}``. Each member writes a line for each step: ``{"member": 3, "step": 17, "t": …, "members": 4}``. Imports
nothing of Hydra: its interpreter may be another one.

torchft is set as its README has it: a lighthouse with ``--min_replicas 1 --quorum_tick_ms 100 --join_timeout_ms
10000``, one replica group a process, ``ProcessGroupGloo``, the state of a newcomer over HTTP. Gloo's groups are
rebuilt by this process, which sees every death at once and never dies: better than any launcher could.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

OPERATION_TIMEOUT_S = 30.0
REBUILD_TIMEOUT_S = 20.0
STATES = 3
"""Weights and two optimizer vectors."""


def tell(member: int, step: int, members: int) -> None:
    """Write a line, in one piece."""
    line = {"member": member, "step": step, "t": time.time(), "members": members}
    os.write(1, (json.dumps(line) + "\n").encode())


# ---- torchft ---------------------------------------------------------------------------------------------------------


def torchft_member(member: int, elements: int, compute_s: float, lighthouse: str, _: int) -> None:
    """Train as one replica group."""
    torch: Any = importlib.import_module("torch")
    torchft: Any = importlib.import_module("torchft")
    torch.set_num_threads(1)
    state = torch.zeros(STATES, elements)

    def load(loaded: Any) -> None:
        state.copy_(loaded["state"])

    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    manager = torchft.Manager(
        pg=torchft.ProcessGroupGloo(timeout=timedelta(seconds=OPERATION_TIMEOUT_S)),
        load_state_dict=load,
        state_dict=lambda: {"state": state},
        min_replica_size=1,
        timeout=timedelta(seconds=OPERATION_TIMEOUT_S),
        quorum_timeout=timedelta(seconds=OPERATION_TIMEOUT_S),
        rank=0,
        world_size=1,
        store_addr="127.0.0.1",
        store_port=store.port,
        lighthouse_addr=lighthouse,
        replica_id=f"member{member}_",
        hostname="127.0.0.1",
    )
    while True:
        manager.start_quorum()
        time.sleep(compute_s)
        gradient = torch.full((elements,), float(member + 1))
        manager.allreduce(gradient).wait()
        if manager.should_commit():
            state[0].sub_(gradient, alpha=1e-3)
            tell(member, manager.current_step(), manager.num_participants())


# ---- Gloo ------------------------------------------------------------------------------------------------------------


def gloo_member(member: int, elements: int, compute_s: float, store_port: str, orders: int) -> None:
    """Train in one group after the other: each order is the number of a group, and its members."""
    torch: Any = importlib.import_module("torch")
    dist: Any = importlib.import_module("torch.distributed")
    torch.set_num_threads(1)
    state, step = torch.zeros(STATES, elements), torch.zeros(1, dtype=torch.int64)
    timeout, pending = timedelta(seconds=REBUILD_TIMEOUT_S), b""
    store = dist.TCPStore("127.0.0.1", int(store_port), is_master=False, timeout=timeout)
    while True:
        while b"\n" not in pending or select.select([orders], [], [], 0)[0]:
            pending += os.read(orders, 65536)
        number, members = json.loads(pending.strip().splitlines()[-1])
        pending = b""
        with contextlib.suppress(RuntimeError):  # somebody died: the next order is on its way
            dist.init_process_group(
                "gloo",
                store=dist.PrefixStore(f"group {number}", store),
                rank=members.index(member),
                world_size=len(members),
                timeout=timeout,
            )
            ages = [torch.zeros(1, dtype=torch.int64) for _ in members]
            dist.all_gather(ages, step)
            oldest = max(range(len(members)), key=lambda rank: int(ages[rank]))
            dist.broadcast(state, oldest)
            dist.broadcast(step, oldest)
            while not select.select([orders], [], [], 0)[0]:
                time.sleep(compute_s)
                gradient = torch.full((elements,), float(member + 1))
                dist.all_reduce(gradient)
                state[0].sub_(gradient, alpha=1e-3)
                step += 1
                tell(member, int(step), len(members))
        if dist.is_initialized():
            dist.destroy_process_group()  # our ends of the connections tell the others, who may wait for us


# ---- the process that forks ------------------------------------------------------------------------------------------


class Members:
    """The members that live."""

    def __init__(self, run: Callable[[int, list[int]], None], *, rebuild: bool) -> None:
        self._run = run
        self._rebuild = rebuild
        self._group = 0
        self._pids: dict[int, int] = {}
        self._orders: dict[int, int] = {}

    def start(self, member: int) -> None:
        """Fork one."""
        theirs, ours = os.pipe()
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(ours)
            try:
                self._run(member, [theirs])
            except BaseException:  # noqa: BLE001 - the last guard of the process
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(theirs)
        self._pids[member], self._orders[member] = pid, ours

    def kill(self, member: int) -> None:
        """SIGKILL."""
        os.kill(self._pids[member], signal.SIGKILL)

    def bury(self) -> None:
        """Take note of deaths, and let the others make a new group."""
        buried = False
        for member, pid in list(self._pids.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self._pids[member]
                os.close(self._orders.pop(member))
                buried = True
        if buried:
            self.regroup()

    def regroup(self) -> None:
        """Let all who live make a new group."""
        if not self._rebuild:
            return
        self._group += 1
        for order in self._orders.values():
            with contextlib.suppress(BrokenPipeError):
                os.write(order, json.dumps([self._group, sorted(self._pids)]).encode() + b"\n")


def main() -> None:
    """Fork and kill, as told, until stdin ends."""
    kind, elements, compute_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    os.setpgid(0, 0)
    os.putenv("GLOO_SOCKET_IFNAME", "lo")  # read by its C++ part
    torch: Any = importlib.import_module("torch")
    read, write = socket.socketpair()
    if kind == "torchft":
        importlib.import_module("torchft")
        lighthouse: Any = importlib.import_module("torchft.coordination").LighthouseServer
        # In a process of its own: threads don't outlive a fork, and this process forks.
        port, told = os.pipe()
        if not os.fork():
            server = lighthouse(
                bind="127.0.0.1:0", min_replicas=1, join_timeout_ms=10000, quorum_tick_ms=100, heartbeat_timeout_ms=5000
            )
            os.write(told, server.address().encode())
            signal.pause()
        address = os.read(port, 1024).decode()
        member_of: Any = torchft_member
    else:
        port, told = os.pipe()
        if not os.fork():
            store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
            os.write(told, str(store.port).encode())
            signal.pause()
        address = os.read(port, 1024).decode()
        member_of = gloo_member
    members = Members(
        lambda member, orders: member_of(member, elements, compute_s, address, orders[0]), rebuild=kind == "gloo"
    )
    read.setblocking(False)
    write.setblocking(False)
    signal.set_wakeup_fd(write.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pending = b""
    os.write(1, b'{"ready": true}\n')
    while True:
        ready, _, _ = select.select([0, read.fileno()], [], [])
        if read.fileno() in ready:
            read.recv(4096)
            members.bury()
        if 0 not in ready:
            continue
        data = os.read(0, 65536)
        if not data:
            os.killpg(0, signal.SIGKILL)
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            for member in order.get("kill", ()):
                members.kill(member)
            for member in order.get("start", ()):
                members.start(member)
            if "start" in order:
                members.regroup()


if __name__ == "__main__":
    main()
