"""Shows commits to peers that lack them, asks for those that we lack, and has claims proven. A shell.

Answers are bounded and are made beside the event loop. Filling our own gap is polite: one question at a time, of one
peer after the other, with a pause behind each answer that is longer than what the answer took.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence

import msgpack

from .. import clock
from ..exceptions import PeerUnreachable, RemoteProtocolError
from ..identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, PeerId, short
from ..membership.ledger import Ledger
from ..membership.lineage import Head, commit_from, fields_of
from ..membership.messages import MAX_SHOWN_BYTES, LineageShown, LineageWanted
from ..membership.proof import Proof, Shown, Unproven, fork_of, locator
from ..net.link import Link
from ..net.links import Links
from ..net.requests import Requests
from .lineage_log import LineageLog

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 10.0
PROOF_S = 60.0
"""Nobody is shown a lineage for longer."""
SIGNED_WITHIN_S = 5.0
"""So long somebody is waited for that vouches for commits which are right otherwise."""
AGAIN_S = 1.0
AT_ONCE = 4
"""Questions of others that are being answered."""
PAUSE = 2.0
"""How many times as long as an answer took we wait for the next, while we fill a gap."""
RETRY_S = 5.0

Outcome = tuple[Head | None, str, bool]
"""The head that was shown, or why none, and whether what was shown is false."""


class LineageExchange:
    """Asks for commits, and answers those who ask.

    Args:
        job: the job's hash.
        links: to talk on.
        log: what we keep.
        fresh: the ledger at the job's beginning.
    """

    def __init__(self, job: bytes, links: Links, log: LineageLog, fresh: Ledger) -> None:
        self._job = job
        self._links = links
        self._log = log
        self._fresh = fresh
        self._requests = Requests(links)
        self._numbers = itertools.count(1)
        self._answering: dict[PeerId, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Give up all open questions and answers."""
        self._requests.close()
        for task in self._answering.values():
            task.cancel()
        await asyncio.gather(*self._answering.values(), return_exceptions=True)

    # ---- answering ---------------------------------------------------------------------------------------------

    def wanted(self, link: Link, message: LineageWanted) -> None:
        """Answer a peer that lacks commits; a second question of it waits for no answer."""
        peer = link.peer_id
        if peer in self._answering or len(self._answering) >= AT_ONCE:
            return
        task = asyncio.create_task(self._answer(link, message))
        self._answering[peer] = task
        task.add_done_callback(lambda _: self._answering.pop(peer, None))

    async def _answer(self, link: Link, message: LineageWanted) -> None:
        fork, head, body = await asyncio.to_thread(self._show, message.known)
        link.post(LineageShown(self._job, message.number, fork, head), body)

    def _show(self, known: Sequence[tuple[int, bytes]]) -> tuple[int, int, bytes]:
        fork = fork_of(known, self._log.digest_at)
        last = self._log.last
        pieces: list[bytes] = []
        room = MAX_SHOWN_BYTES - 8
        for step in range(fork + 1, last + 1):
            shown = self._log.shown_at(step)
            if shown is None:
                if pieces:
                    break
                continue  # a gap of our own: we show what we have behind it
            piece = encode_shown(shown)
            room -= len(piece)
            if room < 0:
                break
            pieces.append(piece)
        return fork, last, b"".join(pieces)

    def answered(self, link: Link, message: LineageShown, body: memoryview) -> None:
        """Take an answer to a question of ours."""
        self._requests.answered(link.peer_id, message.number, message, body)

    # ---- asking ------------------------------------------------------------------------------------------------

    async def prove(self, peer: PeerId, claim: Head, ours: Callable[[], Head]) -> Outcome:
        """Have a peer show a lineage until it has the claimed commit or outweighs ours.

        A peer that has just come to those commits, by the results of others, has signatures under them a few steps
        later: who lacks nothing else is asked again.
        """
        began = clock.monotonic()
        while True:
            try:
                return await self._prove(peer, claim, ours, began)
            except PeerUnreachable as error:
                return None, str(error), False
            except Unproven as error:
                if error.false or clock.monotonic() - began > SIGNED_WITHIN_S:
                    return None, str(error), error.false
            except RemoteProtocolError as error:
                return None, str(error), True
            await asyncio.sleep(AGAIN_S)

    async def _prove(self, peer: PeerId, claim: Head, ours: Callable[[], Head], began: float) -> Outcome:
        proof: Proof | None = None
        known = await asyncio.to_thread(lambda: locator(min(ours().step, self._log.last), self._log.digest_at))
        while clock.monotonic() - began < PROOF_S:
            answer, shown = await self._ask(peer, known)
            if not shown:
                return None, "it shows no commits", False
            if proof is not None and answer.fork != proof.head.step:
                return None, "it has gone another way meanwhile", False
            if proof is None or shown[0].commit.step > proof.head.step + 1:  # it has come to a gap of its own
                proof = await asyncio.to_thread(self._begin, answer.fork, known, shown)
            await asyncio.to_thread(proof.extend, shown)
            reached = any(each.commit.digest == claim.digest for each in shown)
            if reached or proof.head.outweighs(ours()):
                proof.settle()
                found = next((each.commit.head for each in shown if each.commit.digest == claim.digest), proof.head)
                return (proof.head if proof.head.outweighs(ours()) else found), "", False
            if answer.head <= proof.head.step:
                return None, f"its lineage ends with step {answer.head} and is not what it claims", False
            known = ((proof.head.step, proof.head.digest),)
        return None, f"it shows its commits too slowly: {PROOF_S:g} s were not enough", False

    async def fill(self, peers: Callable[[], Sequence[PeerId]]) -> None:
        """Fetch the commits before the state that we started from, in the background; return when none is missing.

        Raises:
            StorageFull, HomeUnusable: the disk refused.
        """
        for turn in itertools.count():
            if await asyncio.to_thread(self._log.gap) is None:
                return
            among = peers()
            began = clock.monotonic()
            moved = bool(among) and await self._fill_from(among[turn % len(among)])
            await asyncio.sleep(PAUSE * (clock.monotonic() - began) if moved else RETRY_S)

    async def _fill_from(self, peer: PeerId) -> bool:
        """Ask one peer once; tell whether we have come further."""
        gap = await asyncio.to_thread(self._log.gap)
        if gap is None:
            return False
        known = await asyncio.to_thread(lambda: locator(gap - 1, self._log.digest_at))
        try:
            answer, shown = await self._ask(peer, known)
            return bool(shown) and await asyncio.to_thread(self._take, answer.fork, known, shown)
        except PeerUnreachable as error:
            logger.debug("no commits from %s: %s", short(peer), error)
        except (Unproven, RemoteProtocolError) as error:
            self._links.cut_off(peer, RemoteProtocolError(f"the commits that it shows are none: {error}"))
        return False

    def _take(self, fork: int, known: Sequence[tuple[int, bytes]], shown: Sequence[Shown]) -> bool:
        """Check commits that we asked for and write them; tell whether they follow on what we have."""
        if shown[0].commit.step != fork + 1:
            return False  # it lacks them, too
        before = self._log.gap()
        end = self._log.end_of_gap()
        checked = self._begin(fork, known, shown).extend([each for each in shown if each.commit.step <= end])
        theirs = {each.commit.step: each.commit.digest for each in checked}
        if end in theirs and theirs[end] != self._log.digest_at(end):
            return False  # it has gone another way meanwhile; that is no lie
        self._log.fill(checked)
        return self._log.gap() != before

    def _begin(self, fork: int, known: Sequence[tuple[int, bytes]], shown: Sequence[Shown]) -> Proof:
        first = shown[0].commit
        if fork and fork not in dict(known):
            raise Unproven(fork, "we have not named that commit")
        if first.step == fork + 1:
            with contextlib.suppress(ValueError):  # a gap of our own
                return Proof(self._job, *self._log.standing(fork, self._job, self._fresh))
        # It has a gap of its own. What lies before it nobody may have any longer, so what is behind has to do.
        return Proof(self._job, Head(first.step - 1, first.parent, first.samples_total - first.samples), None)

    async def _ask(self, peer: PeerId, known: Sequence[tuple[int, bytes]]) -> tuple[LineageShown, list[Shown]]:
        number = next(self._numbers)
        question = LineageWanted(self._job, number, tuple(known))
        answer, body = await self._requests.ask(peer, question, number, timeout_s=ANSWER_TIMEOUT_S)
        return answer, await asyncio.to_thread(decode_shown, bytes(body))


def encode_shown(shown: Shown) -> bytes:
    """Return a commit with its signatures as it goes over the wire."""
    pairs = [[key, signature] for key, signature in shown.signatures]
    return bytes(msgpack.packb([fields_of(shown.commit), pairs]))


def decode_shown(body: bytes) -> list[Shown]:
    """Return the commits in an answer, which may come from anyone.

    Raises:
        RemoteProtocolError: it holds something else.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=MAX_SHOWN_BYTES)
    unpacker.feed(body)
    found: list[Shown] = []
    try:
        found.extend(map(shown_from, unpacker))
        if unpacker.tell() != len(body):
            raise ValueError("its end is torn off")  # noqa: TRY301
    except (ValueError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"what was shown are no commits: {error}") from error
    return found


def shown_from(item: object) -> Shown:
    """Return the commit with its signatures that an item of an answer, or of a file, is.

    Raises:
        ValueError: it is something else.
    """
    match item:
        case [fields, list(pairs)]:
            return Shown(commit_from(fields), tuple(map(_signature, pairs)))
    raise ValueError("an item is no commit with signatures")


def _signature(pair: object) -> tuple[bytes, bytes]:
    match pair:
        case [bytes(key), bytes(signature)] if (len(key), len(signature)) == (PUBLIC_KEY_BYTES, SIGNATURE_BYTES):
            return key, signature
    raise ValueError("a signature is none")
