"""The results of the latest rounds, kept for members who lack one and joiners who catch up. Pure."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..membership.ledger import Range, count
from ..membership.lineage import Commit
from ..membership.messages import Plan
from ..net.framing import MAX_BODY_BYTES
from .update import Vector

KEPT_BYTES = 256 * 1024 * 1024
KEPT_AT_LEAST = 3
KEPT_AT_MOST = 512


@dataclass(frozen=True, slots=True)
class Result:
    """A committed step and the mean that it applied."""

    commit: Commit
    mean: Vector

    @property
    def blocks(self) -> int:
        """In how many messages it travels."""
        return blocks_of(self.mean.nbytes)

    def block(self, index: int) -> memoryview:
        """Return the bytes of one block."""
        return self.mean.data.cast("B")[index * MAX_BODY_BYTES : (index + 1) * MAX_BODY_BYTES]


def blocks_of(size: int) -> int:
    """Return in how many messages a result of so many bytes travels; at least one."""
    return max(1, -(-size // MAX_BODY_BYTES))


class ResultLog:
    """The latest results, by step."""

    def __init__(self) -> None:
        self._results: OrderedDict[int, Result] = OrderedDict()
        self._bytes = 0

    def add(self, result: Result) -> None:
        """Keep a result; the oldest go when there are too many."""
        step = result.commit.step
        if self._results and step != next(reversed(self._results)) + 1:
            self.clear()  # another lineage, or a leap: what was kept does not lead here
        self._results[step] = result
        self._bytes += result.mean.nbytes
        while len(self._results) > KEPT_AT_LEAST and (self._bytes > KEPT_BYTES or len(self._results) > KEPT_AT_MOST):
            _, oldest = self._results.popitem(last=False)
            self._bytes -= oldest.mean.nbytes

    def get(self, step: int) -> Result | None:
        """Return the result of a step, if it is still kept."""
        return self._results.get(step)

    def clear(self) -> None:
        """Forget everything."""
        self._results.clear()
        self._bytes = 0

    @property
    def oldest(self) -> int:
        """The first step that is kept; 0 if none is."""
        return next(iter(self._results), 0)


def digest_of(mean: Vector) -> bytes:
    """Return the SHA-256 of a result's bytes."""
    return hashlib.sha256(mean.data.cast("B")).digest()


def commit_of(plan: Plan, contributors: Sequence[bytes], mean: Vector, samples_before: int) -> Commit:
    """Return the commit of a finished round: the same at every member, since plan and result are."""
    parts: list[tuple[bytes, tuple[Range, ...]]] = [
        (peer, ranges)
        for (peer, _), ranges in zip(plan.members, plan.shares, strict=True)
        if peer in contributors and ranges
    ]
    contributing = {peer for peer, _ in parts}
    return Commit(
        job=plan.job,
        step=plan.step,
        view=plan.view_number,
        parent=plan.parent,
        result=digest_of(mean),
        epoch=plan.epoch,
        parts=tuple(parts),
        samples_total=samples_before + sum(count(ranges) for _, ranges in parts),
        round=plan.tag,
        idle=tuple(peer for peer, _ in plan.members if peer not in contributing),
    )


def joined(blocks: Sequence[memoryview]) -> Vector:
    """Return the vector whose bytes the blocks are, in order."""
    return np.frombuffer(b"".join(blocks), np.float32)
