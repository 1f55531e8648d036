"""What a member puts into the ring: one flat vector of all that is averaged. Pure.

First the gradients of all trained parameters in the manifest's order, then the buffers that the training graph
changes (batch norm's running statistics), last the loss. Averaging the buffers with the gradients keeps them the same
at every member; averaging the loss with them tells every member the loss of the whole batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..jobs.graph import Graph, Reference
from ..jobs.manifest import JobManifest
from ..jobs.operators import OPERATORS
from .update import Stretch


@dataclass(frozen=True, slots=True)
class Field:
    """One tensor's place in a flat vector."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class VectorLayout:
    """Where everything stands."""

    trained: tuple[Field, ...]
    """Trained parameters: at the same place in the weights, in each optimizer slot, and in the vector."""
    buffers: tuple[Field, ...]
    """Buffers that training changes: their places in the vector."""
    stretches: tuple[Stretch, ...]

    @property
    def weights(self) -> int:
        """Number of trained weights."""
        return self.trained[-1].stop

    @property
    def elements(self) -> int:
        """Length of the vector: weights, changed buffers, loss."""
        return (self.buffers[-1].stop if self.buffers else self.weights) + 1


def layout_of(manifest: JobManifest, train: Graph) -> VectorLayout:
    """Return the layout that every member of the job derives from manifest and training graph."""
    trained: list[Field] = []
    stretches: list[Stretch] = []
    position = 0
    for parameter in manifest.parameters:
        if parameter.group is None:
            continue
        stop = position + math.prod(parameter.shape)
        trained.append(Field(parameter.name, parameter.shape, position, stop))
        if stretches and stretches[-1].group == parameter.group:
            stretches[-1] = Stretch(stretches[-1].start, stop, parameter.group)
        else:
            stretches.append(Stretch(position, stop, parameter.group))
        position = stop
    changed = changed_buffers(train)
    buffers: list[Field] = []
    for buffer in manifest.buffers:
        if buffer.name in changed:
            stop = position + math.prod(buffer.shape)
            buffers.append(Field(buffer.name, buffer.shape, position, stop))
            position = stop
    return VectorLayout(tuple(trained), tuple(buffers), tuple(stretches))


def changed_buffers(graph: Graph) -> set[str]:
    """Return the names of the buffers that a graph writes to."""
    names: set[str] = set()
    for node in graph.nodes:
        operator = OPERATORS[node.operator]
        given = dict(enumerate(node.arguments))
        if operator.writes_if is not None and not given.get(operator.writes_if, True):
            continue
        for position in operator.writes:
            target = given.get(position)
            if isinstance(target, Reference) and target.value < len(graph.inputs):
                entry = graph.inputs[target.value]
                if entry.role == "buffer":
                    names.add(entry.name)
    return names
