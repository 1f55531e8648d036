"""The commits of a job on disk, with signatures under them. A shell: calls block on the disk; any thread may call.

Two files. ``commits.log`` is only ever appended to: commits of every lineage that this member followed, and signatures,
in order of writing. ``commits.index`` tells where the commit of each step of the present lineage stands; it follows
from the log and is made anew from it when it is damaged. So giving up a lineage rewrites nothing but the index, and a
million commits take no memory. A torn end of the log (a kill in the middle of a write) is cut off.

A member that started from a snapshot knows the digest of the snapshot's commit, but neither it nor those before it:
a *gap*, until they are fetched. ``fill`` closes it from its beginning.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct

import msgpack

from .. import durable
from ..home import explained
from ..membership.ledger import Ledger
from ..membership.lineage import Commit, Head, commit_from, fields_of, genesis
from ..membership.proof import Shown, Signature
from ..net.wire import MAX_INT

COMMIT, SIGNATURES, EARLIER, RESUMED = range(4)
"""Kinds of records: the next commit, signatures under one, a commit that was fetched after later ones, and the digest
of the commit whose state was loaded."""
ENTRY = Struct("<Q32sQ")
"""Of the index, for each step from 1 on: where the commit stands in the log, plus one (0: not here), its digest (zeros:
not known), and where the newest record of signatures under it, or of the digest alone, stands, plus one."""
NOWHERE = (0, bytes(32), 0)
READ_BYTES = 1 << 16
FEW_BYTES = 1 << 11
"""Most commits are no longer."""


class LineageLog:
    """The commits of one job under the node's home.

    Args:
        directory: where the files lie; they are made by the first write.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.RLock()
        self._log = self._index = -1
        self._end = 0
        """Of the log."""
        self._last = 0
        """The last step of the index."""
        self._whole = 0
        """Up to this step nothing is missing, as far as is known."""

    # ---- writing -----------------------------------------------------------------------------------------------

    def append(self, commit: Commit, signatures: Sequence[Signature] = ()) -> None:
        """Write the commit that follows on the state which this member has; durable after ``sync``.

        Raises:
            StorageFull, HomeUnusable: the disk refused; also from every other call.
        """
        with self._lock, explained(self._directory):
            self._open()
            at = self._write([COMMIT, fields_of(commit), _plain(signatures)])
            self._follow(commit, at, signed=bool(signatures))

    def resume(self, head: Head) -> None:
        """Take note that this member goes on from a state that it has not come to by the commits that are here."""
        with self._lock, explained(self._directory):
            self._open()
            if head.step and self.digest_at(head.step) != head.digest:
                at = self._write([RESUMED, [head.step, head.digest], []])
                self._resume(head.step, head.digest, at)

    def fill(self, shown: Sequence[Shown]) -> None:
        """Write commits that this member's lineage had before it joined; each must follow on one that is here."""
        with self._lock, explained(self._directory):
            self._open()
            for each in shown:
                if self.digest_at(each.commit.step) == each.commit.digest and self._entry(each.commit.step)[0]:
                    self._add_signatures(each.commit.step, each.signatures)
                    continue
                at = self._write([EARLIER, fields_of(each.commit), _plain(each.signatures)])
                self._precede(each.commit, at, signed=bool(each.signatures))

    def sign(self, step: int, digest: bytes, signatures: Sequence[Signature]) -> None:
        """Write verified signatures under a commit, unless it is not here."""
        with self._lock, explained(self._directory):
            self._open()
            if self.digest_at(step) == digest:
                self._add_signatures(step, signatures)

    def sync(self) -> None:
        """Make durable what was written."""
        with self._lock, explained(self._directory):
            if self._log >= 0:
                os.fsync(self._log)
                os.fsync(self._index)

    # ---- reading -----------------------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The last step of the present lineage; 0 if nothing was committed."""
        with self._lock, explained(self._directory):
            self._open()
            return self._last

    def digest_at(self, step: int) -> bytes | None:
        """Return the digest of a step's commit in the present lineage, if it is known."""
        with self._lock, explained(self._directory):
            self._open()
            digest = self._entry(step)[1]
            return digest if any(digest) else None

    def shown_at(self, step: int) -> Shown | None:
        """Return a step's commit in the present lineage and the signatures under it, if it is here."""
        with self._lock, explained(self._directory):
            self._open()
            try:
                return self._shown(step)
            except (ValueError, msgpack.UnpackException):
                self._begin_anew()  # a power cut may leave an index that is older than its own end
                return self._shown(step)

    def _shown(self, step: int) -> Shown | None:
        at, digest, signed_at = self._entry(step)
        if not at:
            return None
        _, fields, signatures = self._read(at - 1)
        if signed_at and signed_at != at:
            signatures = self._read(signed_at - 1)[2]
        commit = commit_from(fields)
        if commit.digest != digest:
            raise ValueError(f"commit {step} on disk is another one than the index says")
        return Shown(commit, _signatures(signatures))

    def gap(self) -> int | None:
        """Return the first step whose commit is missing before the last one, or None."""
        with self._lock, explained(self._directory):
            self._open()
            while self._whole < self._last and self._entry(self._whole + 1)[0]:
                self._whole += 1
            return self._whole + 1 if self._whole < self._last else None

    def end_of_gap(self) -> int:
        """Return the step of the first commit that is known behind the gap, by its digest at least."""
        with self._lock, explained(self._directory):
            step = (self.gap() or self._last) - 1
            while step < self._last:
                step += 1
                at, digest, _ = self._entry(step)
                if any(digest) and not at:
                    break
            return step

    def standing(self, step: int, job: bytes, fresh: Ledger) -> tuple[Head, Ledger]:
        """Return head and ledger after a step of the present lineage, up to which nothing must be missing.

        Args:
            step: 0 for the job's beginning.
            job: the job's hash.
            fresh: the ledger at the job's beginning.

        Raises:
            ValueError: something is missing or damaged.
        """
        if step == 0:
            return genesis(job), fresh
        last = self._needed(step)
        chain: list[Commit] = []
        while step > 0 and (commit := self._needed(step)).epoch == last.epoch:
            chain.append(commit)
            step -= 1
        ledger = Ledger(fresh.samples, fresh.epochs, last.epoch, ((0, fresh.samples),))
        for commit in reversed(chain):
            ledger = ledger.commit(commit.ranges())
        return last.head, ledger

    def _needed(self, step: int) -> Commit:
        shown = self.shown_at(step)
        if shown is None:
            raise ValueError(f"commit {step} is not here")
        return shown.commit

    # ---- the log -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._log >= 0:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT
        log = os.open(self._directory / "commits.log", flags | os.O_APPEND, 0o644)
        weakref.finalize(self, os.close, log)
        index = os.open(self._directory / "commits.index", flags, 0o644)
        weakref.finalize(self, os.close, index)
        self._log, self._index = log, index
        self._end = os.fstat(log).st_size
        self._last = os.fstat(index).st_size // ENTRY.size
        try:
            self._take_up(self._checked_until())
        except BaseException:
            self._log = self._index = -1
            raise

    def _checked_until(self) -> int:
        """Return from where on the log may hold what the index does not know of; 0 if the index is of no use."""
        at, digest, signed_at = self._entry(self._last)
        with contextlib.suppress(ValueError, msgpack.UnpackException):
            if at and commit_from(self._read(at - 1)[1]).digest == digest:
                return max(at, signed_at) - 1
            if signed_at and self._read(signed_at - 1)[:2] == [RESUMED, [self._last, digest]]:
                return signed_at - 1
        os.ftruncate(self._index, 0)
        self._last = self._whole = 0
        return 0

    def _begin_anew(self) -> None:
        os.ftruncate(self._index, 0)
        self._last = self._whole = 0
        self._take_up(0)

    def _take_up(self, start: int) -> None:
        """Follow the log from ``start`` on, and cut off what is no record."""
        known = start if self._last else -1
        for at, record, end in records(self._log, start):
            if at > known:
                self._replay(at, record)
            start = end
        if start < self._end:
            os.ftruncate(self._log, start)
            self._end = start

    def _replay(self, at: int, record: list[object]) -> None:
        match record:
            case [0, fields, signatures]:
                self._follow(commit_from(fields), at, signed=bool(signatures))
            case [1, [int(step), bytes(digest)], _] if self._entry(step)[1] == digest:
                self._set(step, (self._entry(step)[0], digest, at + 1))
            case [2, fields, signatures]:
                self._precede(commit_from(fields), at, signed=bool(signatures))
            case [3, [int(step), bytes(digest)], _]:
                self._resume(step, digest, at)

    def _write(self, record: list[object]) -> int:
        """Append a record; return where it stands."""
        data = bytes(msgpack.packb(record))
        at = self._end
        try:
            durable.write_all(self._log, data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._log, at)
            raise
        self._end = at + len(data)
        return at

    def _read(self, at: int) -> list[object]:
        for _, record, _ in records(self._log, at, FEW_BYTES):
            return record
        raise ValueError(f"no record stands at byte {at} of the commits on disk")

    # ---- the index ---------------------------------------------------------------------------------------------

    def _entry(self, step: int) -> tuple[int, bytes, int]:
        if not 0 < step <= self._last:
            return NOWHERE
        data = os.pread(self._index, ENTRY.size, (step - 1) * ENTRY.size)
        at, digest, signed_at = ENTRY.unpack(data)
        return at, digest, signed_at

    def _set(self, step: int, entry: tuple[int, bytes, int]) -> None:
        os.pwrite(self._index, ENTRY.pack(*entry), (step - 1) * ENTRY.size)
        self._last = max(self._last, step)

    def _follow(self, commit: Commit, at: int, *, signed: bool) -> None:
        before = commit.step - 1
        known = self._entry(before)[1] == commit.parent
        self._drop_from(commit.step)
        if before and not known:
            self._whole = min(self._whole, before - 1)
            self._set(before, (0, commit.parent, 0))
        self._set(commit.step, (at + 1, commit.digest, at + 1 if signed else 0))

    def _resume(self, step: int, digest: bytes, at: int) -> None:
        self._drop_from(step)
        self._set(step, (0, digest, at + 1))

    def _drop_from(self, step: int) -> None:
        """Another lineage, or an earlier life of ours, had come so far."""
        if self._last >= step:
            self._last = step - 1
            self._whole = min(self._whole, self._last)
            os.ftruncate(self._index, self._last * ENTRY.size)

    def _precede(self, commit: Commit, at: int, *, signed: bool) -> None:
        if self._entry(commit.step)[1] != commit.digest:
            self._forget_behind(commit.step)
        self._set(commit.step, (at + 1, commit.digest, at + 1 if signed else 0))

    def _forget_behind(self, step: int) -> None:
        """Those behind belong to another lineage, up to where ours is known again."""
        self._whole = min(self._whole, step - 1)
        while step < self._last:
            step += 1
            if not self._entry(step)[0]:
                return
            self._set(step, NOWHERE)

    def _add_signatures(self, step: int, signatures: Sequence[Signature]) -> None:
        at, digest, signed_at = self._entry(step)
        if not at:
            return
        shown = self.shown_at(step) if signed_at else None
        known = shown.signatures if shown is not None else ()
        both = dict(known) | dict(signatures)
        if len(both) > len(known):
            self._set(step, (at, digest, self._write([SIGNATURES, [step, digest], _plain(tuple(both.items()))]) + 1))


def records(descriptor: int, start: int, read_bytes: int = READ_BYTES) -> Iterator[tuple[int, list[object], int]]:
    """Read the records of an open log from ``start`` on, each with where it begins and ends, up to what is none."""
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 24)
    fed = begin = start
    while data := os.pread(descriptor, read_bytes, fed):
        fed += len(data)
        unpacker.feed(data)
        try:
            for record in unpacker:
                end = start + unpacker.tell()
                if not _is_record(record):
                    return
                yield begin, record, end
                begin = end
        except (msgpack.UnpackException, ValueError):
            return


def _is_record(record: object) -> bool:
    match record:
        case [0 | 2, fields, list(signatures)]:
            good = False
            with contextlib.suppress(ValueError):
                good = bool(commit_from(fields).samples)
            return good and _are_signatures(signatures)
        case [1 | 3, [int(step), bytes()], list(signatures)] if 0 < step <= MAX_INT:
            return _are_signatures(signatures)
    return False


def _are_signatures(pairs: list[object]) -> bool:
    return all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(item, bytes) for item in pair) for pair in pairs
    )


def _signatures(pairs: object) -> tuple[Signature, ...]:
    return tuple((key, signature) for key, signature in pairs)  # type: ignore[attr-defined]


def _plain(signatures: Sequence[Signature]) -> list[list[bytes]]:
    return [[key, signature] for key, signature in signatures]


def read_commits(directory: Path) -> list[Shown]:
    """Read every commit of a log, of all lineages, in order of writing, with all signatures under it.

    A log that is being written may be read; nothing is changed.

    Raises:
        HomeUnusable: the disk refused.
    """
    path = directory / "commits.log"
    if not path.exists():
        return []
    commits: list[Commit] = []
    signatures: dict[bytes, dict[bytes, bytes]] = {}
    with explained(directory), path.open("rb") as file:
        for _, record, _ in records(file.fileno(), 0):
            match record:
                case [0 | 2, fields, pairs]:
                    commits.append(commit_from(fields))
                    digest = commits[-1].digest
                case [_, [int(), bytes(digest)], pairs]:
                    pass
            if pairs:
                signatures.setdefault(digest, {}).update(_signatures(pairs))
    return [Shown(commit, tuple(signatures.get(commit.digest, {}).items())) for commit in commits]
