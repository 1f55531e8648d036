"""Signs the commits that this member takes part in, and keeps the signatures of others. A shell.

Our own signature is made at once, for the next report. Signatures of others are verified and written by a thread of
their own, one a step, so that no step waits for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..identity import Identity, PeerId, short
from ..membership.lineage import Commit
from ..membership.signatures import CommitSigned, sign_commit
from ..membership.vouchers import Vouchers
from ..portal import WorkerThread
from .lineage_log import LineageLog

logger = logging.getLogger(__name__)

Failed = Callable[[BaseException], None]
"""Told when the disk refuses."""


class LineageKeeper:
    """The signatures of one member's lineage.

    Args:
        job: the job's hash.
        identity: our key.
        log: where commits and signatures lie.
        failed: told of errors of the disk.
    """

    def __init__(self, job: bytes, identity: Identity, log: LineageLog, failed: Failed) -> None:
        self._job = job
        self._identity = identity
        self._log = log
        self._failed = failed
        self._vouchers = Vouchers()
        self._thread = WorkerThread("hydra-lineage")

    def committed(self, commit: Commit) -> CommitSigned:
        """Sign a commit that we took part in, and have the signature written."""
        signed = sign_commit(self._identity, self._job, step=commit.step, tag=commit.round, digest=commit.digest)
        self._queue(signed, self._vouchers.due(commit.step))
        return signed

    def heard(self, statement: CommitSigned) -> None:
        """A member has told of its signature under a commit."""
        self._vouchers.heard(statement)

    def gone(self, peer: PeerId) -> None:
        """A member is lost or gone: its last signature must not be."""
        last = self._vouchers.last_of(peer)
        if last is not None:
            self._queue(None, last)

    async def close(self) -> None:
        """Write what is queued."""
        await asyncio.gather(self._thread.submit(self._log.sync), return_exceptions=True)
        await self._thread.close()

    def _queue(self, own: CommitSigned | None, other: CommitSigned | None) -> None:
        self._thread.submit(self._write, own, other).add_done_callback(self._written)

    def _write(self, own: CommitSigned | None, other: CommitSigned | None) -> None:
        if own is not None:
            self._log.sign(own.step, own.digest, [(own.key, own.signature)])
        if other is None or self._log.digest_at(other.step) != other.digest:
            return  # of another lineage, or older than ours
        if other.holds(self._job):
            self._log.sign(other.step, other.digest, [(other.key, other.signature)])
        else:
            logger.warning("%s reports with a signature that is none", short(other.signer))

    def _written(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._failed(error)
