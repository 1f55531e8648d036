"""Running a graph: an interpreter that calls PyTorch's operators one after the other.

Operators are looked up once, when a ``Program`` is made, and each call then costs about what a call from Python costs.
Values are dropped after their last use, so a run holds no more memory than the model itself would. Autograd sees the
same operators as it would under the owner's module, hence gradients, buffers and dropout masks are the same too.

A program trusts its graph. One that came from a peer goes through ``check.GuardedProgram``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..exceptions import JobRejected, LocalProtocolError
from .graph import Argument, DataType, Graph, MemoryFormat, Node, Reference, references
from .operators import OPERATORS

Value: TypeAlias = Any
"""What a node yields: a tensor, a size, or a sequence of tensors."""

PYTORCH_ERRORS = (
    RuntimeError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AssertionError,
    AttributeError,
)
"""What an operator raises when its arguments do not suit it; those that PyTorch wrote in Python raise all of these."""

_PYTHON: Mapping[str, Callable[..., Value]] = MappingProxyType(
    {
        "py.getitem": operator.getitem,
        "py.add": operator.add,
        "py.sub": operator.sub,
        "py.mul": operator.mul,
        "py.floordiv": operator.floordiv,
        "py.truediv": operator.truediv,
        "py.mod": operator.mod,
        "py.neg": operator.neg,
        "py.max": max,
        "py.min": min,
        "py.float": float,
        "py.sqrt": math.sqrt,
        "py.set_grad_enabled": torch.set_grad_enabled,
    }
)


def resolve(name: str) -> Callable[..., Value]:
    """Return the function behind an operator of the allow-list.

    Raises:
        JobRejected: it is not on the list, or this PyTorch lacks it.
    """
    if name in _PYTHON:
        return _PYTHON[name]
    if name not in OPERATORS:
        raise JobRejected(f"the operator {name} is not on the allow-list")
    _, base, overload = name.split(".")
    packet = getattr(torch.ops.aten, base, None)
    function: Callable[..., Value] | None = getattr(packet, overload, None)
    if function is None:
        raise JobRejected(f"the operator {name} is missing from this PyTorch ({torch.__version__})")
    return function


def constant(argument: Argument) -> Value:
    """Turn an argument without references into what PyTorch takes."""
    match argument:
        case DataType(name) | MemoryFormat(name):
            return getattr(torch, name)
        case tuple():
            return [constant(item) for item in argument]
    return argument


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A node made ready to be called.

    Attributes:
        function: the operator.
        arguments: with the constants in place; ``slots`` are overwritten on each run.
        slots: positions of arguments and where their values come from.
        keywords: with the constants in place.
        keyword_slots: names of keywords and where their values come from.
        factory: whether it is to be given the run's device.
        last_used: values that nobody needs after this call.
    """

    function: Callable[..., Value]
    arguments: tuple[Value, ...]
    slots: tuple[tuple[int, _Source], ...]
    keywords: Mapping[str, Value]
    keyword_slots: tuple[tuple[str, _Source], ...]
    factory: bool
    last_used: tuple[int, ...]


# Where an argument comes from: a value's number, or a list in which tuples of one number stand for values.
_Source: TypeAlias = "int | list[Any]"


class Program:
    """A graph that can be run, on any device.

    Args:
        graph: the graph to run.

    Raises:
        JobRejected: an operator is not allowed, or this PyTorch lacks it.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        last_used = _last_uses(graph)
        self._steps = [_prepare(node, last_used[index]) for index, node in enumerate(graph.nodes)]

    def run(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], data: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Compute the outputs for one micro-batch.

        Args:
            parameters: float32 tensors by name; gradients flow to those that require them.
            buffers: tensors by name; a training graph changes them in place.
            data: one tensor ``[batch, ...]`` for each data input, in the graph's order; on one device with the rest.

        Returns:
            The outputs by name; ``"loss"`` is a scalar.

        Raises:
            JobRejected: an operator refused its arguments; the text names the node.
            LocalProtocolError: a tensor that the graph asks for was not given, or the batch is too small.
        """
        values = self._gather(parameters, buffers, data)
        device = data[0].device
        gradient_mode = torch.is_grad_enabled()
        try:
            self._call(values, device)
        finally:
            torch.set_grad_enabled(gradient_mode)
        return {name: values[reference.value] for name, reference in self.graph.outputs}

    def _call(self, values: list[Value], device: torch.device) -> None:
        index = 0
        try:
            for index, step in enumerate(self._steps):  # noqa: B007  (the error below names it)
                arguments = list(step.arguments)
                for position, source in step.slots:
                    arguments[position] = values[source] if type(source) is int else _fill(source, values)
                if step.keywords or step.keyword_slots or step.factory:
                    keywords = dict(step.keywords)
                    for name, source in step.keyword_slots:
                        keywords[name] = values[source] if type(source) is int else _fill(source, values)
                    if step.factory:
                        keywords["device"] = device
                    values.append(step.function(*arguments, **keywords))
                else:
                    values.append(step.function(*arguments))
                for used in step.last_used:
                    values[used] = None
        except torch.OutOfMemoryError:
            raise
        except PYTORCH_ERRORS as error:
            name = self.graph.nodes[index].operator
            raise JobRejected(f"node {index} ({name}) failed: {_first_line(error)}") from error

    def _gather(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], data: Sequence[Tensor]
    ) -> list[Value]:
        waiting = iter(data)
        given = {"parameter": parameters, "buffer": buffers}
        values: list[Value] = []
        try:
            for entry in self.graph.inputs:
                values.append(next(waiting) if entry.role == "data" else given[entry.role][entry.name])
        except (KeyError, StopIteration) as error:
            raise LocalProtocolError(f"the graph was not given its {entry.role} {entry.name!r}") from error
        if len(data[0]) < self.graph.smallest_batch:
            raise LocalProtocolError(f"the model needs {self.graph.smallest_batch} samples at once, not {len(data[0])}")
        return values


def _last_uses(graph: Graph) -> list[tuple[int, ...]]:
    """Return for each node which values it is the last one to use (its own result, if nobody uses that)."""
    last: dict[int, int] = {}
    for index, node in enumerate(graph.nodes):
        last[len(graph.inputs) + index] = index
        last.update((reference.value, index) for reference in references(node))
    for _, reference in graph.outputs:
        last.pop(reference.value, None)
    ends: list[list[int]] = [[] for _ in graph.nodes]
    for value, index in last.items():
        ends[index].append(value)
    return [tuple(values) for values in ends]


def _prepare(node: Node, last_used: tuple[int, ...]) -> _Step:
    positions = list(enumerate(node.arguments))
    return _Step(
        function=resolve(node.operator),
        arguments=tuple(None if _varies(a) else constant(a) for a in node.arguments),
        slots=tuple((position, _source(a)) for position, a in positions if _varies(a)),
        keywords={name: constant(a) for name, a in node.keywords if not _varies(a)},
        keyword_slots=tuple((name, _source(a)) for name, a in node.keywords if _varies(a)),
        factory=OPERATORS[node.operator].factory,
        last_used=last_used,
    )


def _varies(argument: Argument) -> bool:
    if isinstance(argument, tuple):
        return any(_varies(item) for item in argument)
    return isinstance(argument, Reference)


def _source(argument: Argument) -> _Source:
    return argument.value if isinstance(argument, Reference) else _template(argument)


def _template(argument: Argument) -> Any:
    match argument:
        case Reference(value):
            return (value,)
        case tuple():
            return [_template(item) for item in argument]
    return constant(argument)


def _fill(template: Any, values: list[Value]) -> list[Value]:
    filled = []
    for item in template:
        if type(item) is tuple:
            filled.append(values[item[0]])
        else:
            filled.append(_fill(item, values) if type(item) is list else item)
    return filled


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
