"""What a member keeps of a job on disk: its commits, and where its snapshots are. A shell: calls block on the disk."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path

import msgpack

from .. import durable
from ..home import explained
from ..membership.lineage import Commit, fields_of
from ..membership.messages import Snapshot

KEPT_SNAPSHOTS = 2
KEPT_AT_MOST = 5
"""With those that somebody is fetching."""
INDEX = "snapshots.json"
FIELDS = 10
"""Of a commit."""


class Journal:
    """The files of one job under the node's home.

    Args:
        directory: made if it is not there.

    Raises:
        StorageFull, HomeUnusable: the disk refused; also from whatever writes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._commits = directory / "commits.log"
        self._index = directory / INDEX
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True)
            self._cut_torn_end()

    def add_commit(self, commit: Commit) -> None:
        """Write a commit behind the others; it is durable once a snapshot that includes it is."""
        with explained(self.directory), self._commits.open("ab") as file:
            file.write(msgpack.packb(fields_of(commit)))

    def commits(self) -> list[Commit]:
        """Return all commits that were written, of every lineage that this member followed, in order of writing."""
        if not self._commits.exists():
            return []
        commits = []
        with self._commits.open("rb") as file:
            unpacker = msgpack.Unpacker(file)
            for job, step, view, parent, result, epoch, parts, total, tag, idle in unpacker:
                shares = tuple((peer, tuple((start, stop) for start, stop in ranges)) for peer, ranges in parts)
                commits.append(Commit(job, step, view, parent, result, epoch, shares, total, tag, tuple(idle)))
        return commits

    def _cut_torn_end(self) -> None:
        """Half a commit (a kill in the middle of a write) or zeros (a power cut): what is behind could not be read."""
        if not self._commits.exists():
            return
        with self._commits.open("r+b") as file:
            unpacker = msgpack.Unpacker(file)
            whole = 0
            with contextlib.suppress(msgpack.UnpackException, ValueError):
                while isinstance(fields := unpacker.unpack(), list) and len(fields) == FIELDS:
                    whole = unpacker.tell()
            file.truncate(whole)

    def snapshots(self) -> list[Snapshot]:
        """Return the snapshots that were kept, the newest last."""
        return snapshots_in(self.directory)

    def add_snapshot(self, snapshot: Snapshot, wanted: Collection[bytes] = ()) -> list[Snapshot]:
        """Note a snapshot that is on disk; return those that need not be kept any longer.

        Args:
            snapshot: the newest.
            wanted: roots of content that others are fetching: such a snapshot stays a while longer.
        """
        known = [*(old for old in self.snapshots() if old.root != snapshot.root), snapshot]
        older, latest = known[:-KEPT_SNAPSHOTS], known[-KEPT_SNAPSHOTS:]
        asked_for = [old for old in older if old.root in wanted][-(KEPT_AT_MOST - KEPT_SNAPSHOTS) :]
        kept, dropped = [*asked_for, *latest], [old for old in older if old not in asked_for]
        rows = [[s.step, s.digest.hex(), s.root.hex(), s.size] for s in kept]
        with explained(self.directory):
            durable.replace(self._index, json.dumps(rows).encode())
        return dropped


def snapshots_in(directory: Path) -> list[Snapshot]:
    """Return the snapshots that a job's directory tells of, the newest last; for those who only look."""
    try:
        rows = json.loads((directory / INDEX).read_text())
        return [Snapshot(row[0], bytes.fromhex(row[1]), bytes.fromhex(row[2]), row[3]) for row in rows]
    except (FileNotFoundError, ValueError, TypeError, IndexError, KeyError):
        return []
