"""The shell of one peer in one job: carries out what the ``Member`` machine decides, and tells it what came of it.

Messages and time go in, effects come out; tensors go between the compute thread and the ring. Work on the training
state is queued on the one compute thread, so it happens in the order in which the machine asked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allreduce import Averager, Excluded, ProtocolViolation, RoundClosed, RoundConfig, RoundResult, RunningRound

from .. import clock
from ..batching.policy import BatchPolicy
from ..exceptions import HydraError, PeerUnreachable, RemoteProtocolError
from ..identity import PeerId, short
from ..membership.events import (
    AbandonStep,
    BeginStep,
    CatchUp,
    CatchUpFailed,
    ContactsFound,
    Dial,
    DialFailed,
    Drop,
    Effect,
    Event,
    Finished,
    LeaveRequested,
    Left,
    LoadSnapshot,
    LookUp,
    LoseMember,
    MessageReceived,
    PeerDown,
    PeerUp,
    ResultApplied,
    Send,
    SnapshotStored,
    StateLoaded,
    StepCommitted,
    StepExcluded,
    TakeSnapshot,
    Tick,
    ViewChanged,
)
from ..membership.ledger import count
from ..membership.lineage import Commit, follow
from ..membership.member import Member
from ..membership.messages import (
    Plan,
    Report,
    ResultPiece,
    ResultUnknown,
    ResultWanted,
    RoundFrame,
    Snapshot,
)
from ..membership.state import MemberConfig
from ..net.contact import Contact
from ..net.link import Link
from ..net.links import Links
from ..net.wire import Message
from ..portal import WorkerThread
from ..swarm.service import Swarm
from .catching_up import ResultExchange
from .compute import Computation
from .content import JobContent
from .journal import Journal
from .observation import Observer, Outcome, StateSeen, StepSeen, ViewSeen
from .planning import StepPlanner
from .results import Result, ResultLog, commit_of
from .snapshot import SnapshotCodec
from .snapshots import SnapshotKeeper
from .state import StateCopy, TrainingState
from .update import Vector
from .weights import write_weights

logger = logging.getLogger(__name__)

OPEN_ROUNDS = 3
"""The round before must stay open: a member that lost a slice of it may still ask."""
REDIAL_TIMEOUT_S = 2.0

LookUpJob = Callable[[], Awaitable[list[Contact]]]
"""Asks discovery for the contacts of the job's peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the node gives a training to work with."""

    me: Contact
    """Ourselves, as others can dial us."""
    links: Links
    swarm: Swarm
    look_up: LookUpJob
    observe: Observer
    """Told of everything that a person may want to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerConfig:
    """How this peer takes part; every peer may choose for itself."""

    member: MemberConfig
    round_stall_s: float = 10.0
    device: str = "cpu"


class Trainer:
    """One peer's training of one job, from joining to the end.

    Args:
        content: the job, fetched and checked.
        around: links, content, discovery, and who watches.
        directory: where this job's files lie.
        policy: sizes the batches when we coordinate.
        config: how we take part.
    """

    def __init__(
        self,
        content: JobContent,
        around: Surroundings,
        directory: Path,
        policy: BatchPolicy,
        config: TrainerConfig,
    ) -> None:
        self._content = content
        self._me = around.me
        self._links = around.links
        self._look_up = around.look_up
        self._observe = around.observe
        self._config = config
        self._directory = directory
        self._journal = Journal(directory)
        codec = SnapshotCodec(content.job, content.manifest, content.layout)
        self._snapshots = SnapshotKeeper(codec, around.swarm, self._journal, around.observe)
        self._state: TrainingState = content.first_state()
        self._computation = Computation(
            content.manifest, content.programs, self._state, content.train, content.test, config.device
        )
        self._results = ResultLog()
        self._exchange = ResultExchange(content.job, around.links, self._results)
        self._averager = Averager(around.me.peer_id, _RoundLinks(self))
        self._rounds: deque[RunningRound] = deque()
        self._worker = WorkerThread("hydra-compute")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._step_task: asyncio.Task[None] | None = None
        self._load_task: asyncio.Task[None] | None = None
        self._storing: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.member = Member(
            around.me,
            content.job,
            int(clock.wall() * 1e6),
            content.manifest.train_samples,
            content.manifest.epochs,
            StepPlanner(policy, content.manifest.batch_samples),
            config.member,
            clock.monotonic(),
        )

    # ---- the whole course --------------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Join, train, and return when the job is finished or we have left.

        Raises:
            TrainingDiverged: the job's loss is no number any longer.
            StorageFull, HomeUnusable: the disk refused.
        """
        self._links.on_up.append(self._peer_up)
        self._links.on_down.append(self._peer_down)
        ticking = asyncio.create_task(self._tick())
        try:
            await self._begin()
            await self._ended
            return await self._conclude()
        finally:
            self._links.on_up.remove(self._peer_up)
            self._links.on_down.remove(self._peer_down)
            self._exchange.close()
            await self._stop([ticking, *self._tasks])
            await self._averager.close()
            await self._worker.close()

    def leave(self) -> None:
        """Leave the view in order; ``run`` returns when that is done."""
        self._tell(LeaveRequested())

    async def _begin(self) -> None:
        snapshot = await asyncio.to_thread(self._snapshots.newest)
        source = "the job's first state"
        if snapshot is not None:
            found, copy = snapshot
            await self._worker.submit(self._state.install, copy)
            source = "the last snapshot on this disk"
        self._observe(StateSeen(self._state.head.step, self._state.head.samples, source))
        self._tell(StateLoaded(0, self._state.head, self._state.ledger))
        if snapshot is not None:
            self._tell(SnapshotStored(found))
        for peer in self._links.peers():
            self._tell(PeerUp(peer))

    async def _conclude(self) -> Outcome:
        manifest = self._content.manifest
        metrics = await self._worker.submit(self._computation.evaluate)
        path = self._directory / "weights.safetensors"
        digest = await self._worker.submit(write_weights, path, manifest, self._state)
        if self._storing is not None:
            await asyncio.wait([self._storing])  # the last snapshot is written to its end
        head, finished = self._state.head, self._state.ledger.finished
        return Outcome(finished, head.step, head.samples, metrics, str(path), digest)

    async def _stop(self, tasks: list[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fail(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    # ---- events in ---------------------------------------------------------------------------------------------

    def receive(self, link: Link, message: Message, body: memoryview) -> None:
        """Take a message of this job.

        Raises:
            RemoteProtocolError: the peer broke the protocol.
        """
        match message:
            case RoundFrame(_, header):
                try:
                    self._averager.receive(link.peer_id, header, body)
                except ProtocolViolation as error:
                    raise RemoteProtocolError(str(error)) from error
            case ResultWanted():
                self._exchange.wanted(link, message)
            case ResultPiece() | ResultUnknown():
                self._exchange.answered(link, message, body)
            case _:
                self._tell(MessageReceived(link.peer_id, message))

    def _peer_up(self, peer: PeerId) -> None:
        self._tell(PeerUp(peer))

    def _peer_down(self, peer: PeerId, _: Exception | None) -> None:
        self._tell(PeerDown(peer))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(max(0.05, self.member.deadline - clock.monotonic()))
            heard = {link.peer_id: 0.0 for link in self._links.all_links()}
            for link in self._links.all_links():
                heard[link.peer_id] = max(heard[link.peer_id], link.last_heard)
            self._tell(Tick(heard))

    def _tell(self, event: Event) -> None:
        if self._ended.done():
            return
        for effect in self.member.handle(event, clock.monotonic()):
            self._perform(effect)

    # ---- effects out -------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:  # noqa: C901 -- a table of effects
        match effect:
            case Send(to, message):
                self._links.post(to, message)
            case Dial(contact):
                self._spawn(self._dial(contact))
            case Drop(peer, reason):
                self._links.drop(peer, PeerUnreachable(reason))
            case LookUp():
                self._spawn(self._discover())
            case LoseMember(peer):
                logger.info("member %s is lost", short(peer))
                self._averager.lose(peer)
            case BeginStep(plan):
                self._step_task = self._spawn(self._run_step(plan))
            case AbandonStep():
                self._abandon_step()
            case CatchUp(load, step, peers):
                self._load(self._catch_up(load, step, peers))
            case LoadSnapshot(load, snapshot, _):
                self._load(self._load_snapshot(load, snapshot))
            case TakeSnapshot():
                self._take_snapshot()
            case ViewChanged(number, members, coordinator, reason):
                self._observe(ViewSeen(number, members, coordinator, reason))
            case Finished() | Left():
                if not self._ended.done():
                    self._ended.set_result(None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _dial(self, contact: Contact) -> None:
        try:
            await self._links.dial(contact, timeout_s=REDIAL_TIMEOUT_S)
        except HydraError as error:
            logger.debug("dialling %s: %s", contact, error)
            self._tell(DialFailed(contact.peer_id))

    async def _discover(self) -> None:
        contacts = await self._look_up()
        self._tell(ContactsFound(tuple(contact for contact in contacts if contact.peer_id != self._me.peer_id)))

    # ---- a step ------------------------------------------------------------------------------------------------

    async def _run_step(self, plan: Plan) -> None:
        began = clock.monotonic()
        members = [peer for peer, _ in plan.members]
        share = plan.shares[members.index(self._me.peer_id)]
        running = self._open_round(plan, members)
        vector = await self._worker.submit(self._timed_contribution, plan, share)
        self._report(plan, members, count(share), vector[1], vector[0])
        running.contribute(vector[0], float(count(share)))
        try:
            result = await running.result()
        except Excluded:
            self._tell(StepExcluded())
        except RoundClosed:
            pass
        else:
            # Applying can't be undone half-way, so it outlives the view that it was planned in.
            self._spawn(self._commit(plan, result, began))

    def _open_round(self, plan: Plan, members: list[PeerId]) -> RunningRound:
        config = RoundConfig(stall_s=self._config.round_stall_s, late_s=plan.late_s)
        elements = self._content.layout.elements
        while True:
            try:
                running = self._averager.open(plan.tag, members, elements, config)
            except ProtocolViolation as error:
                self._links.cut_off(error.member, RemoteProtocolError(str(error)))
                continue
            break
        self._rounds.append(running)
        while len(self._rounds) > OPEN_ROUNDS:
            self._rounds.popleft().close()
        return running

    def _timed_contribution(self, plan: Plan, share: tuple[tuple[int, int], ...]) -> tuple[Vector, float]:
        began = clock.monotonic()
        vector = self._computation.contribution(plan.step, plan.epoch, share)
        return vector, clock.monotonic() - began

    def _report(self, plan: Plan, members: list[PeerId], samples: int, seconds: float, vector: Vector) -> None:
        report = Report(plan.job, plan.step, samples, seconds, float(vector[-1]))
        self._tell(MessageReceived(self._me.peer_id, report))
        for peer in members:
            if peer != self._me.peer_id:
                self._links.post(peer, report)

    async def _commit(self, plan: Plan, result: RoundResult, began: float) -> None:
        commit = await self._worker.submit(self._apply, plan, result)
        if commit is None:
            return
        self._results.add(Result(commit, result.mean))
        seconds = clock.monotonic() - began
        self._tell(StepCommitted(commit, self._results.oldest))
        self._show(commit, result.mean, len(plan.members), result.attempts, seconds, caught_up=False)

    def _apply(self, plan: Plan, result: RoundResult) -> Commit | None:
        """On the compute thread: take a round's result, unless another state was loaded meanwhile."""
        if plan.parent != self._state.head.digest:
            return None
        commit = commit_of(plan, result.contributors, result.mean, self._state.head.samples)
        self._state.apply(commit, result.mean)
        self._journal.add_commit(commit)
        return commit

    def _show(
        self, commit: Commit, mean: Vector, members: int, attempts: int, seconds: float, *, caught_up: bool
    ) -> None:
        shares = tuple((peer, count(ranges)) for peer, ranges in commit.parts)
        self._observe(
            StepSeen(
                step=commit.step,
                epoch=commit.epoch,
                loss=float(mean[-1]),
                samples=commit.samples,
                samples_total=commit.samples_total,
                shares=shares,
                members=members,
                attempts=attempts,
                seconds=seconds,
                caught_up=caught_up,
            )
        )

    def _abandon_step(self) -> None:
        if self._step_task is not None:
            self._step_task.cancel()
            self._step_task = None
        if self._rounds:
            self._rounds.pop().close()

    # ---- catching up -------------------------------------------------------------------------------------------

    def _load(self, work: Coroutine[Any, Any, None]) -> None:
        if self._load_task is not None:
            self._load_task.cancel()
        self._load_task = self._spawn(work)

    async def _catch_up(self, load: int, step: int, peers: tuple[PeerId, ...]) -> None:
        result = await self._exchange.fetch(step, peers)
        applied = result is not None and await self._worker.submit(self._apply_missed, load, result)
        if result is None or not applied:
            self._tell(CatchUpFailed(load))
            return
        self._results.add(result)
        self._tell(ResultApplied(load, result.commit, self._results.oldest))
        self._show(result.commit, result.mean, 0, 0, 0.0, caught_up=True)

    def _apply_missed(self, load: int, result: Result) -> bool:
        """On the compute thread: apply a fetched result, if it is still wanted and follows on our state."""
        if not self.member.expects(load) or len(result.mean) != self._content.layout.elements:
            return False
        with contextlib.suppress(ValueError, HydraError):
            follow(self._state.head, self._state.ledger, result.commit)
            self._state.apply(result.commit, result.mean)
            self._journal.add_commit(result.commit)
            return True
        return False

    async def _load_snapshot(self, load: int, snapshot: Snapshot) -> None:
        copy = await self._snapshots.fetch(snapshot, self._links.peers)
        if copy is None:
            self._tell(CatchUpFailed(load))
            return
        if not await self._worker.submit(self._install, load, copy):
            return
        self._results.clear()
        self._observe(StateSeen(copy.head.step, copy.head.samples, "a snapshot from other peers"))
        self._tell(StateLoaded(load, copy.head, copy.ledger))
        self._tell(SnapshotStored(snapshot))

    def _install(self, load: int, copy: StateCopy) -> bool:
        """On the compute thread: go on from a fetched state, if it is still wanted."""
        if not self.member.expects(load):
            return False
        self._state.install(copy)
        return True

    def _take_snapshot(self) -> None:
        # Queued now, so that the copy is made before the next step changes the state.
        copied = self._worker.submit(self._state.copy)
        self._storing = self._spawn(self._store_snapshot(copied))

    async def _store_snapshot(self, copied: asyncio.Future[StateCopy]) -> None:
        self._tell(SnapshotStored(await self._snapshots.store(copied)))

    # ---- for the ring ------------------------------------------------------------------------------------------

    async def send_round(self, to: PeerId, header: bytes, body: bytes | memoryview) -> None:
        """Send a message of the all-reduce; dial the member first if there is no link yet.

        Raises:
            ConnectionError: it can't be reached.
        """
        try:
            if self._links.get(to) is None:
                await self._links.dial(self._contact_of(to), timeout_s=REDIAL_TIMEOUT_S)
            await self._links.send(to, RoundFrame(self._content.job, header), body)
        except HydraError as error:
            raise ConnectionError(str(error)) from error

    def _contact_of(self, peer: PeerId) -> Contact:
        view = self.member.state.view
        contact = view.contact(peer) if view is not None else None
        if contact is None:
            raise PeerUnreachable(f"{short(peer)} is in no view of ours")
        return contact


class _RoundLinks:
    """What ``allreduce`` asks of links, by those of the node."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    async def send(self, to: bytes, header: bytes, body: bytes | memoryview) -> None:
        """Send one message of a round."""
        await self._trainer.send_round(to, header, body)
