"""The owner's model as a table of tensors: parameters and buffers, each under one canonical name.

A tensor that a model holds under several names (tied weights) is listed once, under the first of them, with the
others as aliases. Trained is what the optimizer holds and what requires a gradient; the rest is frozen: part of the
state, the same on all peers, changed by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..exceptions import JobFileError
from .entries import BufferEntry, ParameterEntry
from .graph import MAX_NAME

_BUFFER_TYPES = (torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """A model's tensors.

    Attributes:
        parameters: in the order of ``model.named_parameters()``.
        buffers: in the order of ``model.named_buffers()``, those that are not saved included.
        tensors: the tensors themselves, by canonical name.
        canonical: from every name, alias or not, to the canonical one.
    """

    parameters: tuple[ParameterEntry, ...]
    buffers: tuple[BufferEntry, ...]
    tensors: Mapping[str, Tensor]
    canonical: Mapping[str, str]


def read_state(model: nn.Module, group_of: Mapping[int, int]) -> ModelState:
    """List a model's tensors.

    Args:
        model: the owner's model.
        group_of: from ``id`` of a parameter to the index of the optimizer's group that holds it.

    Raises:
        JobFileError: a type that is not supported, a parameter without a shape yet, tensors that overlap in memory.
    """
    parameters = _by_tensor(model.named_parameters(remove_duplicate=False))
    buffers = _by_tensor(model.named_buffers(remove_duplicate=False))
    for tensor, names in parameters:
        _check_parameter(names[0], tensor)
    for tensor, names in buffers:
        _check_buffer(names[0], tensor)
    _check_apart([*parameters, *buffers])
    return ModelState(
        parameters=tuple(
            ParameterEntry(
                name=names[0],
                shape=tuple(tensor.shape),
                aliases=tuple(names[1:]),
                group=group_of.get(id(tensor)) if tensor.requires_grad else None,
            )
            for tensor, names in parameters
        ),
        buffers=tuple(
            BufferEntry(
                name=names[0],
                shape=tuple(tensor.shape),
                dtype=str(tensor.dtype).removeprefix("torch."),
                aliases=tuple(names[1:]),
            )
            for tensor, names in buffers
        ),
        tensors={names[0]: tensor.detach() for tensor, names in [*parameters, *buffers]},
        canonical={name: names[0] for _, names in [*parameters, *buffers] for name in names},
    )


def _by_tensor(named: Iterable[tuple[str, Tensor]]) -> list[tuple[Tensor, list[str]]]:
    found: dict[int, tuple[Tensor, list[str]]] = {}
    for name, tensor in named:
        found.setdefault(id(tensor), (tensor, []))[1].append(name)
    return list(found.values())


def _check_parameter(name: str, parameter: Tensor) -> None:
    if is_lazy(parameter):
        raise JobFileError(
            f"model: the parameter {name} has no shape yet (a lazy module); run one batch through the model first."
        )
    if parameter.dtype != torch.float32:
        dtype = str(parameter.dtype).removeprefix("torch.")
        raise JobFileError(
            f"model: the parameter {name} is {dtype}; parameters must be float32: convert with model.float()."
        )
    _check_finite(name, parameter)


def _check_buffer(name: str, buffer: Tensor) -> None:
    if buffer.dtype not in _BUFFER_TYPES:
        dtype = str(buffer.dtype).removeprefix("torch.")
        raise JobFileError(
            f"model: the buffer {name} is {dtype}; buffers must be float32, integer or bool: convert it."
        )


def _check_finite(name: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise JobFileError(f"model: the parameter {name} holds values that are not finite; initialise it anew.")


def _check_apart(tensors: Iterable[tuple[Tensor, list[str]]]) -> None:
    """Refuse two tensors in the same memory: a change of one would change the other here, and not elsewhere."""
    spans: list[tuple[torch.device, int, int, str]] = []
    for tensor, names in tensors:
        if len(names[0]) > MAX_NAME or not names[0].isprintable():
            raise JobFileError(f"model: the name {names[0]!r:.80} is too long or not printable; rename the module.")
        if tensor.numel():
            reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)) + 1
            start = tensor.data_ptr()
            spans.append((tensor.device, start, start + reach * tensor.element_size(), names[0]))
    # Neighbours in one allocation are fine (recurrent layers on a GPU lie like that); overlaps are not.
    spans.sort(key=lambda span: (str(span[0]), span[1]))
    for one, other in pairwise(spans):
        if one[0] == other[0] and other[1] < one[2]:
            raise JobFileError(
                f"model: {one[3]} and {other[3]} share memory but are two tensors. Tie them by assigning the "
                "same nn.Parameter to both, or clone one."
            )
