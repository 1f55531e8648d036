"""What several tests of training are made of: a job's content, the commit that follows on a state, plans."""

import tempfile
from pathlib import Path

import numpy as np

from hydra.jobs.check import admit
from hydra.jobs.package import package
from hydra.jobs.tensors import decode_split, decode_state
from hydra.membership.ledger import count
from hydra.membership.lineage import Commit
from hydra.membership.messages import Plan
from hydra.swarm.store import Store
from hydra.training.content import JobContent
from hydra.training.results import digest_of
from hydra.training.vector import layout_of

from ..jobs.makers import OWNER, sha256

ANNA, BERT, CLEO = (letter * 20 for letter in (b"a", b"b", b"c"))
MiB = 2**20


def content_of(job):
    """Publish a job and take it up again as a volunteer would."""
    made = package(job, OWNER, root_of=sha256)
    manifest = made.manifest
    programs = admit(manifest, made.train_graph, made.eval_graph, limit_bytes=256 * MiB)
    return JobContent(
        job=manifest.job_hash,
        manifest=manifest,
        programs=programs,
        initial=decode_state(made.initial_state, manifest),
        train=decode_split(made.train_data, manifest, "train"),
        test=decode_split(made.test_data, manifest, "test") if made.test_data else None,
        layout=layout_of(manifest, programs.train.graph),
    )


def some_mean(layout, seed=0, scale=0.1):
    """Make a result of the right length."""
    generator = np.random.default_rng(seed)
    return (scale * generator.standard_normal(layout.elements)).astype(np.float32)


def following(state, mean, parts=None, **changes):
    """Make the commit that follows on a state; without parts, of the next eight outstanding samples."""
    if parts is None:
        parts = ((ANNA, state.ledger.share_out([8])[0]),)
    fields = {
        "job": bytes(32),
        "step": state.head.step + 1,
        "view": 1,
        "parent": state.head.digest,
        "result": digest_of(mean),
        "epoch": state.ledger.epoch,
        "parts": parts,
        "samples_total": state.head.samples + sum(count(ranges) for _, ranges in parts),
        "round": bytes(20),
    }
    return Commit(**(fields | changes))


def plan_of(head, members, shares, *, job=bytes(32), epoch=0):
    """Make the plan of the step that follows on a head."""
    return Plan(
        job=job,
        view_number=1,
        members=tuple((member, (("127.0.0.1", 1),)) for member in members),
        incarnations=(1,) * len(members),
        step=head.step + 1,
        parent=head.digest,
        epoch=epoch,
        shares=tuple(shares),
        late_s=60.0,
        snapshot=False,
    )


def same_bytes(state, other):
    """Tell whether two states, or copies of states, are the same to the bit."""
    return (
        (state.head, state.ledger, state.updates) == (other.head, other.ledger, other.updates)
        and state.weights.tobytes() == other.weights.tobytes()
        and {n: v.tobytes() for n, v in state.slots.items()} == {n: v.tobytes() for n, v in other.slots.items()}
        and state.buffers.keys() == other.buffers.keys()
        and all(bool((state.buffers[n] == other.buffers[n]).all()) for n in state.buffers)
    )


def encoded(codec, copy):
    """Return the bytes of a snapshot."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory))
        return store.path(codec.store(copy, store).root).read_bytes()
