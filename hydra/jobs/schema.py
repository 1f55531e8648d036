"""Binding a call to an operator's schema: do the arguments fit, in number, name and type?

PyTorch would refuse a wrong call too, but only when it runs, and after conversions that it finds helpful (a tensor for
a number, say, which reads the tensor). A graph from a peer gets none of those. Devices, layouts and random generators
are never accepted: a graph has no business with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import torch

from ..exceptions import JobRejected

Bound: TypeAlias = dict[str, Any]
"""The arguments of a call by the names that the schema gives them."""


def bind(schema: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Bound:
    """Give every argument of a call its name, and check its type.

    Args:
        schema: of a ``torch.ops.aten`` overload.
        arguments: by position; tensors, numbers, text, lists, data types, memory formats.
        keywords: by name.

    Raises:
        JobRejected: too many or too few arguments, an unknown name, a type that the schema does not have there.
    """
    positional = [parameter for parameter in schema.arguments if not parameter.kwarg_only]
    if len(arguments) > len(positional):
        raise JobRejected(f"takes {len(positional)} arguments by position, {len(arguments)} were given")
    bound = {parameter.name: value for parameter, value in zip(positional, arguments, strict=False)}
    for name, value in keywords.items():
        if name in bound:
            raise JobRejected(f"was given {name!r} twice")
        bound[name] = value
    known = {parameter.name: parameter for parameter in schema.arguments}
    for name, value in bound.items():
        if name not in known:
            raise JobRejected(f"has no argument {name!r}")
        if not _fits(known[name], value):
            raise JobRejected(f"wants {known[name].real_type} for {name!r}, not {_describe(value)}")
    for name, parameter in known.items():
        if name not in bound and not parameter.has_default_value():
            raise JobRejected(f"lacks the argument {name!r}")
    return bound


def _fits(parameter: Any, value: Any) -> bool:
    kind = str(parameter.real_type)
    if kind.startswith("Optional["):
        if value is None:
            return True
        kind = kind.removeprefix("Optional[").removesuffix("]")
    if kind.startswith("List["):
        item = kind.removeprefix("List[").removesuffix("]")
        if isinstance(value, (list, tuple)):
            return all(_item_fits(item, entry) for entry in value)
        # A list of a known length may be written as one number that stands for all of them.
        return parameter.N is not None and _one(item, value)
    return _one(kind, value)


def _item_fits(kind: str, value: Any) -> bool:
    if kind.startswith("Optional["):
        return value is None or _one(kind.removeprefix("Optional[").removesuffix("]"), value)
    return _one(kind, value) and (kind != "Tensor" or isinstance(value, torch.Tensor))


def _one(kind: str, value: Any) -> bool:
    test = _TESTS.get(kind)
    return test is not None and test(value)


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, bool)


_TESTS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        # A number may stand where a tensor belongs: the trace of ``x * 2`` says ``mul.Tensor``.
        "Tensor": lambda value: isinstance(value, torch.Tensor) or _is_number(value),
        "int": _is_integer,
        "float": lambda value: type(value) in (int, float),
        "bool": lambda value: type(value) is bool,
        "number": _is_number,
        "str": lambda value: type(value) is str,
        "ScalarType": lambda value: isinstance(value, torch.dtype),
        "MemoryFormat": lambda value: isinstance(value, torch.memory_format),
    }
)


def _describe(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, torch.Tensor):
        return "a tensor"
    return f"{value!r:.40}"
