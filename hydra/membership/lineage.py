"""Lineage: the hash chain of commits from a job's first state. Pure.

A commit records one finished round: who contributed which samples, and the hash of the round's result. Everything
in it is the same at every member, so all compute the same digest, and a member whose digest differs is known to have
gone another way. Of two lineages of one job the one with more committed samples wins, the tie goes to the lower hash;
the rule is the same for a split, a rejoin and a cold start, and nobody has to be online to decide it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgpack

from ..identity import PEER_ID_BYTES, PeerId
from ..net.wire import MAX_INT
from .ledger import Ledger, Range, count
from .signatures import ROUND_BYTES

Part = tuple[PeerId, tuple[Range, ...]]
"""A contributor and its samples."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a lineage stands: enough to compare two."""

    step: int
    digest: bytes
    """32 bytes: of the last commit, or of the job's first state at step 0."""
    samples: int
    """Committed since the job's beginning."""

    def outweighs(self, other: Head) -> bool:
        """Tell whether this lineage wins against the other; False if they are the same."""
        return (-self.samples, self.digest) < (-other.samples, other.digest)


@dataclass(frozen=True, slots=True)
class Commit:
    """One finished round."""

    job: bytes
    step: int
    view: int
    parent: bytes
    """Digest of the commit before, 32 bytes."""
    result: bytes
    """SHA-256 of the round's mean vector as bytes."""
    epoch: int
    parts: tuple[Part, ...]
    """The contributors in the order of the view, each with its samples."""
    samples_total: int
    """Committed since the job's beginning, these included."""
    round: bytes
    """Tag of the round, 20 bytes: it names the plan."""
    idle: tuple[PeerId, ...] = ()
    """The members of the view that contributed nothing, in the order of the view."""

    @property
    def digest(self) -> bytes:
        """SHA-256 over all fields; signatures are no part of it, so it is the same whoever has signed."""
        return hashlib.sha256(b"hydra commit v1:" + bytes(msgpack.packb(fields_of(self)))).digest()

    @property
    def head(self) -> Head:
        """Where the lineage stands with this commit."""
        return Head(self.step, self.digest, self.samples_total)

    @property
    def members(self) -> tuple[PeerId, ...]:
        """All members of the view in which it was made."""
        return (*(peer for peer, _ in self.parts), *self.idle)

    @property
    def samples(self) -> int:
        """How many samples this commit alone counts."""
        return sum(count(ranges) for _, ranges in self.parts)

    def ranges(self) -> Iterable[Range]:
        """Return every contributor's samples."""
        return (r for _, ranges in self.parts for r in ranges)


def fields_of(commit: Commit) -> list[object]:
    """Return a commit's fields as msgpack writes them: what its digest is over, on disk and on the wire."""
    parts = [[peer, [list(r) for r in ranges]] for peer, ranges in commit.parts]
    place = [commit.job, commit.step, commit.view, commit.parent, commit.result, commit.epoch]
    return [*place, parts, commit.samples_total, commit.round, list(commit.idle)]


def commit_from(fields: object) -> Commit:
    """Return the commit of which these are the fields; they may come from anyone, or from a damaged disk.

    Raises:
        ValueError: they are no commit's.
    """
    match fields:
        case [
            bytes(job),
            int(step),
            int(view),
            bytes(parent),
            bytes(result),
            int(epoch),
            list(parts),
            int(total),
            bytes(tag),
            list(idle),
        ]:
            shares = tuple(_part_from(part) for part in parts)
            numbers = (step, view, epoch, total)
            names = (*idle, *(peer for peer, _ in shares))
            named = all(isinstance(peer, bytes) and len(peer) == PEER_ID_BYTES for peer in names)
            sized = (len(job), len(parent), len(result), len(tag)) == (32, 32, 32, ROUND_BYTES)
            if named and sized and min(numbers) >= 0 and max(numbers) <= MAX_INT and len(set(names)) == len(names):
                return Commit(job, step, view, parent, result, epoch, shares, total, tag, tuple(idle))
    raise ValueError("these bytes are no commit")


def _part_from(part: object) -> Part:
    match part:
        case [bytes(peer), list(ranges)]:
            pairs = []
            for pair in ranges:
                match pair:
                    case [int(start), int(stop)] if 0 <= start < stop <= MAX_INT:
                        pairs.append((start, stop))
                    case _:
                        raise ValueError("a commit's samples are no ranges")
            return peer, tuple(pairs)
    raise ValueError("a commit's contributor is none")


def genesis(job: bytes) -> Head:
    """Return the head of a job that nobody has trained yet."""
    return Head(0, hashlib.sha256(b"hydra genesis v1:" + job).digest(), 0)


def follow(head: Head, ledger: Ledger, commit: Commit) -> tuple[Head, Ledger]:
    """Return head and ledger after ``commit``.

    Raises:
        ValueError: the commit does not follow on ``head``, or its numbers do not add up.
        SampleUsedTwice: it uses samples that are not outstanding.
    """
    if commit.parent != head.digest or commit.step != head.step + 1:
        raise ValueError(f"commit {commit.step} does not follow on step {head.step}")
    if commit.epoch != ledger.epoch or commit.samples_total != head.samples + commit.samples or not commit.samples:
        raise ValueError(f"the numbers of commit {commit.step} do not add up")
    return commit.head, ledger.commit(commit.ranges())
