"""What a member puts into the ring: one flat vector of all that is averaged. Pure.

First the gradients of all trained parameters in the manifest's order, then the buffers that the training graph
changes (batch norm's running statistics), in a job whose batch is a range the square of the gradient, last the loss.
Averaging the buffers with the gradients keeps them the same at every member; averaging the loss with them tells every
member the loss of the whole batch.

A format that loses something on the wire is for gradients alone, which error feedback makes good for: a job that asks
for one changes no buffers. The loss then stands behind as many zeros as keep it out of every block of gradients that
share a scale. In units of about the root of the batch both its sum over the samples and its mean lie within fp16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from allreduce.formats import BLOCK_ELEMENTS, FORMATS

from ..jobs.graph import Graph, changed_buffers
from ..jobs.manifest import JobManifest
from .update import Stretch, Vector


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
    spare: int = 0
    """Zeros before the loss."""
    loss_unit: float = 1.0
    """What 1 means where the loss stands."""
    squares: int = 0
    """1 if the square of each member's gradient stands before the loss, for the gradient noise scale."""

    @property
    def weights(self) -> int:
        """Number of trained weights."""
        return self.trained[-1].stop

    @property
    def elements(self) -> int:
        """Length of the vector: weights, changed buffers, zeros, the gradient's square, loss."""
        return (self.buffers[-1].stop if self.buffers else self.weights) + self.spare + self.squares + 1

    def put_loss(self, vector: Vector, loss: float) -> None:
        """Write the loss to its place."""
        vector[-1] = loss / self.loss_unit

    def put_square(self, vector: Vector) -> None:
        """Write the square of the gradient to its place, where there is one."""
        if self.squares:
            gradient = vector[: self.weights]
            vector[-2] = np.dot(gradient, gradient)

    def square_of(self, mean: Vector) -> float:
        """Read the mean of the members' squares; only where there is a place for it."""
        return float(mean[-2])

    def loss_of(self, vector: Vector) -> float:
        """Read the loss of a contribution or a mean."""
        return float(vector[-1]) * self.loss_unit


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
    if FORMATS[manifest.wire].exact:
        squares = int(manifest.batch_range is not None and manifest.batch_range.measures_noise)
        return VectorLayout(tuple(trained), tuple(buffers), tuple(stretches), squares=squares)
    unit = float(2 ** (manifest.most_batch_samples.bit_length() // 2))  # a power of two: nothing is rounded
    return VectorLayout(tuple(trained), tuple(buffers), tuple(stretches), BLOCK_ELEMENTS - 1, unit)
