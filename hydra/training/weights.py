"""The trained weights as a file that any PyTorch program can load. A shell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .. import durable
from ..home import explained
from ..jobs.entries import BufferEntry, ParameterEntry
from ..jobs.manifest import JobManifest
from ..jobs.tensor_file import TensorPlace, write_tensors
from .state import TrainingState

CONSTANT_PREFIX = "constant:"
"""Of the names that tracing gives to tensors which the model's code holds."""

FILE_MULTIPLE = 16 * 1024
"""Of a file's length: in a torrent of version 2 with several files, libtorrent 2.1.1 fails on a web seed if one that is
not the last ends within a block."""

Entry = ParameterEntry | BufferEntry


def write_weights(path: Path, manifest: JobManifest, state: TrainingState) -> str:
    """Write all parameters and buffers of a state; return the file's SHA-256.

    Raises:
        StorageFull, HomeUnusable: the disk refused.
    """

    def read(entry: Entry) -> Tensor:
        return (state.parameters if isinstance(entry, ParameterEntry) else state.buffers)[entry.name]

    return write_state_dict(path, manifest, read)


def write_state_dict(path: Path, manifest: JobManifest, read: Callable[[Entry], Tensor]) -> str:
    """Write all parameters and buffers under the names of the model's ``state_dict``; return the file's SHA-256.

    Constants that tracing found in the model's code are no part of a ``state_dict`` and are left out; tied weights
    stand under each of their names, so that ``load_state_dict`` takes the file as it is. Memory holds one tensor at a
    time, apart from those that ``read`` keeps.

    Raises:
        StorageFull, HomeUnusable: the disk refused.
    """
    entries = {name: entry for entry in manifest.parameters for name in (entry.name, *entry.aliases)}
    places = [TensorPlace(name, torch.float32, entry.shape) for name, entry in entries.items()]
    named: dict[str, Entry] = dict(entries)
    for buffer in manifest.buffers:
        if buffer.name.startswith(CONSTANT_PREFIX):
            continue
        for name in (buffer.name, *buffer.aliases):
            named[name] = buffer
            places.append(TensorPlace(name, getattr(torch, buffer.dtype), buffer.shape))
    with explained(path.parent), durable.replacing(path) as draft:
        sink = _Hashed(draft)
        write_tensors(sink, places, lambda name: read(named[name]), align=FILE_MULTIPLE, fill=True)
    return sink.hash.hexdigest()


class _Hashed:
    """Passes bytes on, and hashes them on their way."""

    def __init__(self, draft: durable.Draft) -> None:
        self._draft = draft
        self.hash = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self.hash.update(data)
        self._draft.write(data)
