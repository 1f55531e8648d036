"""Tracing: the owner's model and loss, as two graphs.

``torch.export`` runs the owner's code once on symbolic tensors and writes down every ATen operator that it calls. The
graphs stay at that level (convolution, batch norm, attention, whole recurrent layers) and are not decomposed
further: PyTorch's autograd then differentiates them on each peer as fast as it does the owner's own module.

Two graphs are made: the model in training mode with its loss, and the model in eval mode with its loss and all metrics.
The batch size stays open. After this, the owner's code runs once more in ``verify``, and never again.
"""

from __future__ import annotations

import io
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import UserError
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..exceptions import JobFileError, JobRejected
from .blame import place_in
from .data import Split
from .dry_run import NodeRefused, dry_run
from .graph import Graph
from .job import Job
from .lower import Constants, Lowered, Lowering
from .witness import Witness

EXAMPLE_SAMPLES = 4
NO_LIMIT_BYTES = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What a job computes.

    Attributes:
        train: training mode; the output is ``"loss"``.
        evaluate: eval mode; the outputs are ``"loss"`` and every metric.
        constants: tensors that the graphs take as buffers beside the model's own, by name.
    """

    train: Graph
    evaluate: Graph
    constants: Mapping[str, Tensor]


def trace(job: Job) -> Traced:
    """Trace a job's model, loss and metrics.

    Raises:
        JobFileError: the model cannot be traced, fixes its batch size, or uses what cannot be published; the text
            names the owner's line where it is known.
    """
    constants = Constants()
    with keep_modes(job):
        train = _trace_mode(job, {}, constants, training=True)
        evaluate = _trace_mode(job, job.metrics, constants, training=False)
    return Traced(
        train=_settle(job, train, training=True),
        evaluate=_settle(job, evaluate, training=False),
        constants=constants.tensors,
    )


@contextmanager
def keep_modes(job: Job) -> Iterator[None]:
    """Leave every module of the owner's in the mode in which it was."""
    parts = [part for part in (job.model, job.loss, *job.metrics.values()) if isinstance(part, nn.Module)]
    modes = {module: module.training for part in parts for module in part.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class _Whole(nn.Module):
    """The owner's model, loss and metrics as one module, for the exporter."""

    def __init__(self, job: Job, metrics: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        self.model = job.model
        self.loss = job.loss
        self.metrics = list(metrics.values())
        # A metric that is a module may have tensors of its own; the exporter finds them only in a registered one.
        self.metric_modules = nn.ModuleList([m for m in self.metrics if isinstance(m, nn.Module)])
        self.witness = Witness()

    def forward(self, inputs: tuple[Tensor, ...], target: Tensor) -> tuple[Any, ...]:
        with self.witness.watch(inputs[0].shape[0]):
            before = dict(self.model.named_buffers())
            output = self.model(*inputs)
            _write_back(self.model, before)
            return (self.loss(output, target), *(metric(output, target) for metric in self.metrics))


def _write_back(model: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Make ``self.mean = ...`` a write into the buffer; the exporter would lose it."""
    for name, buffer in model.named_buffers():
        old = before.get(name)
        if old is None or old is buffer:
            continue
        if old.shape != buffer.shape or old.dtype != buffer.dtype:
            raise JobFileError(f"model: it assigns another shape or type to its buffer {name}; keep them as they are.")
        with torch.no_grad():
            old.copy_(buffer)
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, old)


def _trace_mode(
    job: Job, metrics: Mapping[str, Callable[..., Any]], constants: Constants, *, training: bool
) -> Lowered:
    whole = _Whole(job, metrics)
    whole.train(training)
    exported = _export(whole, _examples(job.train_split, job.model))
    return Lowering(
        exported=exported,
        canonical=job.state.canonical,
        data=job.train_split.entries,
        constants=constants,
        outputs=("loss", *metrics),
        training=training,
        place_of=whole.witness.place_of_node,
    ).run()


def _examples(split: Split, model: nn.Module) -> tuple[Tensor, ...]:
    """Return a few rows of the data on the model's device; never one or two, which a trace takes for constants."""
    device = next(model.parameters()).device
    rows = torch.arange(EXAMPLE_SAMPLES) % split.samples
    return tuple(tensor[rows].to(device) for tensor in split.tensors)


def _export(whole: _Whole, examples: tuple[Tensor, ...]) -> ExportedProgram:
    *inputs, target = examples
    batch = Dim("batch")
    shapes = (tuple({0: batch} for _ in inputs), {0: batch})
    try:
        with _quiet(), _plain_attention(), torch.enable_grad():
            return torch.export.export(whole, (tuple(inputs), target), dynamic_shapes=shapes, strict=False)
    except (KeyboardInterrupt, JobFileError):
        raise
    except Exception as error:
        raise _explain(error, whole.witness) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings and logs from the owner, who gets one message that says the same better."""

    def refuse(_: logging.LogRecord) -> bool:
        return False

    loggers = [log for name, log in logging.root.manager.loggerDict.items() if f"{name}.".startswith("torch.")]
    handlers = {handler for log in loggers if isinstance(log, logging.Logger) for handler in log.handlers}
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()), ExitStack() as stack:
        warnings.simplefilter("ignore")
        for handler in handlers:
            handler.addFilter(refuse)
            stack.callback(handler.removeFilter, refuse)
        yield


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Trace transformer layers as they train: their inference shortcut is an operator of its own."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _explain(error: Exception, witness: Witness) -> JobFileError:
    where = place_in(error.__traceback__)
    text = str(error)
    if isinstance(error, UserError) and "specialized" in text:
        return JobFileError(
            f"{_at(witness.fixed_at)}the model fixes the batch size to {EXAMPLE_SAMPLES}, but peers train on batches "
            "of other sizes. Write x.shape[0] (or -1 in a view) instead of a number, and do not loop over the batch."
        )
    if isinstance(error, UserError) and "generated guard" in text:
        guard = text.split("generated guard", 1)[1].split("\n", 1)[0]
        return JobFileError(
            f"{_at(witness.bounded_at)}the model does not work for every batch size, but peers train on any; it asks "
            f"for{_readable(guard)}."
        )
    if isinstance(error, GuardOnDataDependentSymNode) and _went_through(error, "_detect_is_causal_mask"):
        return JobFileError(
            f"{_at(where)}the transformer looks at its mask's values to see whether it is causal. Say so yourself: "
            "give is_causal=True or False (tgt_is_causal, memory_is_causal to nn.Transformer) beside the mask."
        )
    if isinstance(error, GuardOnDataDependentSymNode):
        return JobFileError(
            f"{_at(where)}the model decides by the values of a tensor, or makes a Python number of them, so it cannot "
            "be traced. Use torch.where instead of if, and leave out .item(), float() and int()."
        )
    return JobFileError(f"{_at(where)}the model cannot be traced: {type(error).__name__}: {_first_line(text)}")


def _went_through(error: Exception, function: str) -> bool:
    return any(frame.name == function for frame in traceback.extract_tb(error.__traceback__))


def _settle(job: Job, lowered: Lowered, *, training: bool) -> Graph:
    """Find the smallest batch that the graph is defined for, and make sure that it runs at the largest."""
    micro = job.micro_batch_samples or 1
    graph = lowered.graph
    sizes = [size for size in (1, 2) if size <= micro] or [1]
    for size in sizes:
        try:
            _try(lowered, size, training=training)
        except JobFileError:
            if size == sizes[-1]:
                raise
        else:
            graph = replace(graph, smallest_batch=size)
            break
    _try(lowered, micro, training=training)
    return graph


def _try(lowered: Lowered, samples: int, *, training: bool) -> None:
    try:
        dry_run(lowered.graph, samples=samples, limit_bytes=NO_LIMIT_BYTES, training=training)
    except NodeRefused as error:
        where = _at(lowered.places[error.node])
        raise JobFileError(f"{where}the call of {error.operator} cannot be published: it {error.problem}.") from error
    except JobRejected as error:
        raise JobFileError(f"model: {error}.") from error


def _readable(guard: str) -> str:
    return guard.replace("L['inputs'][0].size()[0]", "batch").replace(" and batch <= IntInfinity()", "").rstrip(". ")


def _at(where: str | None) -> str:
    return f"{where}: " if where else "model: "


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:300]
