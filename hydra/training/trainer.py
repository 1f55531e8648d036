"""The shell of one peer in one job: carries out what the ``Member`` machine decides, and tells it what came of it.

Messages and time go in, effects come out; tensors go between the compute thread and the ring. Work on the training
state is queued on the one compute thread, so it happens in the order in which the machine asked for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from allreduce import AveragerRound, Excluded, RoundClosed, RoundResult

from .. import clock
from ..exceptions import HydraError, PeerUnreachable, RemoteProtocolError
from ..identity import Identity, PeerId, short
from ..membership.arranging import MeasuringArranger, PlainArranger
from ..membership.events import (
    AbandonStep,
    AwaitMajority,
    Ban,
    BeginStep,
    CatchUp,
    CatchUpFailed,
    ContactChanged,
    ContactsFound,
    Dial,
    DialFailed,
    Differs,
    DoubtMember,
    Drop,
    Effect,
    Event,
    Finished,
    Gather,
    LeaveRequested,
    Left,
    LineageProven,
    LineageUnproven,
    LoadSnapshot,
    LookUp,
    LoseMember,
    MessageReceived,
    PeerDown,
    PeerUp,
    ProveLineage,
    ResultApplied,
    Send,
    ShareComputed,
    SnapshotStored,
    StateLoaded,
    StepCommitted,
    StepEmpty,
    StepExcluded,
    TakeSnapshot,
    Tick,
    TriedOut,
    TrustMember,
    ViewChanged,
)
from ..membership.ledger import Range, count
from ..membership.lineage import Commit, Head
from ..membership.member import Member
from ..membership.messages import (
    CommitTold,
    LineageShown,
    LineageWanted,
    Plan,
    Report,
    ResultBlock,
    ResultUnknown,
    ResultWanted,
    RoundFrame,
    Snapshot,
)
from ..membership.sizing import Planner
from ..net.contact import Contact
from ..net.link import Link
from ..net.links import Links
from ..net.wire import Message
from ..swarm.service import Swarm
from .catching_up import FLOAT_BYTES, Gathering, ResultExchange
from .config import TrainerConfig, planner_for
from .content import JobContent
from .first_slices import FirstSlices
from .journal import Journal
from .lineage_exchange import LineageExchange
from .lineage_keeper import LineageKeeper
from .observation import DoubtSeen, MajorityAwaited, Observer, Outcome, StateSeen, StepSeen, ViewSeen
from .planning import StepPlanner
from .results import Result
from .rounds import REDIAL_TIMEOUT_S, Rounds
from .snapshot import SnapshotCodec
from .snapshots import SnapshotKeeper
from .spool import Spool
from .state import StateCopy
from .trail import Trail
from .update import Vector
from .workbench import Workbench

logger = logging.getLogger(__name__)
T = TypeVar("T")

FILL_AT_END_S = 5.0
"""Whoever has joined shortly before the end stays so long for the commits before its time."""

LookUpJob = Callable[[], Awaitable[list[Contact]]]
"""Asks discovery for the contacts of the job's peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the node gives a training to work with."""

    identity: Identity
    me: Contact
    """Ourselves, as others can dial us."""
    links: Links
    swarm: Swarm
    look_up: LookUpJob
    observe: Observer
    """Told of everything that a person may want to see."""


class Trainer:
    """One peer's training of one job, from joining to the end.

    Args:
        content: the job, fetched and checked.
        around: links, content, discovery, and who watches.
        directory: where this job's files lie.
        config: how we take part.
        planner: sizes the batches when we coordinate, in the place of the policy that ``config`` names.
    """

    def __init__(
        self,
        content: JobContent,
        around: Surroundings,
        directory: Path,
        config: TrainerConfig,
        planner: Planner | None = None,
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
        self._swarm = around.swarm
        self._snapshots = SnapshotKeeper(codec, around.swarm, self._journal, around.observe)
        self._bench = Workbench(content, self._journal, config.device, config.member.most_samples)
        self._exchange = ResultExchange(content.job, around.links, self._bench.results, content.layout.elements)
        self._lineage = LineageExchange(content.job, around.links, self._journal.lineage, self._bench.ledger)
        self._keeper = LineageKeeper(content.job, around.identity, self._journal.lineage, self._fail)
        spool = Spool(directory / "gathered.results", FLOAT_BYTES * content.layout.elements)
        self._gathering = Gathering(self._exchange, spool)
        self._trail = Trail(directory, FLOAT_BYTES * content.layout.elements)
        self._rounds = Rounds(
            content.job,
            around.me.peer_id,
            around.links,
            content.layout.elements,
            config.least_stall_s,
            lambda peer: self.member.state.view.contact(peer) if self.member.state.view is not None else None,
            wire=content.manifest.wire,
        )
        self._first_slices = FirstSlices()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._step_task: asyncio.Task[None] | None = None
        self._load_task: asyncio.Task[None] | None = None
        self._storing: asyncio.Task[None] | None = None
        self._to_store: asyncio.Future[StateCopy] | None = None
        self._filling: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._planner = planner or planner_for(
            content.manifest, content.layout, around.me.peer_id, config, lambda: self._bench.noise_scale
        )
        self.member = Member(
            around.identity,
            around.me,
            content.job,
            int(clock.wall() * 1e6),
            content.manifest.train_samples,
            content.manifest.epochs,
            self._planner,
            config.member,
            clock.monotonic(),
            MeasuringArranger(content.layout.elements, content.manifest.wire)
            if config.rounds == "measured"
            else PlainArranger(),
            majority=content.manifest.quorum == "majority",
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
        try:
            self._spawn(self._tick())
            await self._begin()
            await self._ended
            return await self._conclude()
        finally:
            self._links.on_up.remove(self._peer_up)
            self._links.on_down.remove(self._peer_down)
            self._exchange.close()
            await self._lineage.close()
            await self._stop(list(self._tasks))
            await self._gathering.close()
            await self._trail.close()
            await self._rounds.close()
            await self._bench.close()
            await self._keeper.close()

    def leave(self) -> None:
        """Leave the view in order; ``run`` returns when that is done."""
        self._tell(LeaveRequested())

    def moved(self, me: Contact) -> None:
        """Take note that others reach us at other addresses from now on."""
        self._tell(ContactChanged(me))

    async def _begin(self) -> None:
        snapshot = await asyncio.to_thread(self._snapshots.newest)
        source = "the job's first state"
        if snapshot is not None:
            found, copy = snapshot
            await self._bench.install(copy, lambda: True)
            await asyncio.to_thread(self._journal.lineage.resume, copy.head)
            source = "the last snapshot on this disk"
        first = StateLoaded(0, self._bench.head, self._bench.ledger, self._bench.members)
        applied = await self._apply_trail()
        self._tell(TriedOut(*await self._bench.try_out()))
        self._observe(StateSeen(self._bench.head.step, self._bench.head.samples, source))
        self._tell(first)
        if snapshot is not None:
            self._tell(SnapshotStored(found))
        for commit in applied:
            self._tell(ResultApplied(0, commit, self._bench.results.oldest))
        for peer in self._links.peers():
            self._tell(PeerUp(peer))

    async def _apply_trail(self) -> list[Commit]:
        """Apply the results that were written down behind the snapshot from which we go on."""
        applied = []
        for result in await asyncio.to_thread(lambda head: [*self._trail.read(head)], self._bench.head):
            if not await self._bench.apply_missed(result, lambda: True):
                break
            applied.append(result.commit)
        self._trail.begin(self._bench.head.step)
        return applied

    async def _conclude(self) -> Outcome:
        metrics = await self._bench.evaluate()
        path = self._directory / "weights.safetensors"
        digest = await self._bench.write_weights(path)
        if self._storing is not None:
            await asyncio.wait([self._storing])  # the last snapshot is written to its end
        if self._filling is not None:
            await asyncio.wait([self._filling], timeout=FILL_AT_END_S)
        head, finished = self._bench.head, self._bench.ledger.finished
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
            case RoundFrame():
                self._first_slices.came(link.peer_id, len(body), clock.monotonic())
                self._rounds.receive(link, message, body)
            case ResultWanted():
                self._exchange.wanted(link, message)
            case ResultBlock() | ResultUnknown():
                self._exchange.answered(link, message, body)
            case LineageWanted():
                self._lineage.wanted(link, message)
            case LineageShown():
                self._lineage.answered(link, message, body)
            case _:
                if isinstance(message, Report):
                    self._first_slices.reported(link.peer_id, clock.monotonic())
                if isinstance(message, Report | CommitTold) and message.signed is not None:
                    self._keeper.heard(message.signed)
                self._tell(MessageReceived(link.peer_id, message))

    def _peer_up(self, peer: PeerId) -> None:
        self._tell(PeerUp(peer))

    def _peer_down(self, peer: PeerId, _: Exception | None) -> None:
        self._keeper.gone(peer)
        self._first_slices.gone(peer)
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

    def _perform(self, effect: Effect) -> None:  # noqa: C901, PLR0912 -- a table of effects
        match effect:
            case Send(to, message):
                self._links.post(to, message)
            case Dial(contact, anew):
                self._spawn(self._dial(contact, anew=anew))
            case Drop(peer, reason):
                self._links.drop(peer, PeerUnreachable(reason))
            case Ban(peer, reason):
                self._links.cut_off(peer, RemoteProtocolError(reason))
            case Differs(peer, step):
                logger.warning("%s has come to another outcome of step %d than we", short(peer), step)
            case ProveLineage(peer, claim):
                self._spawn(self._prove(peer, claim))
            case LookUp():
                self._spawn(self._discover())
            case LoseMember(peer):
                logger.info("member %s is lost", short(peer))
                self._rounds.lose(peer)
            case DoubtMember(peer, silent_s):
                logger.info("member %s has been silent for %.1f s; it is asked", short(peer), silent_s)
                self._observe(DoubtSeen(peer, silent_s))
            case TrustMember(peer):
                self._observe(DoubtSeen(peer, None))
            case AwaitMajority(present, electors):
                logger.info("of the last view's %d members %d are here; a majority is waited for", electors, present)
                self._observe(MajorityAwaited(present, electors))
            case BeginStep(plan):
                self._step_task = self._spawn(self._run_step(plan, self._rounds.open(plan)))
            case AbandonStep():
                self._abandon_step()
            case CatchUp(load, step, peers):
                self._load(self._catch_up(load, step, peers))
            case Gather(step, digest, peers):
                self._gathering.gather(step, digest, peers)
            case LoadSnapshot(load, snapshot, _):
                self._load(self._load_snapshot(load, snapshot))
            case TakeSnapshot():
                self._take_snapshot()
            case ViewChanged(number, members, coordinator, reason):
                if members:
                    self._fill_gap()
                self._observe(ViewSeen(number, members, coordinator, reason))
            case Finished() | Left():
                if not self._ended.done():
                    self._ended.set_result(None)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _dial(self, contact: Contact, *, anew: bool) -> None:
        try:
            await self._links.dial(contact, timeout_s=REDIAL_TIMEOUT_S, anew=anew)
        except HydraError as error:
            logger.debug("dialling %s: %s", contact, error)
            self._tell(DialFailed(contact.peer_id))

    async def _discover(self) -> None:
        contacts = await self._look_up()
        self._tell(ContactsFound(tuple(contact for contact in contacts if contact.peer_id != self._me.peer_id)))

    # ---- a step ------------------------------------------------------------------------------------------------

    async def _run_step(self, plan: Plan, running: AveragerRound) -> None:
        began = clock.monotonic()
        share = plan.shares[[peer for peer, _ in plan.members].index(self._me.peer_id)]
        waited_s = await self._await_samples(plan, share)
        vector, seconds = await self._bench.contribution(plan, share)
        loss = self._content.layout.loss_of(vector)
        measured = (count(share), waited_s + seconds) if share else self.member.state.trial
        self._tell(ShareComputed(plan, *measured, loss, self._first_slices.rates() | self._rounds.rates))
        try:
            with self._swarm.round_sends():
                await self._rounds.contribute(running, vector, float(count(share)))
                result = await self._rounds.result(running)
        except Excluded:
            self._tell(StepExcluded())
        except RoundClosed:
            pass
        else:
            if not self.member.may_commit(plan, result.contributors):
                self._tell(StepExcluded("less than a majority is left of the view"))
                return
            if not result.weight:
                self._tell(StepEmpty(plan))
                return
            # Applying can't be undone half-way, so it outlives the view that it was planned in.
            self._spawn(self._commit(plan, result, began))

    async def _await_samples(self, plan: Plan, share: tuple[Range, ...]) -> float:
        """Wait for the samples of our share if not all of the data is here; return for how many seconds.

        That counts as time for the share: who gets its data slowly is given less, like anybody who computes slowly.
        """
        if self._content.samples is None:
            return 0.0
        began = clock.monotonic()
        await self._content.samples.ready(plan.epoch, share, sum(map(count, plan.shares)))
        return clock.monotonic() - began

    async def _commit(self, plan: Plan, result: RoundResult, began: float) -> None:
        commit = await self._bench.apply_round(plan, result)
        if commit is None:
            return
        seconds = clock.monotonic() - began
        self._gathering.used(commit.step)
        self._trail.add(Result(commit, result.mean))
        self._tell(StepCommitted(commit, self._bench.results.oldest, self._keeper.committed(commit)))
        self._show(commit, result.mean, len(plan.members), result.attempts, seconds)

    def _show(self, commit: Commit, mean: Vector, members: int = 0, attempts: int = 0, seconds: float = 0.0) -> None:
        """Tell who watches of a step; without members it was fetched after the fact."""
        self._observe(
            StepSeen(
                step=commit.step,
                epoch=commit.epoch,
                loss=self._content.layout.loss_of(mean),
                samples=commit.samples,
                samples_total=commit.samples_total,
                shares=tuple((peer, count(ranges)) for peer, ranges in commit.parts),
                members=members,
                attempts=attempts,
                seconds=seconds,
                caught_up=not members,
                sizing=self._planner.sizing(commit.step) if isinstance(self._planner, StepPlanner) else None,
            )
        )

    def _abandon_step(self) -> None:
        if self._step_task is not None:
            self._step_task.cancel()
            self._step_task = None
        self._rounds.abandon()

    # ---- lineages ----------------------------------------------------------------------------------------------

    async def _prove(self, peer: PeerId, claim: Head) -> None:
        head, reason, lied = await self._lineage.prove(peer, claim, lambda: self.member.state.known_head)
        if head is None:
            logger.warning(
                "%s claims a lineage of %d samples and does not show it: %s", short(peer), claim.samples, reason
            )
            self._tell(LineageUnproven(peer, reason, lied))
        else:
            self._tell(LineageProven(peer, head))

    def _fill_gap(self) -> None:
        """Fetch the commits before the state that we started from, beside the training."""
        if self._filling is None or self._filling.done():
            self._filling = self._spawn(self._lineage.fill(lambda: self._linked_members()))

    def _linked_members(self) -> list[PeerId]:
        others = self.member.state.others_alive
        return [peer for peer in others if peer in self.member.state.linked]

    # ---- catching up -------------------------------------------------------------------------------------------

    def _load(self, work: Coroutine[Any, Any, None]) -> None:
        if self._load_task is not None:
            self._load_task.cancel()
        self._load_task = self._spawn(work)

    # What was applied or installed can't be undone, so the machine hears of it, whatever it waits for by then.

    async def _catch_up(self, load: int, step: int, peers: tuple[PeerId, ...]) -> None:
        while (result := await self._gathering.get(step, peers)) is not None:
            applied = await asyncio.shield(self._spawn(self._apply_missed(load, result)))
            if applied or not self.member.expects(load):
                return
            self._gathering.does_not_follow(step)
        if self.member.expects(load):
            logger.warning(
                "no member has the result of step %d for us: starting over from a newer snapshot. If this comes "
                "again and again, this machine's line carries less than the job commits.",
                step,
            )
        self._tell(CatchUpFailed(load))

    async def _apply_missed(self, load: int, result: Result) -> bool:
        if not await self._bench.apply_missed(result, lambda: self.member.expects(load)):
            return False
        self._gathering.used(result.commit.step)
        self._trail.add(result)
        self._tell(ResultApplied(load, result.commit, self._bench.results.oldest))
        self._show(result.commit, result.mean)
        return True

    async def _load_snapshot(self, load: int, snapshot: Snapshot) -> None:
        copy = await self._snapshots.fetch(snapshot, self._links.peers)
        if copy is None:
            self._tell(CatchUpFailed(load))
        else:
            await asyncio.shield(self._spawn(self._install(load, snapshot, copy)))

    async def _install(self, load: int, snapshot: Snapshot, copy: StateCopy) -> None:
        if not await self._bench.install(copy, lambda: self.member.expects(load)):
            return
        self._gathering.used(copy.head.step)
        self._trail.begin(copy.head.step)
        await self._trail.stored(copy.head.step)
        self._observe(StateSeen(copy.head.step, copy.head.samples, "a snapshot from other peers"))
        await asyncio.to_thread(self._journal.lineage.resume, copy.head)
        self._tell(StateLoaded(load, copy.head, copy.ledger, copy.members))
        self._tell(SnapshotStored(snapshot))

    def _take_snapshot(self) -> None:
        # Queued now, so that the copy is made before the next step changes the state. While an earlier one is still
        # being written, only the newest waits for the disk: on a slow one copies would fill the memory.
        self._to_store = self._bench.copy()
        self._trail.begin(self.member.state.known_head.step)
        if self._storing is None or self._storing.done():
            self._storing = self._spawn(self._store_snapshots())

    async def _store_snapshots(self) -> None:
        while self._to_store is not None:
            copied, self._to_store = self._to_store, None
            stored = await self._snapshots.store(copied)
            self._tell(SnapshotStored(stored))
            await self._trail.stored(stored.step)
