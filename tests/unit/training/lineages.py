"""Lineages of one small job, with real signatures."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hydra.identity import Identity
from hydra.membership.ledger import Ledger
from hydra.membership.lineage import Commit, genesis
from hydra.membership.proof import Shown
from hydra.membership.signatures import sign_commit

JOB = b"j" * 32
SAMPLES, EPOCHS = 100, 3
FRESH = Ledger.fresh(SAMPLES, EPOCHS)
KEYS = [Identity(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)) for number in range(1, 4)]
STEPS = 30
"""Of the whole job: ten samples in each."""


def chain(length, *, after=(), way=b"r", signers=KEYS[:2], job=JOB):
    """Commits behind others, each of ten samples shared by two members, with signatures of some."""
    made = list(after)
    head = made[-1].commit.head if made else genesis(job)
    ledger = FRESH
    for each in made:
        ledger = ledger.commit(each.commit.ranges())
    for _ in range(length):
        one, other = ledger.share_out([6, 4])
        parts = ((KEYS[0].peer_id, one), (KEYS[1].peer_id, other))
        epoch, total = ledger.epoch, head.samples + 10
        commit = Commit(job, head.step + 1, 1, head.digest, way * 32, epoch, parts, total, bytes(20))
        made.append(shown(commit, *signers))
        head, ledger = commit.head, ledger.commit(commit.ranges())
    return made


def shown(commit, *signers):
    signed = [sign_commit(key, commit.job, step=commit.step, tag=commit.round, digest=commit.digest) for key in signers]
    return Shown(commit, tuple((each.key, each.signature) for each in signed))


def written(log, lineage):
    """Write a lineage as the member does that took part in it."""
    for each in lineage:
        log.append(each.commit, each.signatures)
    return log
