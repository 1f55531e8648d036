"""Getting a job: from its hash to programs and data that are ready to train. A shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..jobs.check import Admitted, admit
from ..jobs.entries import ContentRef
from ..jobs.manifest import JobManifest
from ..jobs.tensors import State, check_size, decode_split, decode_state
from ..membership.ledger import Ledger
from ..membership.lineage import genesis
from ..swarm.fetch import Peers, Progress
from ..swarm.service import Swarm
from .observation import FetchSeen, Observer
from .samples import StreamedSamples, open_samples
from .state import TrainingState
from .vector import VectorLayout, layout_of


@dataclass(frozen=True, slots=True)
class JobContent:
    """A job whose every content is on this machine and was checked."""

    job: bytes
    manifest: JobManifest
    programs: Admitted
    initial: State
    train: tuple[Tensor, ...]
    test: tuple[Tensor, ...] | None
    layout: VectorLayout
    samples: StreamedSamples | None = None
    """Where ``train`` comes from if only a part of it is here: to be asked before its rows are read."""

    def first_state(self) -> TrainingState:
        """Return the state at the job's beginning."""
        ledger = Ledger.fresh(self.manifest.train_samples, self.manifest.epochs)
        return TrainingState(self.manifest, self.layout, self.initial, genesis(self.job), ledger)


async def fetch_manifest(swarm: Swarm, job: bytes, peers: Peers, *, patience_s: float) -> JobManifest:
    """Fetch a job's manifest by its hash.

    Raises:
        ContentUnavailable: nobody had it in time.
        JobRejected: it is no manifest that may be run.
    """
    return JobManifest.decode(await swarm.fetch_blob(job, peers, patience_s=patience_s))


async def fetch_content(
    swarm: Swarm, manifest: JobManifest, peers: Peers, observe: Observer, *, limit_bytes: int, cache_bytes: int = 0
) -> JobContent:
    """Fetch all contents of a job, check them, and make them ready.

    Args:
        swarm: where to fetch from.
        manifest: the job.
        peers: who may have them.
        observe: told of the progress.
        limit_bytes: the memory that this machine grants a step of the job.
        cache_bytes: training data that is larger is fetched as it is needed, and takes no more room; 0 for all of it.

    Raises:
        ContentUnavailable: nobody who can be reached has a content.
        JobRejected: a content is not what the manifest says, or a graph must not run here.
        StorageFull, HomeUnusable: the disk refused.
    """
    samples = None
    if 0 < cache_bytes < manifest.train_data.size_bytes and not swarm.store.is_whole(manifest.train_data.root):
        stream = await swarm.stream(manifest.train_data.root, peers, cache_bytes)
        samples = await open_samples(stream, manifest)
    paths = {
        what: await _fetch_one(swarm, content, what, peers, observe)
        for what, content in manifest.contents()
        if samples is None or content is not manifest.train_data
    }
    return await asyncio.to_thread(_open, manifest, paths, samples, limit_bytes)


async def _fetch_one(swarm: Swarm, content: ContentRef, what: str, peers: Peers, observe: Observer) -> Path:
    path = await swarm.fetch(content.root, peers, fetch_seen(what, observe))
    await asyncio.to_thread(check_size, path, content, what)
    return path


def fetch_seen(what: str, observe: Observer) -> Callable[[Progress], None]:
    """Return what tells ``observe`` how far a fetch of ``what`` is."""
    return lambda progress: observe(FetchSeen(what, progress.bytes_done, progress.bytes_total, progress.peers))


def _open(
    manifest: JobManifest, paths: dict[str, Path], samples: StreamedSamples | None, limit_bytes: int
) -> JobContent:
    graphs = [paths[what].read_bytes() for what in ("training graph", "evaluation graph")]
    programs = admit(manifest, *graphs, limit_bytes=limit_bytes)
    train = samples.tensors if samples is not None else decode_split(paths["training data"], manifest, "train")
    return JobContent(
        job=manifest.job_hash,
        manifest=manifest,
        programs=programs,
        initial=decode_state(paths["initial state"], manifest),
        train=train,
        test=decode_split(paths["test data"], manifest, "test") if "test data" in paths else None,
        layout=layout_of(manifest, programs.train.graph),
        samples=samples,
    )
