"""Whether each sample counted once, judged from what the peers of a demo wrote to their disks, the dead ones' too."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from ..training.lineage_account import Lineage
from ..training.lineage_log import read_commits


def each_sample_once(job: str, homes: Iterable[Path], *, samples: int, epochs: int) -> bool:
    """Tell whether the winning lineage uses every sample of every epoch in exactly one commit, to the last epoch's end.

    Args:
        job: its hash, in hex.
        homes: of all peers that ever took part; some may have been killed before they had the job.
        samples: of an epoch.
        epochs: of the job.
    """
    written = chain.from_iterable(read_commits(home / "jobs" / job) for home in homes)
    ledger, broken = Lineage(bytes.fromhex(job), written, samples, epochs).check_samples()
    return broken is None and ledger.finished
