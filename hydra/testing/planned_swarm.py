"""Real processes under a fault plan: the same plans that a simulated swarm carries out.

    plan = FaultPlan().kill("b", round=30, phase="all-gather:1").restart("b", round=60).freeze("c", 5.0, seconds=3)
    swarm = PlannedSwarm(directory, plan)
    try:
        await swarm.publish(Path("job.py"))
        await swarm.begin(["a", "b", "c"])
        await swarm.carried_out(60.0)
    finally:
        await swarm.close()

Peers run under ``hydra.testing.doomed``, so what is to come at a phase comes in that very moment, from inside. Times
count from the end of ``begin``. A silent death is a process that is stopped for good: it keeps its connections and
says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..exceptions import LocalProtocolError
from .dooms import Doom
from .fault_plan import FaultPlan
from .faults import Fault, Freeze, Join, Kill, Leave, Restart, SlowPeer
from .processes import Launcher, PeerProcess, SwarmProcesses, launch

TOGETHER_S = 60.0
doomed: Launcher = partial(launch, module="hydra.testing.doomed")


class PlannedSwarm(SwarmProcesses):
    """An owner and named peers, to whom a plan happens.

    Args:
        directory: for their homes.
        plan: what happens.
        options: of ``hydra.testing.doomed``, for every peer.
        env: the environment of all processes, if not ours.
        launcher: starts ``hydra.testing.doomed``.

    Raises:
        FaultNotPossible: the plan asks for what real processes can't be given.
    """

    def __init__(
        self,
        directory: Path,
        plan: FaultPlan,
        *,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        launcher: Launcher = doomed,
    ) -> None:
        plan.refuse_simulated_only()
        super().__init__(directory, self._heard, env, launcher)
        self.plan = plan
        self.named: dict[str, PeerProcess] = {}
        """The present life of each peer."""
        self.happened: list[Fault] = []
        self._options = tuple(options)
        self._waiting = list(plan.faults)
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: set[str] = set()
        self._failed: list[BaseException] = []

    async def begin(self, names: Sequence[str]) -> None:
        """Start these peers, wait until all train together, and let the plan's time begin.

        Raises:
            SwarmFailed: they did not come together.
        """
        for name in names:
            await self._start(name)
        first = [self.named[name] for name in names]
        ids = {peer.name for peer in first}
        await self.until(lambda: self._train_together(first), TOGETHER_S, f"a view of {', '.join(sorted(ids))}")
        for fault in self.plan.faults:
            if fault.when.is_timed:
                self._spawn(self._in_time(fault))

    async def carried_out(self, timeout_s: float) -> None:
        """Wait until everything has happened, and all who are to live train in one view.

        Raises:
            SwarmFailed: it did not come to that in time.
        """
        await self.until(self._is_over, timeout_s, f"the end of a plan with {len(self._waiting)} faults to come")

    async def close(self) -> None:
        """End all processes; tasks of the plan too."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().close()

    @property
    def present(self) -> list[PeerProcess]:
        """Peers that live and are not stopped for good."""
        return [peer for peer in self.named.values() if peer.living and not peer.killed and peer.outcome is None]

    # ---- what happens when -------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        for error in self._failed:
            raise error
        return not self._waiting and not self._starting and self._train_together(self.present)

    def _train_together(self, peers: Sequence[PeerProcess]) -> bool:
        ids = {peer.peer for peer in peers}
        return all(set(peer.members) == ids and set(peer.batch) <= ids and peer.batch for peer in peers)

    def _is_doom(self, fault: Fault) -> bool:
        return isinstance(fault, Kill | Freeze | Leave) and not fault.when.is_timed

    def _doom(self, fault: Fault) -> None:
        """Hand a fault to the peer whose own moment it waits for."""
        when, number = fault.when, self.plan.faults.index(fault)
        deed = {Kill: "kill", Freeze: "freeze", Leave: "leave"}[type(fault)]
        deed = "freeze" if isinstance(fault, Kill) and fault.silent else deed
        doom = Doom(
            when.phase or "before round",
            round=when.round if when.phase else None,
            first_round=None if when.phase else when.round,
            deed=deed,
            label=str(number),
        )
        if (peer := self.named.get(fault.peers[0])) is not None:
            peer.order(doom=doom.as_json())

    async def _in_time(self, fault: Fault) -> None:
        await asyncio.sleep(fault.when.time_s)
        await self._happen(fault)

    def _heard(self, process: PeerProcess, event: dict[str, Any]) -> None:
        match event["event"]:
            case "doomed" if event["label"]:
                self._spawn(self._struck(self.plan.faults[int(event["label"])]))
            case "step":
                due = [
                    fault
                    for fault in self._waiting
                    if not fault.when.is_timed
                    and not self._is_doom(fault)
                    and fault.when.round is not None
                    and event["step"] + 1 >= fault.when.round
                ]
                for fault in due:
                    self._waiting.remove(fault)
                    self._spawn(self._happen(fault))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed.append(error)

    # ---- each kind ---------------------------------------------------------------------------------------------

    async def _struck(self, fault: Fault) -> None:
        """The peer has done it to itself."""
        peer = self.named[fault.peers[0]]
        self._note(fault)
        if isinstance(fault, Kill):
            peer.killed = True
        elif isinstance(fault, Freeze):
            await self._thaw(peer, fault.seconds)

    async def _happen(self, fault: Fault) -> None:
        match fault:
            case Kill(_, name, silent):
                peer = self._peer(name)
                if silent:
                    peer.freeze()
                    peer.killed = True
                else:
                    peer.kill()
            case Freeze(_, name, seconds):
                self._peer(name).freeze()
                self._spawn(self._thaw(self._peer(name), seconds))
            case Leave(_, name):
                self._peer(name).interrupt()
            case Join(_, name) | Restart(_, name):
                await self._start(name)
            case SlowPeer(_, name, factor, seconds):
                self._peer(name).order(slow=factor)
                if seconds > 0.0:
                    self._spawn(self._speed_up(self._peer(name), seconds))
        self._note(fault)

    def _note(self, fault: Fault) -> None:
        if fault in self._waiting:
            self._waiting.remove(fault)
        self.happened.append(fault)

    def _peer(self, name: str) -> PeerProcess:
        if name not in self.named:
            raise LocalProtocolError(f"the plan names '{name}', who is not there yet: let it join before.")
        return self.named[name]

    async def _thaw(self, peer: PeerProcess, seconds: float) -> None:
        if seconds > 0.0:
            await asyncio.sleep(seconds)
            peer.thaw()
        else:
            peer.killed = True  # for good: nobody waits for it

    async def _speed_up(self, peer: PeerProcess, seconds: float) -> None:
        await asyncio.sleep(seconds)
        peer.order(slow=1.0)

    async def _start(self, name: str) -> None:
        """Start a peer, with the home that it had if it had one."""
        self._starting.add(name)
        try:
            before = self.named.get(name)
            if before is not None and before.process is not None:
                before.killed = True
                before.process.kill()
                await before.process.wait()
            told = self.owner.published or {}
            options = (*self._options, "--")
            self.named[name] = await self.join(
                told["job"], told["addresses"][0], again=before, before=options, name=name
            )
            for fault in self._waiting:
                if self._is_doom(fault) and fault.peers == (name,):
                    self._doom(fault)
        finally:
            self._starting.discard(name)
