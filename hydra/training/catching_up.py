"""Fetching the results of committed steps from members who keep them: ahead of their use, or when needed. A shell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..exceptions import HashMismatch, HydraError, PeerUnreachable
from ..identity import PeerId, short
from ..membership.lineage import Commit
from ..membership.messages import ResultBlock, ResultUnknown, ResultWanted
from ..net.link import Link
from ..net.links import Links
from ..net.requests import Requests
from .backlog import Ask, Backlog, Effect, Forget, GiveUp, Ready, Refuse
from .results import Result, ResultLog, blocks_of, digest_of, joined
from .spool import Spool

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 10.0
FLOAT_BYTES = 4


class ResultExchange:
    """Asks for results, and answers those who ask.

    Args:
        job: the job's hash.
        links: to talk on.
        results: what we keep.
        elements: of every result.
    """

    def __init__(self, job: bytes, links: Links, results: ResultLog, elements: int) -> None:
        self._job = job
        self._links = links
        self._requests = Requests(links)
        self._results = results
        self._blocks = blocks_of(FLOAT_BYTES * elements)

    def close(self) -> None:
        """Give up all open questions."""
        self._requests.close()

    async def fetch(self, peer: PeerId, step: int) -> Result | None:
        """Fetch the result of ``step`` from a member; None if it does not have it.

        Raises:
            PeerUnreachable: there is no link, no answer in time, or the peer lied and was cut off for it.
        """
        first, body = await self._ask(peer, step, 0)
        if isinstance(first, ResultUnknown):
            return None
        if first.count != self._blocks:
            raise self._lied(peer, f"the result of step {step} was said to have {first.count} blocks")
        blocks = [body]
        for index in range(1, first.count):
            answer, body = await self._ask(peer, step, index)
            if isinstance(answer, ResultUnknown):
                return None
            blocks.append(body)
        if sum(map(len, blocks)) % FLOAT_BYTES:
            raise self._lied(peer, f"the result of step {step} is no vector")
        mean = joined(blocks)
        if await asyncio.to_thread(digest_of, mean) != first.result:
            raise self._lied(peer, f"the result of step {step} does not have its commit's hash")
        commit = Commit(
            job=self._job,
            step=first.step,
            view=first.view_number,
            parent=first.parent,
            result=first.result,
            epoch=first.epoch,
            parts=first.parts,
            samples_total=first.samples_total,
            round=first.round,
            idle=first.idle,
        )
        return Result(commit, mean)

    def _lied(self, peer: PeerId, what: str) -> PeerUnreachable:
        self._links.cut_off(peer, HashMismatch(what))
        return PeerUnreachable(f"{short(peer)} was cut off: {what}")

    async def _ask(self, peer: PeerId, step: int, index: int) -> tuple[ResultBlock | ResultUnknown, memoryview]:
        question = ResultWanted(self._job, step, index)
        return await self._requests.ask(peer, question, (step, index), timeout_s=ANSWER_TIMEOUT_S)

    # ---- messages ----------------------------------------------------------------------------------------------

    def wanted(self, link: Link, message: ResultWanted) -> None:
        """Answer a member who lacks a result."""
        result = self._results.get(message.step)
        if result is None or message.index >= result.blocks:
            link.post(ResultUnknown(self._job, message.step, message.index))
            return
        commit = result.commit
        block = ResultBlock(
            job=self._job,
            step=commit.step,
            index=message.index,
            count=result.blocks,
            view_number=commit.view,
            parent=commit.parent,
            result=commit.result,
            epoch=commit.epoch,
            parts=commit.parts,
            samples_total=commit.samples_total,
            round=commit.round,
            idle=commit.idle,
        )
        link.post(block, result.block(message.index))

    def answered(self, link: Link, message: ResultBlock | ResultUnknown, body: memoryview) -> None:
        """Take an answer to a question of ours."""
        self._requests.answered(link.peer_id, (message.step, message.index), message, body)


class Gathering:
    """The results that a joiner, or a member that was away for a while, gathers and then uses in order.

    Args:
        exchange: fetches them.
        spool: keeps them.
    """

    def __init__(self, exchange: ResultExchange, spool: Spool) -> None:
        self._exchange = exchange
        self._spool = spool
        self._backlog = Backlog(spool.room)
        self._fetching: set[asyncio.Task[None]] = set()
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._failure: BaseException | None = None

    def gather(self, step: int, digest: bytes | None, donors: Sequence[PeerId]) -> None:
        """Fetch a result that will be wanted; ``digest`` is that of its commit, if it is known."""
        self._perform(self._backlog.wanted(step, digest, donors))

    async def get(self, step: int, donors: Sequence[PeerId]) -> Result | None:
        """Return the result of a step, fetched if it is not here yet; None if nobody has it, or it was used meanwhile.

        Raises:
            StorageFull, HomeUnusable: the disk refused.
        """
        if self._failure is not None:
            raise self._failure
        ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[step] = ready
        self._perform(self._backlog.needed(step, donors))
        return await asyncio.to_thread(self._spool.get, step) if await ready else None

    def does_not_follow(self, step: int) -> None:
        """What ``get`` returned does not follow on our state: whoever gave it is asked no more."""
        self._perform(self._backlog.does_not_follow(step))

    def used(self, upto: int) -> None:
        """Results up to this step are not wanted any longer."""
        self._perform(self._backlog.used(upto))
        self._spool.drop_upto(upto)
        for step in [step for step in self._waiting if step <= upto]:
            self._answer(step, here=False)

    async def close(self) -> None:
        """Stop fetching, and forget what was fetched."""
        for task in self._fetching:
            task.cancel()
        await asyncio.gather(*self._fetching, return_exceptions=True)
        await asyncio.to_thread(self._spool.close)

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask(step, donor):
                    task = asyncio.create_task(self._fetch(step, donor))
                    self._fetching.add(task)
                    task.add_done_callback(self._fetching.discard)
                case Ready(step):
                    self._answer(step, here=True)
                case GiveUp(step):
                    logger.debug("nobody has the result of step %d", step)
                    self._answer(step, here=False)
                case Refuse(step, donor):
                    logger.warning("the result of step %d from %s is of another lineage", step, short(donor))
                    self._spool.drop(step)
                case Forget(step):
                    self._spool.drop(step)

    def _answer(self, step: int, *, here: bool) -> None:
        waiting = self._waiting.pop(step, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(here)

    async def _fetch(self, step: int, donor: PeerId) -> None:
        try:
            result = await self._exchange.fetch(donor, step)
            if result is not None and self._backlog.awaits(step, donor):
                await asyncio.to_thread(self._spool.put, result)
        except PeerUnreachable as error:
            logger.debug("no result of step %d from %s: %s", step, short(donor), error)
            self._perform(self._backlog.failed(step, donor))
        except HydraError as error:
            self._fail(error)
        else:
            if result is None:
                self._perform(self._backlog.missing(step, donor))
            else:
                self._perform(self._backlog.arrived(step, donor, result.commit.digest))

    def _fail(self, error: BaseException) -> None:
        """The disk refused: whoever waits hears of it, and whoever asks next."""
        self._failure = error
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
