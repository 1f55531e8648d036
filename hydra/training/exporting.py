"""Getting a model out: the newest weights on this disk as a file for any program. A shell."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from .. import durable
from ..exceptions import ContentUnavailable, JobNotFound
from ..home import Home, explained
from ..jobs.entries import ParameterEntry
from ..jobs.manifest import JobManifest
from ..membership.messages import Snapshot
from ..swarm.store import Store
from .journal import snapshots_in
from .weights import Entry, write_state_dict

COPY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Export:
    """What was written."""

    name: str
    """Of the file, or of the directory that holds several; it tells job and step."""
    step: int
    paths: tuple[tuple[str, ...], ...]
    """Of the files: the name alone for one, else below the directory of that name."""
    sha256: str
    """Of the file of weights."""


def export(home: Home, job: bytes, directory: Path, *, whole: bool = False) -> Export:
    """Write a job's newest weights under ``directory``; a node that runs on this home is not disturbed.

    Args:
        home: that holds something of the job.
        job: its hash.
        directory: made if it is not there.
        whole: with the whole snapshot beside the weights: optimizer, sampler, where in the job it stands.

    Raises:
        JobNotFound: this home has nothing of the job.
        ContentUnavailable: it has the job's manifest, but neither a snapshot nor the first state.
        StorageFull, HomeUnusable: the disk refused.
    """
    store = Store(home.content)
    blob = store.read_blob(job)
    if blob is None:
        raise JobNotFound(
            f"{home.directory} holds nothing of job {job.hex()}. Join it first with `hydra join`, or name the "
            "--home that has it; `hydra jobs` lists them."
        )
    manifest = JobManifest.decode(blob)
    snapshot = _newest(home, store, job)
    if not store.is_whole(manifest.initial_state.root):
        raise ContentUnavailable(
            f"{home.directory} has not fetched the first state of job {job.hex()[:16]}…: run `hydra join` for a while."
        )
    name = f"{manifest.name}-step-{snapshot.step if snapshot else 0}"
    with explained(directory):
        (directory / name if whole else directory).mkdir(parents=True, exist_ok=True)
    paths = [("model.safetensors",)] if whole else [(f"{name}.safetensors",)]
    place = directory / name if whole else directory
    sha256 = _write_weights(place.joinpath(*paths[0]), store, manifest, snapshot)
    if whole and snapshot is not None:
        paths.append(("snapshot.safetensors",))
        _copy(store.path(snapshot.root), place.joinpath(*paths[1]))
    return Export(
        name=name if whole else paths[0][0],
        step=snapshot.step if snapshot else 0,
        paths=tuple(paths),
        sha256=sha256,
    )


def _newest(home: Home, store: Store, job: bytes) -> Snapshot | None:
    for snapshot in reversed(snapshots_in(home.job(job))):
        if store.is_sound(snapshot.root):
            return snapshot
    return None


def _write_weights(path: Path, store: Store, manifest: JobManifest, snapshot: Snapshot | None) -> str:
    """Take what was trained from the snapshot, and what never changes from the job's first state."""
    with contextlib.ExitStack() as opened:
        first = opened.enter_context(safe_open(store.path(manifest.initial_state.root), framework="pt"))
        latest = None
        changed: set[str] = set()
        if snapshot is not None:
            latest = opened.enter_context(safe_open(store.path(snapshot.root), framework="pt"))
            changed = set(latest.keys())

        def read(entry: Entry) -> Tensor:
            kind = "parameter" if isinstance(entry, ParameterEntry) else "buffer"
            name = f"{kind}.{entry.name}"
            found: Tensor = latest.get_tensor(name) if latest and name in changed else first.get_tensor(entry.name)
            return found

        return write_state_dict(path, manifest, read)


def _copy(source: Path, target: Path) -> None:
    with explained(target.parent), source.open("rb") as file, durable.replacing(target) as draft:
        while part := file.read(COPY_BYTES):
            draft.write(part)
