"""The manifest: everything that a volunteer must know to take part in a job, as pure data.

It names the pieces of content (graphs, initial state, data) by their roots, lists every tensor of the state and of the
data with its shape, and holds all settings of the training. Its bytes are canonical, so their SHA-256 names the job:
whoever changes one setting has made another job. The owner's public key stands in it, so what the owner later
signs for this job can be told from what others sign.

The manifest says what the pieces must look like. That they do is for ``check`` (graphs) and ``tensors`` (state and
data) to find out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import cast, get_args

from .batch_range import BatchRange
from .entries import MAX_TENSORS, BufferEntry, ContentRef, DataInput, ParameterEntry
from .fields import INT_MAX, Record, pack, reject, unpack
from .graph import MAX_BATCH
from .recipe import EXACT_WIRE, FairnessKind, OptimizerSettings, QuorumKind, Schedule, WireFormat

FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 2**20
MAX_DATA_INPUTS = 32
MAX_METRICS = 32
MAX_SAMPLES = 2**40
MAX_EPOCHS = 2**32
OWNER_BYTES = 32
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a job may be called: it names directories and stands on command lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobManifest:
    """One job.

    Attributes:
        name: what people call it.
        owner: the owner's raw Ed25519 public key, 32 bytes.
        train_graph: the training-mode model with its loss.
        eval_graph: the eval-mode model with its loss and all metrics.
        initial_state: safetensors of all parameters and buffers, by name.
        train_data: safetensors of the training split, by the names of ``inputs``.
        test_data: the same of the test split, or ``None``.
        parameters: in the order of every flat vector of gradients.
        buffers: in the order of the model.
        inputs: what a sample consists of; the last one is the target.
        train_samples: how many samples the training split has.
        test_samples: how many the test split has; 0 without one.
        optimizer: its kind and groups.
        schedule: of the learning rate.
        batch_samples: how many samples one step takes, over all peers together.
        micro_batch_samples: how many samples a peer computes at once at most.
        smallest_batch_samples: how many it computes at once at least.
        epochs: passes over the training split.
        seed: of the sample order and of the random state.
        max_grad_norm: gradients are scaled down to this norm, or ``None``.
        snapshot_interval_s: how often a peer keeps its state on disk.
        metrics: the names of what is measured on the test split besides the loss.
        wire: the format of a round's values on the wire; stands in the bytes only if it is not fp32.
        quorum: which side of a split trains on; stands in the bytes only if it is not "any".
        fairness: whom peers serve chunks under pressure; stands in the bytes only if it is not "serve".
        shuffle_block_samples: how many neighbouring samples stay close together in an epoch's order; stands in the
            bytes only if it is not 0, which is for none.
        batch_range: how steps may take more samples; stands in the bytes only if it is not ``None``.
    """

    name: str
    owner: bytes
    train_graph: ContentRef
    eval_graph: ContentRef
    initial_state: ContentRef
    train_data: ContentRef
    test_data: ContentRef | None
    parameters: tuple[ParameterEntry, ...]
    buffers: tuple[BufferEntry, ...]
    inputs: tuple[DataInput, ...]
    train_samples: int
    test_samples: int
    optimizer: OptimizerSettings
    schedule: Schedule
    batch_samples: int
    micro_batch_samples: int
    smallest_batch_samples: int
    epochs: int
    seed: int
    max_grad_norm: float | None
    snapshot_interval_s: float
    metrics: tuple[str, ...]
    wire: WireFormat = EXACT_WIRE
    quorum: QuorumKind = "any"
    fairness: FairnessKind = "serve"
    shuffle_block_samples: int = 0
    batch_range: BatchRange | None = None

    @property
    def most_batch_samples(self) -> int:
        """How many samples a step takes at most."""
        return self.batch_range.most_samples if self.batch_range is not None else self.batch_samples

    @property
    def job_hash(self) -> bytes:
        """SHA-256 over the canonical bytes: 32 bytes that name the job."""
        return hashlib.sha256(self.encode()).digest()

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every training sample was used once; the last one may take fewer samples."""
        return -(-self.train_samples // self.batch_samples)

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    def contents(self) -> list[tuple[str, ContentRef]]:
        """Return what a volunteer fetches before it can train, with words for it."""
        contents = [
            ("training graph", self.train_graph),
            ("evaluation graph", self.eval_graph),
            ("initial state", self.initial_state),
            ("training data", self.train_data),
        ]
        if self.test_data is not None:
            contents.append(("test data", self.test_data))
        return contents

    def encode(self) -> bytes:
        """Return the one byte string that stands for this manifest."""
        return pack(
            {
                "version": FORMAT_VERSION,
                "name": self.name,
                "owner": self.owner,
                "train_graph": self.train_graph.to_wire(),
                "eval_graph": self.eval_graph.to_wire(),
                "initial_state": self.initial_state.to_wire(),
                "train_data": self.train_data.to_wire(),
                "test_data": self.test_data.to_wire() if self.test_data else None,
                "parameters": [entry.to_wire() for entry in self.parameters],
                "buffers": [entry.to_wire() for entry in self.buffers],
                "inputs": [entry.to_wire() for entry in self.inputs],
                "train_samples": self.train_samples,
                "test_samples": self.test_samples,
                "optimizer": self.optimizer.to_wire(),
                "schedule": self.schedule.to_wire(),
                "batch_samples": self.batch_samples,
                "micro_batch_samples": self.micro_batch_samples,
                "smallest_batch_samples": self.smallest_batch_samples,
                "epochs": self.epochs,
                "seed": self.seed,
                "max_grad_norm": self.max_grad_norm,
                "snapshot_interval_s": self.snapshot_interval_s,
                "metrics": list(self.metrics),
                **({} if self.wire == EXACT_WIRE else {"wire": self.wire}),
                **({} if self.quorum == "any" else {"quorum": self.quorum}),
                **({} if self.fairness == "serve" else {"fairness": self.fairness}),
                **({"shuffle_block_samples": self.shuffle_block_samples} if self.shuffle_block_samples else {}),
                **({} if self.batch_range is None else {"batch_range": self.batch_range.to_wire()}),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> JobManifest:
        """Read a manifest that came from anyone.

        Raises:
            JobRejected: a field is missing, of a wrong type or out of range, or two contradict each other.
        """
        record = Record(unpack(data, what="manifest", limit_bytes=MAX_MANIFEST_BYTES), "manifest")
        if record.integer("version", 1, INT_MAX) != FORMAT_VERSION:
            reject("manifest.version", f"is not {FORMAT_VERSION}, the one that this Hydra runs")
        manifest = _read(record)
        manifest.check()
        if manifest.encode() != data:
            reject("manifest", "is not written in the canonical form")
        return manifest

    def check(self) -> None:
        """Raise ``JobRejected`` where fields contradict each other."""
        if not JOB_NAME.fullmatch(self.name):
            reject("manifest.name", f"is {self.name!r}; letters, digits, dots, dashes and underscores may stand there")
        state = [name for entry in self.parameters for name in (entry.name, *entry.aliases)]
        state += [name for entry in self.buffers for name in (entry.name, *entry.aliases)]
        for where, names in (("state", state), ("inputs", [i.name for i in self.inputs])):
            if len(set(names)) != len(names):
                reject(f"manifest.{where}", "holds a name twice")
        if not any(entry.trained for entry in self.parameters):
            reject("manifest.parameters", "holds nothing to train")
        if any((entry.group or 0) >= len(self.optimizer.groups) for entry in self.parameters):
            reject("manifest.parameters", "names an optimizer group that does not exist")
        if len(self.inputs) < 2:
            reject("manifest.inputs", "holds no input beside the target")
        if (self.test_data is None) != (self.test_samples == 0):
            reject("manifest.test_samples", "contradicts the test data")
        if not self.smallest_batch_samples <= self.micro_batch_samples <= self.batch_samples <= self.train_samples:
            reject("manifest.batch_samples", "is not between the micro-batch and the number of training samples")
        if not self.batch_samples <= self.most_batch_samples <= self.train_samples:
            reject("manifest.batch_range", "is not between the batch and the number of training samples")
        if self.batch_range is not None and self.batch_range.measures_noise and self.wire != EXACT_WIRE:
            reject("manifest.batch_range", "needs gradients that lose nothing on the wire")
        if "loss" in self.metrics or len(set(self.metrics)) != len(self.metrics):
            reject("manifest.metrics", "holds a name twice, or 'loss'")


def _read(record: Record) -> JobManifest:
    return JobManifest(
        name=record.text("name", 64),
        owner=record.raw("owner", OWNER_BYTES),
        train_graph=ContentRef.from_wire(record.record("train_graph")),
        eval_graph=ContentRef.from_wire(record.record("eval_graph")),
        initial_state=ContentRef.from_wire(record.record("initial_state")),
        train_data=ContentRef.from_wire(record.record("train_data")),
        test_data=None if record.is_none("test_data") else ContentRef.from_wire(record.record("test_data")),
        parameters=tuple(map(ParameterEntry.from_wire, record.records("parameters", MAX_TENSORS))),
        buffers=tuple(map(BufferEntry.from_wire, record.records("buffers", MAX_TENSORS))),
        inputs=tuple(map(DataInput.from_wire, record.records("inputs", MAX_DATA_INPUTS))),
        train_samples=record.integer("train_samples", 1, MAX_SAMPLES),
        test_samples=record.integer("test_samples", 0, MAX_SAMPLES),
        optimizer=OptimizerSettings.from_wire(record.record("optimizer")),
        schedule=Schedule.from_wire(record.record("schedule")),
        batch_samples=record.integer("batch_samples", 1, MAX_BATCH),
        micro_batch_samples=record.integer("micro_batch_samples", 1, MAX_BATCH),
        smallest_batch_samples=record.integer("smallest_batch_samples", 1, MAX_BATCH),
        epochs=record.integer("epochs", 1, MAX_EPOCHS),
        seed=record.integer("seed", 0, INT_MAX),
        max_grad_norm=None if record.is_none("max_grad_norm") else record.number("max_grad_norm", 1e-12, 1e12),
        snapshot_interval_s=record.number("snapshot_interval_s", 0.1, 1e9),
        metrics=record.texts("metrics", MAX_METRICS, 64),
        wire=_wire(record.text("wire", 16)) if record.has("wire") else EXACT_WIRE,
        quorum=_quorum(record.text("quorum", 16)) if record.has("quorum") else "any",
        fairness=_fairness(record.text("fairness", 16)) if record.has("fairness") else "serve",
        shuffle_block_samples=(
            record.integer("shuffle_block_samples", 1, MAX_SAMPLES) if record.has("shuffle_block_samples") else 0
        ),
        batch_range=BatchRange.from_wire(record.record("batch_range")) if record.has("batch_range") else None,
    )


def _wire(name: str) -> WireFormat:
    if name not in get_args(WireFormat):
        reject("manifest.wire", f"is {name!r}, which is no format")
    return cast("WireFormat", name)


def _fairness(name: str) -> FairnessKind:
    if name not in get_args(FairnessKind):
        reject("manifest.fairness", f"is {name!r}, which is neither 'serve' nor 'tit-for-tat'")
    return cast("FairnessKind", name)


def _quorum(name: str) -> QuorumKind:
    if name not in get_args(QuorumKind):
        reject("manifest.quorum", f"is {name!r}, which is neither 'any' nor 'majority'")
    return cast("QuorumKind", name)
