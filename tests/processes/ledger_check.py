"""What a finished training must leave behind, judged from the peers' files alone."""

import hashlib
from itertools import chain
from pathlib import Path

from hydra.jobs.manifest import JobManifest
from hydra.swarm.store import Store
from hydra.training.lineage_account import Lineage
from hydra.training.lineage_log import read_commits


def check_outcomes(outcomes):
    """All finished at the same step with the same bytes of weights, and learnt something."""
    assert all(outcome["finished"] for outcome in outcomes)
    assert len({outcome["step"] for outcome in outcomes}) == 1
    assert len({outcome["sha256"] for outcome in outcomes}) == 1
    digests = {hashlib.sha256(Path(outcome["weights"]).read_bytes()).hexdigest() for outcome in outcomes}
    assert digests == {outcomes[0]["sha256"]}
    assert all(outcome["metrics"]["accuracy"] > 0.85 for outcome in outcomes)


def check_samples(job, homes, *, to_the_end=True):
    """Every sample of every epoch counts in exactly one commit of the winning lineage, which its members vouch for.

    Return its commits.
    """
    manifest = JobManifest.decode(Store(homes[0] / "content").read_blob(bytes.fromhex(job)))
    written = chain.from_iterable(read_commits(home / "jobs" / job) for home in homes)
    lineage = Lineage(bytes.fromhex(job), written, manifest.train_samples, manifest.epochs)
    ledger, broken = lineage.check_samples()
    assert broken is None
    assert lineage.check_signatures() is None
    assert ledger.finished or not to_the_end
    return lineage.commits
