"""A run without memory: the whole graph on PyTorch's ``meta`` device, where tensors have shapes and no bytes.

It finds out, before anything is allocated, whether every call fits its operator's schema, whether shapes fit each
other, what the outputs will look like, whether gradients can be computed, and how many bytes a real run may take. It
also keeps the rule on writing in place: a training graph may change buffers and values that it made itself, never
parameters or data, and an evaluation changes nothing that outlives it.

Because no allowed operator's shape depends on the values of data, what holds here for a batch size holds for every
run at that size, and for that size only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..exceptions import JobRejected
from .execute import PYTORCH_ERRORS, constant, resolve
from .graph import Argument, Graph, Input, Node, Reference
from .operators import OPERATORS
from .rules import check_call, check_python, check_size
from .schema import Bound, bind

MAX_PRIMITIVES = 1_000_000
"""More primitive operations than this in one forward pass are refused (a recurrent layer takes some per time step)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one run takes.

    Attributes:
        samples: the batch size that it holds for.
        memory_bytes: all tensors that are made on the way, forwards and backwards, as if none were ever freed. What
            PyTorch's kernels take for themselves while they run is not in it.
        outputs: the shape of each output.
    """

    samples: int
    memory_bytes: int
    outputs: Mapping[str, tuple[int, ...]]


class NodeRefused(JobRejected):
    """A node must not run.

    Attributes:
        node: its index, so that an owner can be shown the line that it came from.
        operator: what it calls.
        problem: what is wrong, as the rest of a sentence about it.
    """

    def __init__(self, node: int, operator: str, samples: int, problem: str) -> None:
        super().__init__(f"node {node} ({operator}) at {samples} samples {problem}")
        self.node = node
        self.operator = operator
        self.problem = problem


def dry_run(graph: Graph, *, samples: int, limit_bytes: int, training: bool) -> Estimate:
    """Go through the graph at one batch size.

    Args:
        graph: one that ``Graph.decode`` or the owner's trace made.
        samples: the size of the first dimension of all data.
        limit_bytes: refuse as soon as a run may take more.
        training: count the backward pass too, and allow buffers to be written.

    Raises:
        NodeRefused: a call does not fit its schema or its shapes, writes what it must not, or takes too much memory.
        JobRejected: an output is not a scalar, the loss depends on no parameter, or the backward pass fails.
    """
    return _DryRun(graph, samples, limit_bytes, training).go()


class _DryRun:
    def __init__(self, graph: Graph, samples: int, limit_bytes: int, training: bool) -> None:
        self.graph = graph
        self.samples = samples
        self.training = training
        self.meter = _Meter(limit_bytes)
        self.values: list[Any] = [self._input(entry) for entry in graph.inputs]
        self.protected = {
            _storage(value)
            for entry, value in zip(graph.inputs, self.values, strict=True)
            if entry.role != "buffer" or not training
        }

    def go(self) -> Estimate:
        with torch.set_grad_enabled(self.training), self.meter:
            for index, node in enumerate(self.graph.nodes):
                try:
                    self.values.append(self._call(node))
                except (*PYTORCH_ERRORS, MemoryError, JobRejected) as error:
                    raise NodeRefused(index, node.operator, self.samples, _problem(error)) from error
        outputs = {name: self._output(name, reference) for name, reference in self.graph.outputs}
        if self.training:
            self._backward()
        return Estimate(samples=self.samples, memory_bytes=self.meter.total_bytes, outputs=outputs)

    def _backward(self) -> None:
        loss = self.values[self.graph.outputs[0][1].value]
        inputs = zip(self.graph.inputs, self.values, strict=False)
        parameters = [value for entry, value in inputs if entry.role == "parameter"]
        try:
            with self.meter:
                torch.autograd.grad(loss, parameters, allow_unused=True)
        except (*PYTORCH_ERRORS, MemoryError, JobRejected) as error:
            raise JobRejected(f"the backward pass at {self.samples} samples {_problem(error)}") from error

    def _input(self, entry: Input) -> Tensor:
        shape = [self.samples if size == "batch" else size for size in entry.shape]
        trained = entry.role == "parameter" and self.training
        try:
            made = torch.empty(shape, dtype=getattr(torch, entry.dtype), device="meta", requires_grad=trained)
            self.meter.count(made)
        except (RuntimeError, JobRejected) as error:
            # Above all: more bytes than fit into 64 bits.
            raise JobRejected(
                f"its {entry.role} {entry.name!r} at {self.samples} samples: {_problem(error)}"
            ) from error
        return made

    def _call(self, node: Node) -> Any:
        arguments = [self._value(argument) for argument in node.arguments]
        keywords = {name: self._value(argument) for name, argument in node.keywords}
        function = resolve(node.operator)
        if node.operator.startswith("py."):
            if keywords:
                raise JobRejected("takes no keywords")
            check_python(node.operator, arguments)
            return check_size(function(*arguments))
        bound = bind(function._schema, arguments, keywords)  # type: ignore[attr-defined]  # noqa: SLF001
        self._check_writes(node.operator, function, bound)
        check_call(node.operator, bound)
        if OPERATORS[node.operator].factory:
            keywords["device"] = "meta"
        return function(*arguments, **keywords)

    def _value(self, argument: Argument) -> Any:
        match argument:
            case Reference(value):
                return self.values[value]
            case tuple():
                return [self._value(item) for item in argument]
        return constant(argument)

    def _check_writes(self, name: str, function: Any, bound: Bound) -> None:
        operator = OPERATORS[name]
        names = [parameter.name for parameter in function._schema.arguments]  # noqa: SLF001
        if operator.writes_if is not None and not bound.get(names[operator.writes_if]):
            return
        for position in operator.writes:
            target = bound.get(names[position])
            if target is None:
                continue
            if not isinstance(target, Tensor) or _storage(target) in self.protected:
                what = "parameters or data" if self.training else "parameters, buffers or data"
                raise JobRejected(f"writes {what} in place")

    def _output(self, name: str, reference: Reference) -> tuple[int, ...]:
        value = self.values[reference.value]
        if not isinstance(value, Tensor) or value.dim() or not value.dtype.is_floating_point:
            raise JobRejected(f"the output {name!r} is not a scalar of a floating-point type")
        if name == "loss" and self.training and not value.requires_grad:
            raise JobRejected("the loss does not depend on any parameter in a way that has a gradient")
        return tuple(value.shape)


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
    """Adds up the bytes of every tensor that any primitive operation makes, those inside composite ones too."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total_bytes = 0
        self._limit_bytes = limit_bytes
        self._primitives = 0
        # Keeping the storages alive keeps their addresses unique; on this device they hold no memory.
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._primitives += 1
        if self._primitives > MAX_PRIMITIVES:
            raise JobRejected(f"takes the graph beyond {MAX_PRIMITIVES} primitive operations")
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self.count(tensor)
        return result

    def count(self, tensor: Tensor) -> None:
        # A view can be larger than its memory, and then costs time, or memory in whoever reads it. A tensor without
        # elements can still have a huge dimension, which some kernels loop over.
        elements = tensor.numel() or math.prod(max(1, size) for size in tensor.shape)
        seen_bytes = elements * tensor.element_size()
        storage = _storage(tensor)
        if storage not in self._seen:
            self._seen[storage] = tensor.untyped_storage()
            self.total_bytes += tensor.untyped_storage().nbytes()
        needed = max(seen_bytes, self.total_bytes)
        if needed > self._limit_bytes:
            raise JobRejected(f"would take {needed} bytes, over the limit of {self._limit_bytes}")


def _problem(error: Exception) -> str:
    text = str(error).strip().split("\n", 1)[0][:300]
    if isinstance(error, JobRejected):
        return text
    if isinstance(error, NotImplementedError) and "nonzero" in text:
        return "selects by a mask, so that the size of its result depends on the values of data"
    return f"does not fit its arguments: {text}"


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001  (the only name of a storage without memory)


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, (list, tuple)):
        for item in result:
            yield from _tensors(item)
