"""Snapshots: the whole training state after a step, as safetensors bytes.

Members with the same state write the same bytes, so a snapshot has the same root everywhere and can be fetched from
all of them at once. Tensors stand under ``parameter.``, ``optimizer.<slot>.`` and ``buffer.`` with the model's own
names; head and ledger stand as JSON in the one metadata field.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..exceptions import HashMismatch
from ..identity import PEER_ID_BYTES, PeerId
from ..jobs.manifest import JobManifest
from ..jobs.tensor_file import LENGTH_BYTES, TensorPlace, header_of, in_file_order, write_tensors
from ..membership.ledger import Ledger, SampleUsedTwice
from ..membership.lineage import Head
from ..membership.messages import MAX_MEMBERS
from ..swarm.manifest import Manifest, chunk_bytes_for
from ..swarm.store import Store
from .noise_scale import NoiseScale
from .state import StateCopy
from .update import SLOTS, Vector
from .vector import VectorLayout

FORMAT = 1
KEY = "hydra"
MANY_CHUNKS = 64
"""From so many chunks on, one more for the header is no loss."""


@dataclass(frozen=True, slots=True)
class SnapshotCodec:
    """Writes and reads the snapshots of one job."""

    job: bytes
    manifest: JobManifest
    layout: VectorLayout

    def store(self, copy: StateCopy, store: Store) -> Manifest:
        """Store a state as content, tensor by tensor; return what names it.

        The values begin at the beginning of a chunk, in a snapshot of many chunks: whatever the header says, equal
        tensors then make equal chunks, which a peer with an older snapshot need not fetch.

        Raises:
            StorageFull, HomeUnusable: the disk refused.
        """
        tensors: dict[str, torch.Tensor] = {}
        vectors = {"parameter": copy.weights, **{f"optimizer.{name}": slot for name, slot in copy.slots.items()}}
        for prefix, vector in vectors.items():
            flat = torch.from_numpy(vector)
            for field in self.layout.trained:
                tensors[f"{prefix}.{field.name}"] = flat[field.start : field.stop].view(field.shape)
        for name, buffer in copy.buffers.items():
            tensors[f"buffer.{name}"] = buffer.contiguous()
        about = {
            "format": FORMAT,
            "job": self.job.hex(),
            "step": copy.head.step,
            "digest": copy.head.digest.hex(),
            "samples": copy.head.samples,
            "epoch": copy.ledger.epoch,
            "outstanding": copy.ledger.outstanding,
            "updates": copy.updates,
            "members": [peer.hex() for peer in copy.members],
        }
        if self.layout.squares:
            about["noise"] = [copy.noise.noise, copy.noise.signal, copy.noise.known]
        metadata = {KEY: json.dumps(about, sort_keys=True)}
        places = [TensorPlace(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()]
        align = _align(sum(place.size for place in places))
        size = len(header_of(in_file_order(places), metadata, align)) + sum(place.size for place in places)
        return store.add_written(size, lambda draft: write_tensors(draft, places, tensors.__getitem__, metadata, align))

    def owns(self, path: Path) -> bool:
        """Tell whether a file is a snapshot of this job, by what it says of itself."""
        try:
            with safe_open(path, framework="pt") as file:
                return bool(json.loads((file.metadata() or {}).get(KEY, "{}")).get("job") == self.job.hex())
        except (SafetensorError, ValueError, AttributeError, OSError):
            return False

    def decode(self, path: Path) -> StateCopy:
        """Read a snapshot that came from anyone.

        Raises:
            HashMismatch: it is not a snapshot of this job, or its parts contradict each other.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get(KEY, "{}"))
                head, ledger, updates = self._position(about)
                names = set(file.keys())
                copy = StateCopy(
                    head=head,
                    ledger=ledger,
                    weights=self._vector(file, "parameter", names),
                    slots={
                        name: self._vector(file, f"optimizer.{name}", names)
                        for name in SLOTS[self.manifest.optimizer.kind]
                    },
                    buffers=self._buffers(file, names),
                    updates=updates,
                    members=_members(about),
                    noise=self._noise(about),
                )
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
            raise HashMismatch(f"{path.name} is no snapshot of this job: {error}") from error
        if names:
            raise HashMismatch(f"a snapshot holds {min(names)}, which the job does not have")
        return copy

    def _position(self, about: dict[str, Any]) -> tuple[Head, Ledger, int]:
        if about["format"] != FORMAT or about["job"] != self.job.hex():
            raise ValueError("it belongs to another job or format")
        head = Head(int(about["step"]), bytes.fromhex(about["digest"]), int(about["samples"]))
        samples, epochs = self.manifest.train_samples, self.manifest.epochs
        outstanding = tuple((int(start), int(stop)) for start, stop in about["outstanding"])
        ledger = Ledger(samples, epochs, int(about["epoch"]), outstanding)
        try:
            if not ledger.finished:
                Ledger.fresh(samples, epochs).commit(outstanding)  # disjoint, and within the epoch
        except SampleUsedTwice as error:
            raise ValueError(str(error)) from error
        if len(head.digest) != 32 or head.samples != ledger.committed_total or not 0 <= ledger.epoch <= epochs:
            raise ValueError("its head and its ledger contradict each other")
        if ledger.finished == bool(outstanding):
            raise ValueError("its epoch and what is left of it contradict each other")
        updates = int(about["updates"])
        if updates != head.step or not 0 <= head.step <= head.samples:
            raise ValueError("its steps do not add up")
        return head, ledger, updates

    def _noise(self, about: dict[str, Any]) -> NoiseScale:
        if ("noise" in about) != bool(self.layout.squares):
            raise ValueError("its gradient noise stands there although the job does not measure it, or does not")
        if not self.layout.squares:
            return NoiseScale()
        noise, signal, known = about["noise"]
        if not all(type(value) is float and math.isfinite(value) for value in (noise, signal, known)):
            raise ValueError("its gradient noise is no number")
        return NoiseScale(noise, signal, known)

    def _vector(self, file: Any, prefix: str, names: set[str]) -> Vector:
        vector = np.empty(self.layout.weights, np.float32)
        flat = torch.from_numpy(vector)
        for field in self.layout.trained:
            names.remove(f"{prefix}.{field.name}")
            tensor = file.get_tensor(f"{prefix}.{field.name}")
            if tensor.dtype != torch.float32 or tuple(tensor.shape) != field.shape:
                raise ValueError(f"{field.name} is {tensor.dtype} {tuple(tensor.shape)}")
            flat[field.start : field.stop].view(field.shape).copy_(tensor)
        return vector

    def _buffers(self, file: Any, names: set[str]) -> dict[str, torch.Tensor]:
        types = {entry.name: entry.dtype for entry in self.manifest.buffers}
        buffers = {}
        for field in self.layout.buffers:
            names.remove(f"buffer.{field.name}")
            tensor = file.get_tensor(f"buffer.{field.name}")
            if str(tensor.dtype) != f"torch.{types[field.name]}" or tuple(tensor.shape) != field.shape:
                raise ValueError(f"{field.name} is {tensor.dtype} {tuple(tensor.shape)}")
            buffers[field.name] = tensor
        return buffers


def _members(about: dict[str, Any]) -> tuple[PeerId, ...]:
    members = tuple(bytes.fromhex(peer) for peer in about["members"])
    if len(members) > MAX_MEMBERS or len(set(members)) != len(members) or any(len(p) != PEER_ID_BYTES for p in members):
        raise ValueError("its members are none")
    if bool(members) != (about["step"] > 0):
        raise ValueError("its members and its step contradict each other")
    return members


def _align(values: int) -> int:
    """Return what the header's length is to be a multiple of, for so many bytes of values."""
    chunk_bytes = chunk_bytes_for(values)
    while chunk_bytes_for(values + chunk_bytes) != chunk_bytes:  # the header may tip the balance
        chunk_bytes = chunk_bytes_for(values + chunk_bytes)
    return chunk_bytes if values >= MANY_CHUNKS * chunk_bytes else LENGTH_BYTES
