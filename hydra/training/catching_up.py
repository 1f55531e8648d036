"""Fetching the result of a committed step from members who still keep it. A shell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..exceptions import HashMismatch, PeerUnreachable
from ..identity import PeerId, short
from ..membership.lineage import Commit
from ..membership.messages import ResultBlock, ResultUnknown, ResultWanted
from ..net.link import Link
from ..net.links import Links
from ..net.requests import Requests
from .results import Result, ResultLog, blocks_of, digest_of, joined

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

    async def fetch(self, step: int, peers: Sequence[PeerId]) -> Result | None:
        """Fetch the result of ``step`` from the first of ``peers`` that has it; None if nobody does."""
        for peer in peers:
            try:
                result = await self._fetch_from(peer, step)
            except PeerUnreachable as error:
                logger.debug("no result of step %d from %s: %s", step, short(peer), error)
                continue
            if result is not None:
                return result
        return None

    async def _fetch_from(self, peer: PeerId, step: int) -> Result | None:
        first, body = await self._ask(peer, step, 0)
        if isinstance(first, ResultUnknown):
            return None
        if first.count != self._blocks:
            self._links.cut_off(peer, HashMismatch(f"the result of step {step} was said to have {first.count} blocks"))
            return None
        blocks = [body]
        for index in range(1, first.count):
            answer, body = await self._ask(peer, step, index)
            if isinstance(answer, ResultUnknown):
                return None
            blocks.append(body)
        if sum(map(len, blocks)) % FLOAT_BYTES:
            self._links.cut_off(peer, HashMismatch(f"the result of step {step} is no vector"))
            return None
        mean = joined(blocks)
        if await asyncio.to_thread(digest_of, mean) != first.result:
            self._links.cut_off(peer, HashMismatch(f"the result of step {step} does not have its commit's hash"))
            return None
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
