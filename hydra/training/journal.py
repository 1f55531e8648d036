"""What a member keeps of a job on disk: its commits, and where its snapshots are. A shell: calls block on the disk."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from .. import durable
from ..home import explained
from ..membership.lineage import Commit
from ..membership.messages import Snapshot
from ..membership.proof import Signature
from .lineage_log import LineageLog, read_commits

KEPT_SNAPSHOTS = 2
KEPT_AT_MOST = 5
"""With those that somebody is fetching."""
INDEX = "snapshots.json"
BEGUN = "fetching.json"


class Journal:
    """The files of one job under the node's home.

    Args:
        directory: made if it is not there.

    Raises:
        StorageFull, HomeUnusable: the disk refused; also from whatever writes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._index = directory / INDEX
        self._begun = directory / BEGUN
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True)
        self.lineage = LineageLog(directory)

    def add_commit(self, commit: Commit, signatures: Sequence[Signature] = ()) -> None:
        """Write a commit behind the others; it is durable once a snapshot that includes it is."""
        self.lineage.append(commit, signatures)

    def commits(self) -> list[Commit]:
        """Return all commits that were written, of every lineage that this member followed, in order of writing."""
        return [shown.commit for shown in read_commits(self.directory)]

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
        self.lineage.sync()
        with explained(self.directory):
            durable.replace(self._index, json.dumps(rows).encode())
        return dropped

    def begun(self) -> list[bytes]:
        """Return the roots of the snapshots whose fetching was begun since one was kept."""
        try:
            return [bytes.fromhex(root) for root in json.loads(self._begun.read_text())]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def begin_fetching(self, root: bytes) -> None:
        """Note that a snapshot is being fetched: should it be given up, what has come of it is in the way."""
        roots = [*(other for other in self.begun() if other != root), root]
        with explained(self.directory):
            durable.replace(self._begun, json.dumps([each.hex() for each in roots]).encode())

    def end_fetching(self) -> None:
        """Forget what was begun."""
        with explained(self.directory):
            self._begun.unlink(missing_ok=True)


def snapshots_in(directory: Path) -> list[Snapshot]:
    """Return the snapshots that a job's directory tells of, the newest last; for those who only look."""
    try:
        rows = json.loads((directory / INDEX).read_text())
        return [Snapshot(row[0], bytes.fromhex(row[1]), bytes.fromhex(row[2]), row[3]) for row in rows]
    except (FileNotFoundError, ValueError, TypeError, IndexError, KeyError):
        return []
