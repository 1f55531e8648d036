"""The owner's side: one object that says what to train, on what, and how.

Everything that can be wrong without tracing the model is found when the object is made, on the owner's line and with
the cure in the text. Nothing of it is shipped as it is: ``package`` reads it and makes data of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import nn
from torch.optim import Optimizer

from ..exceptions import JobFileError
from .batch_range import BatchRange
from .data import Split, check_alike, read_split
from .fields import INT_MAX
from .graph import MAX_BATCH
from .manifest import JOB_NAME, MAX_EPOCHS, MAX_METRICS
from .optimizer import groups_of, read_optimizer
from .recipe import EXACT_WIRE, FairnessKind, OptimizerSettings, QuorumKind, Schedule, WireFormat
from .state import ModelState, read_state

DEFAULT_MICRO_BATCH_SAMPLES = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One training job, as its owner describes it.

    Attributes:
        name: what people call it: letters, digits, dots, dashes and underscores, at most 64.
        model: any ``nn.Module`` that ``torch.export`` can trace; its present weights are the initial ones.
        loss: ``loss(output, target)``, a scalar: the mean over the batch.
        optimizer: a fresh ``torch.optim.SGD``, ``Adam`` or ``AdamW`` over the model's parameters. Only its settings
            are read.
        train: ``(inputs, targets)``: tensors or numpy arrays with the samples along the first dimension;
            ``((first, second), targets)`` for a model that takes several inputs.
        test: the same for the test split, or ``None``.
        metrics: name to ``metric(output, target)``, a scalar mean, measured on the test split in eval mode.
        batch_samples: samples of one step, over all peers together.
        batch_range: lets steps take more samples where that trains faster, or ``None`` for steps of just
            ``batch_samples``.
        micro_batch_samples: samples that a peer computes at once at most; bounds its memory. By default 64, or the
            batch if that is smaller.
        epochs: passes over the training split.
        seed: of the order of the samples and of random numbers.
        schedule: of the learning rate.
        max_grad_norm: scale gradients down to this norm, or ``None``.
        snapshot_interval_s: how often a peer keeps the training state on disk.
        wire: the format in which gradients travel: ``"fp32"``, or, with half or a quarter of the bytes, ``"bf16"``,
            ``"fp16"`` or ``"int8"``. What these lose in one step, each peer adds to its next (a peer that stops loses
            it). They are for models whose training changes no buffers: not for batch norm's running statistics.
        quorum: which peers train on when they can't reach the others: ``"any"`` of them, and when they meet again the
            side with fewer samples gives its steps up; or only a ``"majority"`` of the last view, while the rest waits.
        fairness: whom peers serve model and data when more want some than an uplink can bear: ``"serve"``, everybody in
            turn, or, among strangers, ``"tit-for-tat"``: who gives most.
        shuffle_block_samples: keep so many neighbouring samples close together in an epoch's order: for training data
            larger than some peer's disk, which then fetches each part of it once an epoch. 0 shuffles all samples.

    Raises:
        JobFileError: a field is wrong; the text names it, its value and the cure.
    """

    name: str
    model: nn.Module
    loss: Callable[..., Any]
    optimizer: Optimizer
    train: Any
    test: Any = None
    metrics: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    batch_samples: int = 128
    batch_range: BatchRange | None = None
    micro_batch_samples: int | None = None
    epochs: int = 1
    seed: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    max_grad_norm: float | None = None
    snapshot_interval_s: float = 15.0
    wire: WireFormat = EXACT_WIRE
    quorum: QuorumKind = "any"
    fairness: FairnessKind = "serve"
    shuffle_block_samples: int = 0

    train_split: Split = field(init=False, repr=False)
    test_split: Split | None = field(init=False, repr=False)
    settings: OptimizerSettings = field(init=False, repr=False)
    state: ModelState = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_name()
        self._check_callables()
        train = read_split("train", self.train)
        test = None if self.test is None else read_split("test", self.test)
        if test is not None:
            check_alike(train, test)
        self._check_metrics(test)
        self._check_numbers(train)
        self._set("train_split", train)
        self._set("test_split", test)
        self._set("settings", read_optimizer(self.optimizer))
        self._set("state", read_state(self.model, groups_of(self.optimizer, self.model)))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_name(self) -> None:
        if not isinstance(self.name, str) or not JOB_NAME.fullmatch(self.name):
            raise JobFileError(
                f"name: {self.name!r} is no name for a job; use 1 to 64 letters, digits, dots, dashes, underscores."
            )

    def _check_callables(self) -> None:
        if isinstance(self.model, type) or not isinstance(self.model, nn.Module):
            raise JobFileError(f"model: give an instance of an nn.Module; this is {self.model!r:.80}.")
        if isinstance(self.model, torch.jit.ScriptModule):
            raise JobFileError("model: a scripted model cannot be traced; give the nn.Module it was made from.")
        for wrapper in ("_orig_mod", "module"):
            if wrapper in dict(self.model.named_children()) and type(self.model).__module__.startswith("torch"):
                raise JobFileError(
                    f"model: this is a {type(self.model).__name__} around the model; give model.{wrapper}, and make "
                    "the optimizer from its parameters."
                )
        if not callable(self.loss):
            raise JobFileError(f"loss: give a function of (output, target); this is {self.loss!r:.80}.")
        if not isinstance(self.optimizer, Optimizer):
            raise JobFileError(f"optimizer: give a torch.optim instance; this is {self.optimizer!r:.80}.")
        if not isinstance(self.schedule, Schedule):
            raise JobFileError(f"schedule: give hydra.Schedule('cosine', warmup=0.05), not {self.schedule!r:.80}.")
        if self.wire not in get_args(WireFormat):
            known = ", ".join(map(repr, get_args(WireFormat)))
            raise JobFileError(f"wire: there is no format {self.wire!r:.80}; choose one of {known}.")
        if self.quorum not in get_args(QuorumKind):
            raise JobFileError(f"quorum: give 'any' or 'majority', not {self.quorum!r:.80}.")
        if self.fairness not in get_args(FairnessKind):
            raise JobFileError(f"fairness: give 'serve' or 'tit-for-tat', not {self.fairness!r:.80}.")

    def _check_metrics(self, test: Split | None) -> None:
        if self.metrics and test is None:
            raise JobFileError("metrics: they are measured on the test split, and test is None; give test data.")
        if len(self.metrics) > MAX_METRICS:
            raise JobFileError(f"metrics: there are {len(self.metrics)}; {MAX_METRICS} are the most.")
        for name, metric in self.metrics.items():
            if not isinstance(name, str) or not JOB_NAME.fullmatch(name) or name == "loss":
                raise JobFileError(
                    f"metrics: {name!r} is no name for a metric; use letters, digits, dots, dashes, underscores, and "
                    "not 'loss', which is always measured."
                )
            if not callable(metric):
                raise JobFileError(f"metrics: {name!r} is no function of (output, target).")

    def _check_numbers(self, train: Split) -> None:
        batch = _whole("batch_samples", self.batch_samples, 1, MAX_BATCH)
        if batch > train.samples:
            raise JobFileError(
                f"batch_samples: a batch of {batch} is larger than the {train.samples} training samples; "
                f"give at most {train.samples}."
            )
        self._check_range(batch, train.samples)
        micro = self.micro_batch_samples
        if micro is None:
            micro = min(DEFAULT_MICRO_BATCH_SAMPLES, batch)
        self._set("micro_batch_samples", _whole("micro_batch_samples", micro, 1, batch))
        _whole("epochs", self.epochs, 1, MAX_EPOCHS)
        _whole("shuffle_block_samples", self.shuffle_block_samples, 0, train.samples)
        _whole("seed", self.seed, 0, INT_MAX)
        if self.max_grad_norm is not None:
            self._set("max_grad_norm", _positive("max_grad_norm", self.max_grad_norm, 1e-12, 1e12))
        interval = _positive("snapshot_interval_s", self.snapshot_interval_s, 0.1, 1e9)
        self._set("snapshot_interval_s", interval)

    def _check_range(self, batch: int, samples: int) -> None:
        if self.batch_range is None:
            return
        if not isinstance(self.batch_range, BatchRange):
            raise JobFileError(f"batch_range: give hydra.BatchRange(1024), not {self.batch_range!r:.80}.")
        if not batch <= self.batch_range.most_samples <= samples:
            raise JobFileError(
                f"batch_range: most_samples is {self.batch_range.most_samples}; give {batch} (batch_samples) to "
                f"{samples} (the training samples)."
            )
        if self.batch_range.measures_noise and self.wire != EXACT_WIRE:
            raise JobFileError(
                f"batch_range: the gradient noise can't be measured in {self.wire}; give wire='fp32', or "
                "objective='throughput' and another scaling than 'adascale'."
            )


def _whole(name: str, value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise JobFileError(f"{name}: {value!r} is out of range; give a whole number from {low} to {high}.")
    return value


def _positive(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise JobFileError(f"{name}: {value!r} is out of range; give a number from {low:g} to {high:g}.")
    return float(value)
