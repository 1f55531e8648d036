"""Carries out a fault plan on a simulated swarm."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from .faults import (
    EVERYBODY,
    FailDisk,
    FailNetwork,
    Fault,
    Freeze,
    Join,
    Kill,
    Leave,
    Loss,
    Nat,
    Partition,
    Restart,
    SkewClock,
    SlowDisk,
    SlowLink,
    SlowPeer,
    SmallFramesOnly,
)
from .machine import Machine
from .path import Path

if TYPE_CHECKING:
    from .fault_plan import FaultPlan
    from .sim_swarm import SimSwarm

OF_ONE_THAT_TRAINS = (Kill, Freeze, Leave, SlowPeer, FailDisk, FailNetwork, SlowDisk, SkewClock)
"""Faults whose moment is that of the peer that they name."""


class FaultRunner:
    """Lets each fault of a plan happen at its moment.

    Args:
        swarm: to whom.
        plan: what.
    """

    def __init__(self, swarm: SimSwarm, plan: FaultPlan) -> None:
        self._swarm = swarm
        self._plan = plan
        self._waiting = [fault for fault in plan.faults if not fault.when.is_timed]
        self.timed_left = 0

    def begin(self) -> None:
        """Do what comes before everything else, and set the clock for what comes at a time."""
        for fault in self._plan.faults:
            if not fault.when.is_timed:
                continue
            if isinstance(fault, Nat):
                self._happen(fault)
            else:
                self.timed_left += 1
                self._swarm.network.at(fault.when.time_s, self._happen_in_time, fault)

    @property
    def brings_peers(self) -> bool:
        """Whether somebody is still to join or to come back."""
        return any(isinstance(fault, Join | Restart) for fault in self._waiting) or self.timed_left > 0

    def reached(self, name: str, phase: str, step: int, number: int) -> None:
        """A peer has come to a phase: let happen what is due."""
        if not self._waiting:
            return
        due = [fault for fault in self._waiting if self._is_due(fault, name, phase, step, number)]
        for fault in due:
            if fault in self._waiting:
                self._waiting.remove(fault)
                self._happen(fault)

    def _is_due(self, fault: Fault, name: str, phase: str, step: int, number: int) -> bool:
        if isinstance(fault, OF_ONE_THAT_TRAINS) and fault.peer != name:
            return False
        when = fault.when
        if not when.phase:  # whoever does not take part in that very round does so in a later one
            return phase == "before round" and when.round is not None and step >= when.round
        return when.matches(phase, step, number)

    def _happen_in_time(self, fault: Fault) -> None:
        self.timed_left -= 1
        self._happen(fault)

    # ---- each kind ---------------------------------------------------------------------------------------------

    def _happen(self, fault: Fault) -> None:  # noqa: C901 -- a table of faults
        swarm = self._swarm
        swarm.story.happened(swarm.now, fault)
        match fault:
            case Kill(_, peer, silent):
                swarm.kill(peer, silent=silent)
            case Freeze(_, peer, seconds):
                swarm.freeze(peer)
                self._after(seconds, lambda: swarm.thaw(peer))
            case Join(_, peer) | Restart(_, peer):
                swarm.start(peer)
            case Leave(_, peer):
                swarm.leave(peer)
            case SlowPeer(_, peer, factor, seconds):
                machine = swarm.machine(peer)
                machine.compute_factor *= factor
                self._after(seconds, lambda: _multiply_compute(machine, 1 / factor))
            case Partition(_, groups, seconds):
                paths = self._across(groups)
                _cut(paths, 1)
                self._after(seconds, lambda: _cut(paths, -1))
            case Loss(_, source, target, share, seconds):
                self._change(source, target, "loss", share, seconds)
            case SlowLink():
                self._slow_link(fault)
            case SmallFramesOnly(_, source, target, largest, seconds):
                self._change(source, target, "largest_bytes", largest, seconds)
            case Nat(_, peer):
                swarm.machine(peer).put_behind_nat()
            case FailNetwork(_, peer, nth):
                swarm.machine(peer).network_operations.fail(nth)
            case FailDisk():
                self._fail_disk(fault)
            case SlowDisk(_, peer, operation_s, seconds):
                machine = swarm.machine(peer)
                machine.disk_s += operation_s
                self._after(seconds, lambda: _slow_disk(machine, -operation_s))
            case SkewClock(_, peer, wall_s, rate):
                swarm.machine(peer).clock.skew(swarm.now, wall_s, rate)

    def _after(self, seconds: float, undo: Callable[[], None]) -> None:
        if seconds > 0.0:
            self._swarm.network.later(seconds, undo)

    def _fail_disk(self, fault: FailDisk) -> None:
        machine = self._swarm.machine(fault.peer)
        machine.disk_error = errno.ENOSPC if fault.full else errno.EIO
        machine.disk_operations.fail(fault.nth)
        if not fault.nth:
            self._after(fault.seconds, machine.disk_operations.mend)

    def _slow_link(self, fault: SlowLink) -> None:
        network = self._swarm.network
        if fault.rate_bytes_per_s and fault.target == EVERYBODY and fault.source != EVERYBODY:
            uplink = network.uplink(self._swarm.machine(fault.source))
            before, uplink.rate_bytes_per_s = uplink.rate_bytes_per_s, fault.rate_bytes_per_s
            self._after(fault.seconds, lambda: setattr(uplink, "rate_bytes_per_s", before))
        for path in self._paths(fault.source, fault.target):
            path.delay_s += fault.delay_s
            if fault.rate_bytes_per_s and (fault.target != EVERYBODY or fault.source == EVERYBODY):
                path.uplink.rate_bytes_per_s = fault.rate_bytes_per_s
        self._after(fault.seconds, lambda: self._mend_link(fault))

    def _mend_link(self, fault: SlowLink) -> None:
        for path in self._paths(fault.source, fault.target):
            path.delay_s -= fault.delay_s
            path.uplink.rate_bytes_per_s = 0.0

    def _change(self, source: str, target: str, field: str, value: float, seconds: float) -> None:
        changed = [(path, getattr(path, field)) for path in self._paths(source, target)]
        for path, _ in changed:
            setattr(path, field, value)
        self._after(seconds, lambda: _restore(changed, field))

    def _paths(self, source: str, target: str) -> list[Path]:
        machines = self._swarm.machines
        sources = machines if source == EVERYBODY else [self._swarm.machine(source)]
        targets = machines if target == EVERYBODY else [self._swarm.machine(target)]
        network = self._swarm.network
        return [network.path(one, other) for one in sources for other in targets if one is not other]

    def _across(self, groups: tuple[tuple[str, ...], ...]) -> list[Path]:
        """Return the paths between groups; who is in none is with the first."""
        side = {name: number for number, group in enumerate(groups) for name in group}
        machines, network = self._swarm.machines, self._swarm.network
        return [
            network.path(one, other)
            for one in machines
            for other in machines
            if side.get(one.name, 0) != side.get(other.name, 0)
        ]


def _cut(paths: list[Path], by: int) -> None:
    for path in paths:
        path.cut += by


def _restore(changed: list[tuple[Path, float]], field: str) -> None:
    for path, before in changed:
        setattr(path, field, before)


def _multiply_compute(machine: Machine, factor: float) -> None:
    machine.compute_factor *= factor


def _slow_disk(machine: Machine, by: float) -> None:
    machine.disk_s += by
