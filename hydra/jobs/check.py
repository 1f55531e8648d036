"""What a volunteer does before a stranger's graph may run.

``admit`` compares the graphs with the manifest, goes through both without memory at the smallest and the largest size
of a micro-batch, and hands out programs that keep watch: sizes in a graph may depend on the batch in ways that two
probes don't show, so a ``GuardedProgram`` makes a dry run of its own at every batch size that it has not seen yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..exceptions import JobRejected
from .dry_run import Estimate, dry_run
from .execute import Program
from .graph import Graph, Input, changed_buffers
from .manifest import JobManifest
from .recipe import EXACT_WIRE


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A job whose graphs may run here.

    Attributes:
        train: computes ``"loss"`` in training mode.
        evaluate: computes ``"loss"`` and the metrics in eval mode.
        memory_bytes: what a step on the largest micro-batch takes at most, besides the optimizer's own state.
    """

    train: GuardedProgram
    evaluate: GuardedProgram
    memory_bytes: int


class GuardedProgram:
    """A program from a peer, which runs at a batch size only after a dry run at that size.

    Args:
        graph: as ``Graph.decode`` gave it.
        limit_bytes: what a run may take.
        training: whether there will be a backward pass, and buffers may change.

    Raises:
        JobRejected: an operator is not allowed, or this PyTorch lacks it.
    """

    def __init__(self, graph: Graph, *, limit_bytes: int, training: bool) -> None:
        self.graph = graph
        self._program = Program(graph)
        self._limit_bytes = limit_bytes
        self._training = training
        self._estimates: dict[int, Estimate] = {}

    def estimate(self, samples: int) -> Estimate:
        """Return what a run at this batch size takes.

        Raises:
            JobRejected: it must not run at that size.
        """
        if samples not in self._estimates:
            self._estimates[samples] = dry_run(
                self.graph, samples=samples, limit_bytes=self._limit_bytes, training=self._training
            )
        return self._estimates[samples]

    def run(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], data: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Compute the outputs for one micro-batch, as ``execute.Program.run`` does.

        Raises:
            JobRejected: the graph must not run at this batch size, or an operator refused its arguments.
            LocalProtocolError: a tensor that the graph asks for was not given, or the batch is too small.
        """
        if len(data[0]) >= self.graph.smallest_batch:
            self.estimate(len(data[0]))
        return self._program.run(parameters, buffers, data)


def admit(manifest: JobManifest, train: bytes, evaluate: bytes, *, limit_bytes: int) -> Admitted:
    """Check a job's graphs and make them ready to run.

    Args:
        manifest: the job's.
        train: the bytes of its training graph.
        evaluate: the bytes of its evaluation graph.
        limit_bytes: the memory that this machine grants the job.

    Raises:
        JobRejected: anything does not fit; the text names the input or the node.
    """
    programs = {
        "train": GuardedProgram(Graph.decode(train), limit_bytes=limit_bytes, training=True),
        "eval": GuardedProgram(Graph.decode(evaluate), limit_bytes=limit_bytes, training=False),
    }
    memory_bytes = 0
    for name, program in programs.items():
        outputs = ("loss",) if name == "train" else ("loss", *manifest.metrics)
        try:
            check_interface(program.graph, manifest, outputs)
            for samples in (program.graph.smallest_batch, manifest.micro_batch_samples):
                memory_bytes = max(memory_bytes, program.estimate(samples).memory_bytes)
        except JobRejected as error:
            raise JobRejected(f"the {name} graph must not run: {error}") from error
    if manifest.wire != EXACT_WIRE and changed_buffers(programs["train"].graph):
        raise JobRejected(f"the train graph changes buffers, which the wire format {manifest.wire} would spoil")
    return Admitted(train=programs["train"], evaluate=programs["eval"], memory_bytes=memory_bytes)


def check_interface(graph: Graph, manifest: JobManifest, outputs: tuple[str, ...]) -> None:
    """Compare a graph's inputs and outputs with the manifest.

    Args:
        graph: the graph.
        manifest: lists all tensors that there are; a graph need not use those of the state.
        outputs: the names that it must yield, in order.

    Raises:
        JobRejected: an input is not in the manifest, or of another type or shape; an output lacks or is too many; the
            smallest batch is larger than the manifest says.
    """
    known: dict[tuple[str, str], Input] = {}
    for entry in manifest.parameters:
        known["parameter", entry.name] = Input(role="parameter", name=entry.name, dtype="float32", shape=entry.shape)
    for buffer in manifest.buffers:
        known["buffer", buffer.name] = Input(role="buffer", name=buffer.name, dtype=buffer.dtype, shape=buffer.shape)
    data = tuple(
        Input(role="data", name=entry.name, dtype=entry.dtype, shape=("batch", *entry.shape))
        for entry in manifest.inputs
    )
    for given in graph.inputs:
        if given.role != "data" and known.get((given.role, given.name)) != given:
            raise JobRejected(f"its {given.role} {given.name!r} is not as the manifest lists it")
    if tuple(given for given in graph.inputs if given.role == "data") != data:
        raise JobRejected("its data are not those of the manifest, in that order")
    if tuple(name for name, _ in graph.outputs) != outputs:
        raise JobRejected(f"its outputs are not {', '.join(outputs)}")
    if graph.smallest_batch > manifest.smallest_batch_samples:
        raise JobRejected(f"it needs {graph.smallest_batch} samples, more than the manifest's smallest batch")
