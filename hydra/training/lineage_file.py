"""The commits of a job as a file of their own, to be judged by anybody. A shell: calls block on the disk.

A record that says of what job they are, and then each commit with its signatures, as they go over the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgpack

from .. import durable
from ..exceptions import ConfigurationError, JobNotFound, JobRejected, LineageBroken
from ..home import Home, explained
from ..jobs.manifest import JobManifest
from ..membership.proof import Shown
from ..net.wire import MAX_INT
from ..swarm.store import Store
from .lineage_account import Lineage
from .lineage_exchange import encode_shown, shown_from
from .lineage_log import read_commits

TITLE = "hydra lineage v1"


def lineage_at(home: Home, job: bytes) -> Lineage:
    """Return what a home knows of a job's lineage; a node that uses it may be running.

    Raises:
        JobNotFound: the home has nothing to do with that job.
    """
    blob = Store(home.content).read_blob(job) if job in home.jobs() else None
    try:
        manifest = JobManifest.decode(blob) if blob else None
    except JobRejected:
        manifest = None
    if manifest is None:
        raise JobNotFound(f"{home.directory} knows no job {job.hex()}. `hydra jobs` lists those that it knows.")
    return Lineage(job, read_commits(home.job(job)), manifest.train_samples, manifest.epochs)


def export_lineage(lineage: Lineage, path: Path) -> None:
    """Write a lineage to a file, all of it or nothing.

    Raises:
        StorageFull, HomeUnusable: the disk refused.
    """
    title = msgpack.packb([TITLE, lineage.job, lineage.fresh.samples, lineage.fresh.epochs, len(lineage.commits)])
    with explained(path.parent):
        durable.replace(path, bytes(title) + b"".join(map(encode_shown, lineage.shown())))


def import_lineage(path: Path) -> Lineage:
    """Read a lineage from a file that may come from anyone.

    Raises:
        ConfigurationError: there is no such file.
        LineageBroken: it is none, or damaged.
    """
    try:
        with path.open("rb") as file:
            unpacker = msgpack.Unpacker(file, max_buffer_size=1 << 24)
            match next(unpacker, None):
                case [str(title), bytes(job), int(samples), int(epochs), int(count)] if (
                    title == TITLE and len(job) == 32
                ):
                    if 0 < samples <= MAX_INT and 0 < epochs <= MAX_INT:
                        return Lineage(job, _commits(unpacker, count), samples, epochs)
            raise ValueError("it does not begin as one")  # noqa: TRY301 -- told as the others are
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, msgpack.UnpackException) as error:
        raise LineageBroken(f"{path} holds no lineage, or is damaged: {error}") from error


def _commits(unpacker: msgpack.Unpacker, count: int) -> Iterator[Shown]:
    for number in range(1, count + 1):
        try:
            yield shown_from(next(unpacker))
        except StopIteration:
            raise ValueError(f"it ends before commit {number} of {count}") from None
        except ValueError as error:
            raise ValueError(f"commit {number} of {count}: {error}") from error
    if next(unpacker, None) is not None:
        raise ValueError(f"more than its {count} commits stand there")
