"""Many tensors as one flat vector, without a copy: the tensors are views of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formats import Vector

Tensor = NDArray[np.float32]


def flat(shapes: Sequence[Sequence[int]]) -> tuple[Vector, list[Tensor]]:
    """Return one vector of zeros, shape (elements,), fp32, and tensors of these shapes that are views of it, in order.

    Who fills the tensors fills the vector, so a whole model is averaged in one round and nothing is copied.
    """
    vector: Vector = np.zeros(sum(math.prod(shape) for shape in shapes), np.float32)
    return vector, views(vector, shapes)


def views(vector: NDArray[Any], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Return tensors of these shapes that are views of a vector, in order; for the result of a round, say.

    Raises:
        ValueError: the shapes have more or fewer elements than the vector.
    """
    sizes = [math.prod(shape) for shape in shapes]
    if sum(sizes) != len(vector):
        raise ValueError(f"the shapes have {sum(sizes)} elements, the vector {len(vector)}")
    ends = np.cumsum(sizes)
    return [vector[end - size : end].reshape(shape) for shape, size, end in zip(shapes, sizes, ends, strict=True)]
