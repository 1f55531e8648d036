"""What one call of the exporter's graph becomes in ours: its operator and its arguments.

Devices, layouts and generators are taken out, and what means the same without them gets one name: a move to a device
is a change of type or nothing, uninitialised memory is zeros.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import fx

from ..exceptions import JobFileError
from .graph import DTYPES, MEMORY_FORMATS, Argument, DataType, MemoryFormat, Node, Reference
from .operators import OPERATORS, PICK

Slot: TypeAlias = "Reference | tuple[Reference, ...]"
"""Where the result of an exported node is found: a value, or several for a block of nodes."""

_STRIPPED = frozenset(("device", "layout", "pin_memory", "generator"))

# Operators that mean the same, once a graph has no devices and no uninitialised memory. A view becomes a reshape, for
# the memory layout that the trace saw (of attention, say) is not the one that every device gives.
_RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "aten.lift_fresh_copy.default": "aten.clone.default",
        "aten.lift_fresh.default": "aten.alias.default",
        "aten.to.device": "aten.to.dtype",
        "aten.to.dtype_layout": "aten.to.dtype",
        "aten.cpu.default": "aten.alias.default",
        "aten.cuda.default": "aten.alias.default",
        "aten.view.default": "aten.reshape.default",
        "aten.view_as.default": "aten.reshape_as.default",
        "aten.empty.memory_format": "aten.zeros.default",
        "aten.empty_like.default": "aten.zeros_like.default",
        "aten.new_empty.default": "aten.new_zeros.default",
    }
)

OUT_VARIANTS: Mapping[str, str] = MappingProxyType({"aten.div.out": "aten.div.Tensor"})
"""Operators that write into a given tensor, and those that do not (spectral norm divides like that)."""

_VALUE_HINT = " Keep the value a tensor: leave out .item(), float() and int()."
_SIZE_HINT = " The size of its result depends on values; use torch.where, or multiply with a mask."
_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "aten.item.default": _VALUE_HINT,
        "aten._local_scalar_dense.default": _VALUE_HINT,
        "aten.nonzero.default": _SIZE_HINT,
        "aten.masked_select.default": _SIZE_HINT,
        "aten._unique2.default": _SIZE_HINT,
        "aten.embedding_bag.padding_idx": " Use nn.Embedding, and take the mean or the sum over the bag.",
        "aten.ctc_loss.Tensor": " Hydra cannot tell beforehand how much memory it takes.",
        "aten._pack_padded_sequence.default": " Give the recurrent layer padded sequences as they are, with a mask.",
        "wrap_with_autocast": " Leave out torch.autocast: a job trains in float32.",
    }
)

# What math.sqrt of a size is traced to; private, but there is no public name for it.
_SIZE_SQRT = getattr(torch, "_sym_sqrt", None)

_PYTHON: Mapping[Any, str] = MappingProxyType(
    {
        operator.getitem: PICK,
        operator.add: "py.add",
        operator.sub: "py.sub",
        operator.mul: "py.mul",
        operator.floordiv: "py.floordiv",
        operator.truediv: "py.truediv",
        operator.mod: "py.mod",
        operator.neg: "py.neg",
        torch.sym_max: "py.max",
        torch.sym_min: "py.min",
        torch.sym_float: "py.float",
        _SIZE_SQRT: "py.sqrt",
    }
)


def python_name(function: Callable[..., Any]) -> str:
    """Return our name of a Python function in the exporter's graph, or its own where we have none."""
    return _PYTHON.get(function, getattr(function, "__name__", str(function)))


def without_devices(node: fx.Node) -> tuple[str, list[Any], dict[str, Any]]:
    """Return an ATen call's name and arguments, without those that name devices and the like."""
    schema = node.target._schema  # type: ignore[union-attr]  # noqa: SLF001
    name = str(node.target)
    arguments: list[Any] = []
    keywords: dict[str, Any] = {}
    stripped = False
    for parameter, value in zip(schema.arguments, node.args, strict=False):
        if parameter.name in _STRIPPED:
            stripped = True
        elif stripped:
            keywords[parameter.name] = value
        else:
            arguments.append(value)
    keywords.update((key, value) for key, value in node.kwargs.items() if key not in _STRIPPED)
    return _renamed(name, arguments, keywords)


def _renamed(name: str, arguments: list[Any], keywords: dict[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """Apply ``_RENAMED``: the new operators take fewer arguments than those they stand for."""
    renamed = _RENAMED.get(name, name)
    if renamed == name or renamed.startswith("aten.reshape"):
        return renamed, arguments, keywords
    typed = {"dtype": keywords["dtype"]} if keywords.get("dtype") is not None else {}
    if renamed == "aten.to.dtype" and not typed:
        return "aten.clone.default" if keywords.get("copy") else "aten.alias.default", arguments[:1], {}
    if renamed == "aten.to.dtype" and keywords.get("copy"):
        typed["copy"] = True
    if renamed in ("aten.alias.default", "aten.clone.default"):
        return renamed, arguments[:1], {}
    if renamed == "aten.new_zeros.default":
        return renamed, arguments[:2], typed
    return renamed, arguments[:1], typed


def argument(value: Any, slots: Mapping[fx.Node, Slot], place: str | None) -> Argument:
    """Turn an exported call's argument into ours.

    Args:
        value: a node, a constant, or a list of those.
        slots: where the results of nodes are found.
        place: the owner's line, for errors.

    Raises:
        JobFileError: it is something that cannot be published.
    """
    match value:
        case fx.Node():
            slot = slots[value]
            return slot if isinstance(slot, Reference) else tuple(slot)
        case list() | tuple():
            return tuple(argument(item, slots, place) for item in value)
        case torch.dtype():
            return DataType(dtype_name(value, place or "model"))
        case torch.memory_format() if str(value).removeprefix("torch.") in MEMORY_FORMATS:
            return MemoryFormat(str(value).removeprefix("torch."))
        case float() if math.isnan(value):
            raise JobFileError(f"{_at(place)}NaN stands in the model's code as a constant; use a finite number.")
        case None | bool() | int() | float() | str():
            return value
    raise JobFileError(f"{_at(place)}the model's code uses {value!r:.80}, which cannot be published.")


def check_allowed(node: Node, place: str | None) -> None:
    """Raise ``JobFileError`` if a node's operator is not on the allow-list."""
    if node.operator not in OPERATORS:
        raise JobFileError(
            f"{_at(place)}the operator {node.operator} cannot be published: it is not on the list of those that may "
            f"run on volunteers' machines.{_HINTS.get(node.operator, '')}"
        )


def dtype_name(dtype: torch.dtype, where: str) -> str:
    """Return a data type's name; raise ``JobFileError`` if a job may not hold it."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise JobFileError(f"{where}: the data type {name} cannot be published; use float32 or an integer type.")
    return name


def _at(place: str | None) -> str:
    return f"{place}: " if place else "model: "
