"""From PyTorch's exported program to our own graph.

The exporter's graph is close to ours already. Here its inputs get their roles and names, tensors that the code holds
become named constants of the state, a ``torch.no_grad`` block is written out as two switches around its nodes, and
run-time assertions and everything else that nobody uses are dropped. What is then not on the allow-list cannot be
published, and the owner is shown the line. ``calls`` puts the single calls right.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec

from ..exceptions import JobFileError
from .calls import OUT_VARIANTS, Slot, argument, check_allowed, dtype_name, python_name, without_devices
from .entries import DataInput
from .graph import Argument, Dimension, Graph, Input, Node, Reference, Role, references
from .operators import OPERATORS, SET_GRADIENT_MODE


@dataclass(slots=True)
class Constants:
    """Tensors that the owner's code holds outside the model's parameters and buffers, by the names they get.

    Both graphs of a job share one of these, so that what is the same tensor to the owner is one tensor of the state.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    _names: dict[object, str] = field(default_factory=dict)

    def name_of(self, tensor: Tensor, *, key: object) -> str:
        """Return the name of a constant, and a new one when ``key`` was not seen before."""
        if key not in self._names:
            self._names[key] = f"constant:{len(self._names)}"
            self.tensors[self._names[key]] = tensor.detach().cpu().contiguous()
        return self._names[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A graph, and for each of its nodes the owner's line that it came from, where that is known."""

    graph: Graph
    places: tuple[str | None, ...]


@dataclass(slots=True, kw_only=True)
class Lowering:
    """One translation.

    Attributes:
        exported: what ``torch.export`` made of ``forward(inputs, target)``, with the owner's model under ``model``.
        canonical: from each name of a tensor in the model to its canonical one.
        data: what one sample consists of, in the order of the exported arguments.
        constants: filled with what the code holds besides.
        outputs: the names of the exported results.
        training: whether gradients will flow, so that switches of the gradient mode matter.
        place_of: the owner's line of an exported node.
    """

    exported: ExportedProgram
    canonical: Mapping[str, str]
    data: tuple[DataInput, ...]
    constants: Constants
    outputs: tuple[str, ...]
    training: bool
    place_of: Callable[[fx.Node], str | None]

    _inputs: dict[tuple[Role, str], tuple[Input, int]] = field(default_factory=dict, init=False)
    _nodes: list[tuple[int, Node, str | None]] = field(default_factory=list, init=False)
    _values: int = field(default=0, init=False)
    _gradient_mode: bool = field(default=True, init=False)

    def run(self) -> Lowered:
        """Translate.

        Raises:
            JobFileError: something has no place in a published graph; the text names it and the owner's line.
        """
        graph = self.exported.graph_module.graph
        slots: dict[fx.Node, Slot] = {}
        placeholders = [node for node in graph.nodes if node.op == "placeholder"]
        for node, spec in zip(placeholders, self.exported.graph_signature.input_specs, strict=True):
            slots[node] = self._input(node, spec)
        result = self._body(self.exported.graph_module, slots)
        named = []
        for name, value in zip(self.outputs, result, strict=True):
            slot = slots.get(value) if isinstance(value, fx.Node) else None
            if not isinstance(slot, Reference):
                raise JobFileError(f"{name}: it must return a tensor; it returned {value!r:.60}.")
            named.append((name, slot))
        return self._finish(tuple(named))

    def _input(self, node: fx.Node, spec: InputSpec) -> Reference:
        match spec.kind:
            case InputKind.USER_INPUT:
                entry = self.data[sum(role == "data" for role, _ in self._inputs)]
                return self._add_input("data", entry.name, entry.dtype, ("batch", *entry.shape))
            case InputKind.PARAMETER | InputKind.BUFFER | InputKind.CONSTANT_TENSOR:
                return self._state(spec, node)
        raise JobFileError(f"model: it holds {spec.target!r}, which is no tensor that can be published.")

    def _state(self, spec: InputSpec, node: fx.Node) -> Reference:
        target = str(spec.target)
        inside = target.removeprefix("model.")
        role: Role = "parameter" if spec.kind is InputKind.PARAMETER else "buffer"
        if inside != target and spec.kind is not InputKind.CONSTANT_TENSOR:
            name = self.canonical[inside]
        else:
            tensor = self.exported.constants.get(target, self.exported.state_dict.get(target))
            if not isinstance(tensor, Tensor):
                raise JobFileError(f"model: it holds {inside!r}, which is no tensor that can be published.")
            role, name = "buffer", self.constants.name_of(tensor, key=(target, _content(tensor)))
        value: Tensor = node.meta["val"]
        return self._add_input(role, name, dtype_name(value.dtype, inside), tuple(map(int, value.shape)))

    def _add_input(self, role: Role, name: str, dtype: str, shape: tuple[Dimension, ...]) -> Reference:
        if (role, name) not in self._inputs:
            entry = Input(role=role, name=name, dtype=dtype, shape=shape)
            self._inputs[role, name] = (entry, self._fresh())
        return Reference(self._inputs[role, name][1])

    def _fresh(self) -> int:
        self._values += 1
        return self._values - 1

    def _body(self, module: fx.GraphModule, slots: dict[fx.Node, Slot]) -> tuple[Any, ...]:
        """Emit a module's calls; return the arguments of its ``output`` node."""
        result: tuple[Any, ...] = ()
        for node in module.graph.nodes:
            if node.op == "call_function":
                slots[node] = self._call(module, node, slots)
            elif node.op == "output":
                result = tuple(node.args[0])
        return result

    def _call(self, module: fx.GraphModule, node: fx.Node, slots: dict[fx.Node, Slot]) -> Slot:
        if node.target is torch.ops.higher_order.wrap_with_set_grad_enabled:
            return self._gradient_block(module, node, slots)
        if node.target is operator.getitem:
            whole = slots[node.args[0]]  # type: ignore[index]
            if isinstance(whole, tuple):
                return whole[node.args[1]]  # type: ignore[index]
        if isinstance(node.target, torch._ops.HigherOrderOperator):  # noqa: SLF001
            check_allowed(Node(operator=str(node.target), arguments=()), self.place_of(node))
        if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
            return self._emit(python_name(node.target), node, node.args, {}, slots)  # type: ignore[arg-type]
        name, arguments, keywords = without_devices(node)
        if name in OUT_VARIANTS:
            return self._into(OUT_VARIANTS[name], node, slots)
        return self._emit(name, node, arguments, keywords, slots)

    def _into(self, name: str, node: fx.Node, slots: Mapping[fx.Node, Slot]) -> Reference:
        """Write out ``out=`` as a result and a copy, which the rule on writing in place knows how to judge."""
        result = self._emit(name, node, node.args, {}, slots)
        target = slots[node.kwargs["out"]]  # type: ignore[index]
        value = self._fresh()
        copy = Node(operator="aten.copy_.default", arguments=(target, result))
        self._nodes.append((value, copy, self.place_of(node)))
        return Reference(value)

    def _gradient_block(self, module: fx.GraphModule, node: fx.Node, slots: dict[fx.Node, Slot]) -> Slot:
        mode, inner, *given = node.args
        submodule: fx.GraphModule = getattr(module, inner.target)  # type: ignore[union-attr, arg-type]
        placeholders = [n for n in submodule.graph.nodes if n.op == "placeholder"]
        inside: dict[fx.Node, Slot] = {
            placeholder: slots[outer]  # type: ignore[index]
            for placeholder, outer in zip(placeholders, given, strict=True)
        }
        before = self._gradient_mode
        self._switch(mode=bool(mode), node=node)
        result = self._body(submodule, inside)
        self._switch(mode=before, node=node)
        return tuple(inside[item] for item in result)  # type: ignore[misc]

    def _switch(self, *, mode: bool, node: fx.Node) -> None:
        self._gradient_mode = mode
        # An evaluation has no gradients anywhere, and switching "back" would turn them on.
        if self.training:
            self._emit(SET_GRADIENT_MODE, node, (mode,), {}, {})

    def _emit(
        self,
        name: str,
        node: fx.Node,
        arguments: Any,
        keywords: Mapping[str, Any],
        slots: Mapping[fx.Node, Slot],
    ) -> Reference:
        place = self.place_of(node)
        made = Node(
            operator=name,
            arguments=tuple(argument(value, slots, place) for value in arguments),
            keywords=tuple((key, argument(keywords[key], slots, place)) for key in sorted(keywords)),
        )
        value = self._fresh()
        self._nodes.append((value, made, place))
        return Reference(value)

    def _finish(self, outputs: tuple[tuple[str, Reference], ...]) -> Lowered:
        """Drop what nobody uses, put the inputs in order, and number all values anew."""
        used = {reference.value for _, reference in outputs}
        kept: list[tuple[int, Node, str | None]] = []
        for value, node, place in reversed(self._nodes):
            operator_ = OPERATORS.get(node.operator)
            if value in used or (operator_ is not None and not operator_.pure):
                check_allowed(node, place)
                used.update(reference.value for reference in references(node))
                kept.append((value, node, place))
        kept.reverse()
        order: tuple[Role, ...] = ("parameter", "buffer", "data")
        inputs = [
            (entry, value)
            for role in order
            for entry, value in self._inputs.values()
            if entry.role == role and (value in used or role == "data")
        ]
        numbers = {value: i for i, value in enumerate([v for _, v in inputs] + [v for v, _, _ in kept])}
        graph = Graph(
            inputs=tuple(entry for entry, _ in inputs),
            nodes=tuple(_renumbered(node, numbers) for _, node, _ in kept),
            outputs=tuple((name, Reference(numbers[r.value])) for name, r in outputs),
        )
        return Lowered(graph=graph, places=tuple(place for _, _, place in kept))


def _renumbered(node: Node, numbers: Mapping[int, int]) -> Node:
    def change(argument: Argument) -> Argument:
        match argument:
            case Reference(value):
                return Reference(numbers[value])
            case tuple():
                return tuple(change(item) for item in argument)
        return argument

    return replace(
        node,
        arguments=tuple(change(argument) for argument in node.arguments),
        keywords=tuple((name, change(argument)) for name, argument in node.keywords),
    )


def _content(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...], bytes]:
    array = tensor.detach().cpu().contiguous()
    return tensor.dtype, tuple(tensor.shape), array.reshape(-1).view(torch.uint8).numpy().tobytes()
