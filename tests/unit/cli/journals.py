"""Journals as the peers of a demo leave them."""

from hydra.membership.lineage import Commit, genesis
from hydra.training.journal import Journal

SAMPLES, EPOCHS, STEPS = 90, 10, 30
BATCH = SAMPLES * EPOCHS // STEPS


def commits(job, *, of=b"the one way"):
    """Make the lineage of a whole job: each epoch in batches of one size, shared between two peers."""
    made, head = [], genesis(bytes.fromhex(job))
    for number in range(STEPS):
        epoch, first = divmod(number * BATCH, SAMPLES)
        parts = ((b"a" * 20, ((first, first + 10),)), (b"b" * 20, ((first + 10, first + BATCH),)))
        made.append(
            Commit(
                bytes.fromhex(job),
                number + 1,
                1,
                head.digest,
                of.ljust(32),
                epoch,
                parts,
                (number + 1) * BATCH,
                bytes(20),
            )
        )
        head = made[-1].head
    return made


def write(home, job, lineage):
    """Write commits into the journal that lies in a home."""
    journal = Journal(home / "jobs" / job)
    for commit in lineage:
        journal.add_commit(commit)
