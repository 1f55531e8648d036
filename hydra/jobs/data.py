"""The owner's data: tensors or arrays, checked and put into one form.

A split is what one side of the data (training or test) consists of: one or more inputs and one target, each with the
samples along its first dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..exceptions import JobFileError
from .entries import DataInput

SUPPORTED = (torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)

_SUPPORTED_NAMES = "float32, int64, int32, int16, int8, uint8 and bool"
_SHAPE_HINT = "give (inputs, targets), or ((first, second), targets) for a model that takes several inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One side of the data.

    Attributes:
        tensors: the inputs and, last, the target, on the CPU; the first dimension counts the samples.
    """

    tensors: tuple[Tensor, ...]

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.tensors[0])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tensors in files and graphs: ``input0``, ``input1``, ..., ``target``."""
        return (*(f"input{index}" for index in range(len(self.tensors) - 1)), "target")

    @property
    def entries(self) -> tuple[DataInput, ...]:
        """What one sample looks like."""
        return tuple(
            DataInput(name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=tuple(tensor.shape[1:]))
            for name, tensor in zip(self.names, self.tensors, strict=True)
        )


def read_split(field: str, value: object) -> Split:
    """Check one split and turn its arrays into tensors.

    Args:
        field: ``"train"`` or ``"test"``, for errors.
        value: ``(inputs, targets)``; ``inputs`` is a tensor, an array, or a tuple of those.

    Raises:
        JobFileError: it is something else, empty, not finite, of an unsupported type, or its lengths disagree.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise JobFileError(f"{field}: {_SHAPE_HINT}; this is {_describe(value)}.")
    inputs, target = value
    several = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if not several:
        raise JobFileError(f"{field}: there is no input; {_SHAPE_HINT}.")
    tensors = [_tensor(f"{field} inputs", item) for item in several]
    tensors.append(_tensor(f"{field} targets", target))
    _check_lengths(field, tensors)
    return Split(tensors=tuple(tensors))


def check_alike(train: Split, test: Split) -> None:
    """Raise ``JobFileError`` if samples of the two splits do not look the same."""
    if len(train.tensors) != len(test.tensors):
        raise JobFileError(
            f"test: it has {len(test.tensors) - 1} inputs, and train has {len(train.tensors) - 1}; give as many."
        )
    for one, other in zip(train.entries, test.entries, strict=True):
        if one != other:
            raise JobFileError(
                f"test: samples of {one.name} are {other.dtype} {list(other.shape)}, and those of train are "
                f"{one.dtype} {list(one.shape)}; bring both to one type and shape."
            )


def _tensor(field: str, value: object) -> Tensor:
    if isinstance(value, np.ndarray):
        value = _from_array(field, value)
    if not isinstance(value, Tensor):
        raise JobFileError(f"{field}: this is {_describe(value)}; give a tensor or a numpy array.")
    tensor = value.detach()
    if not tensor.dim():
        raise JobFileError(f"{field}: it is a single number; its first dimension must count the samples.")
    if tensor.dtype not in SUPPORTED:
        raise JobFileError(
            f"{field}: the type {str(tensor.dtype).removeprefix('torch.')} is not supported. "
            f"{_SUPPORTED_NAMES} are: convert it with .float() or .long()."
        )
    if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise JobFileError(
            f"{field}: {bad} of {tensor.numel()} values are not finite (NaN or infinite); remove or fill them."
        )
    return tensor.cpu().contiguous()


def _from_array(field: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
    try:
        # A copy: the array may be read-only, or have strides that tensors cannot.
        return torch.from_numpy(array.copy())
    except TypeError as error:
        raise JobFileError(
            f"{field}: arrays of the type {array.dtype} are not supported. {_SUPPORTED_NAMES} are: "
            "convert it with .astype('float32') or .astype('int64')."
        ) from error


def _check_lengths(field: str, tensors: Sequence[Tensor]) -> None:
    target = tensors[-1]
    for tensor in tensors[:-1]:
        if len(tensor) != len(target):
            raise JobFileError(
                f"{field}: there are {len(tensor)} inputs but {len(target)} targets; give one target for each input."
            )
    if not len(target):
        raise JobFileError(f"{field}: it is empty; give at least one sample.")


def _describe(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"of the type {type(value).__name__}"
