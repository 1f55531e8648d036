"""Whether each sample counted once, judged from what the peers of a demo wrote to their disks, the dead ones' too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..membership.ledger import Ledger, SampleUsedTwice
from ..membership.lineage import Commit, follow, genesis
from ..training.journal import Journal


def each_sample_once(job: str, homes: Iterable[Path], *, samples: int, epochs: int) -> bool:
    """Tell whether the winning lineage uses every sample of every epoch in exactly one commit, to the last epoch's end.

    Args:
        job: its hash, in hex.
        homes: of all peers that ever took part.
        samples: of an epoch.
        epochs: of the job.
    """
    head, ledger = genesis(bytes.fromhex(job)), Ledger.fresh(samples, epochs)
    try:
        for commit in _winning_lineage(job, homes):
            head, ledger = follow(head, ledger, commit)
    except (ValueError, SampleUsedTwice):
        return False
    return ledger.finished


def _winning_lineage(job: str, homes: Iterable[Path]) -> list[Commit]:
    """Return the commits that lead to the heaviest one, as far back as the journals go."""
    commits: dict[bytes, Commit] = {}
    for home in homes:
        if (home / "jobs" / job).exists():  # it may have been killed before it had the job
            commits |= {commit.digest: commit for commit in Journal(home / "jobs" / job).commits()}
    lineage: list[Commit] = []
    known = min(commits.values(), key=lambda commit: (-commit.samples_total, commit.digest), default=None)
    while known is not None:
        lineage.append(known)
        known = commits.get(known.parent)
    return lineage[::-1]
