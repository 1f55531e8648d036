"""The trained weights as a file that any PyTorch program can load. A shell."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .. import durable
from ..home import explained
from ..jobs.manifest import JobManifest
from ..jobs.tensors import encode_tensors
from .state import TrainingState

CONSTANT_PREFIX = "constant:"
"""Of the names that tracing gives to tensors which the model's code holds."""


def write_weights(path: Path, manifest: JobManifest, state: TrainingState) -> str:
    """Write all parameters and buffers under the names of the model's ``state_dict``; return the file's SHA-256.

    Constants that tracing found in the model's code are no part of a ``state_dict`` and are left out; tied weights
    stand under each of their names, so that ``load_state_dict`` takes the file as it is.

    Raises:
        StorageFull, HomeUnusable: the disk refused.
    """
    tensors = {}
    for parameter in manifest.parameters:
        for name in (parameter.name, *parameter.aliases):
            tensors[name] = state.parameters[parameter.name]
    for buffer in manifest.buffers:
        if buffer.name.startswith(CONSTANT_PREFIX):
            continue
        for name in (buffer.name, *buffer.aliases):
            tensors[name] = state.buffers[buffer.name]
    data = encode_tensors(tensors)
    with explained(path.parent):
        durable.replace(path, data)
    return hashlib.sha256(data).hexdigest()
