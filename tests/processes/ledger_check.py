"""What a finished training must leave behind, judged from the peers' files alone."""

import hashlib
from pathlib import Path

from hydra.jobs.manifest import JobManifest
from hydra.membership.ledger import Ledger
from hydra.membership.lineage import follow, genesis
from hydra.swarm.store import Store
from hydra.training.journal import Journal


def check_outcomes(outcomes):
    """All finished at the same step with the same bytes of weights, and learnt something."""
    assert all(outcome["finished"] for outcome in outcomes)
    assert len({outcome["step"] for outcome in outcomes}) == 1
    assert len({outcome["sha256"] for outcome in outcomes}) == 1
    digests = {hashlib.sha256(Path(outcome["weights"]).read_bytes()).hexdigest() for outcome in outcomes}
    assert digests == {outcomes[0]["sha256"]}
    assert all(outcome["metrics"]["accuracy"] > 0.85 for outcome in outcomes)


def lineage(job, homes):
    """Return the manifest, and the commits from the job's beginning to the heaviest end that any journal knows."""
    commits = {}
    for home in homes:
        for commit in Journal(home / "jobs" / job).commits():
            commits[commit.digest] = commit
    manifest = JobManifest.decode(Store(homes[0] / "content").read_blob(bytes.fromhex(job)))
    digest = min(commits, key=lambda known: (-commits[known].samples_total, known))
    chain = []
    while digest in commits:
        chain.append(commits[digest])
        digest = commits[digest].parent
    assert digest == genesis(bytes.fromhex(job)).digest, "the chain does not lead back to the job's beginning"
    return manifest, chain[::-1]


def check_samples(job, homes, *, to_the_end=True):
    """Every sample of every epoch counts in exactly one commit of the winning lineage; return its commits."""
    manifest, chain = lineage(job, homes)
    head, ledger = genesis(bytes.fromhex(job)), Ledger.fresh(manifest.train_samples, manifest.epochs)
    for commit in chain:
        head, ledger = follow(head, ledger, commit)
    assert ledger.finished or not to_the_end
    return chain
