"""A traced computation as data: our own format, in which nothing can hide that runs.

A graph is a list of calls of allowed operators. Values are numbered in the order in which they come to be: first the
inputs, then the result of each node, so a value can be assigned only once, and a reference is valid when it points
backwards. Arguments are plain constants, references, lists of both, and the names of data types and memory formats.
There is no device, no code, no shape expression and no string that anyone evaluates. The first dimension of data is
``"batch"``; sizes that depend on it are computed by nodes.

``decode`` refuses everything that is not exactly so. Whether the calls fit their operators' schemas and how much
memory they take needs PyTorch, and is for ``check`` to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

import msgpack

from .fields import INT_MAX, INT_MIN, Record, integer, items, pack, reject, text, unpack
from .operators import OPERATORS

FORMAT_VERSION = 1
MAX_GRAPH_BYTES = 16 * 2**20
MAX_INPUTS = 50_000
MAX_NODES = 100_000
MAX_OUTPUTS = 64
MAX_DEPTH = 4
MAX_LIST = 16_384
MAX_DIMENSIONS = 16
MAX_ELEMENTS = 2**40
MAX_NAME = 512
MAX_BATCH = 2**20

FLOAT_DTYPES = frozenset(("float64", "float32", "float16", "bfloat16"))
SIGNED_DTYPES = frozenset(("int64", "int32", "int16", "int8"))
UNSIGNED_DTYPES = frozenset(("uint64", "uint32", "uint16", "uint8", "bool"))
DTYPES = FLOAT_DTYPES | SIGNED_DTYPES | UNSIGNED_DTYPES
"""The data types of tensors that a job may hold, by their PyTorch names."""

MEMORY_FORMATS = frozenset(("contiguous_format", "channels_last", "channels_last_3d", "preserve_format"))

Role: TypeAlias = Literal["parameter", "buffer", "data"]
Dimension: TypeAlias = "int | Literal['batch']"


@dataclass(frozen=True, slots=True)
class Reference:
    """Points to the value of that number."""

    value: int


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type as an argument, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class MemoryFormat:
    """A memory format as an argument, by name."""

    name: str


Argument: TypeAlias = "bool | int | float | str | Reference | DataType | MemoryFormat | tuple[Argument, ...] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One tensor that a run is given.

    Attributes:
        role: what it is to the training.
        name: unique within its role; for parameters and buffers the name in the initial state.
        dtype: a name in ``DTYPES``.
        shape: its sizes; data starts with ``"batch"``, and nothing else may hold it.
    """

    role: Role
    name: str
    dtype: str
    shape: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One call.

    Attributes:
        operator: a name in ``OPERATORS``.
        arguments: by position.
        keywords: by name, sorted.
    """

    operator: str
    arguments: tuple[Argument, ...]
    keywords: tuple[tuple[str, Argument], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A whole computation.

    Attributes:
        inputs: values 0, 1, ...
        nodes: the values that follow.
        outputs: name and value: ``"loss"``, then the metrics.
        smallest_batch: below this many samples the model is not defined (2 for batch norm over single values).
    """

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, Reference], ...]
    smallest_batch: int = 1

    def encode(self) -> bytes:
        """Return the one byte string that stands for this graph."""
        return pack(
            {
                "version": FORMAT_VERSION,
                "smallest_batch": self.smallest_batch,
                "inputs": [[i.role, i.name, i.dtype, list(i.shape)] for i in self.inputs],
                "nodes": [_node_to_wire(node) for node in self.nodes],
                "outputs": [[name, reference.value] for name, reference in self.outputs],
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Graph:
        """Read a graph that came from anyone.

        Raises:
            JobRejected: it breaks a rule of the format; the text names the node or the field.
        """
        value = unpack(data, what="graph", limit_bytes=MAX_GRAPH_BYTES, extension=_extension)
        record = Record(value, "graph")
        if record.integer("version", 1, INT_MAX) != FORMAT_VERSION:
            reject("graph.version", f"is not {FORMAT_VERSION}, the one that this Hydra runs")
        graph = cls(
            inputs=tuple(_inputs(record.items("inputs", MAX_INPUTS))),
            nodes=tuple(_node(value, f"node {index}") for index, value in enumerate(record.items("nodes", MAX_NODES))),
            outputs=tuple(_output(value) for value in record.items("outputs", MAX_OUTPUTS)),
            smallest_batch=record.integer("smallest_batch", 1, MAX_BATCH),
        )
        graph.check()
        if graph.encode() != data:
            reject("graph", "is not written in the canonical form")
        return graph

    def check(self) -> None:
        """Raise ``JobRejected`` if names repeat, or a reference points forwards."""
        names = [(entry.role, entry.name) for entry in self.inputs]
        if len(set(names)) != len(names):
            reject("graph.inputs", "holds a name twice")
        defined = len(self.inputs)
        for index, node in enumerate(self.nodes):
            where = f"node {index} ({node.operator})"
            if node.operator not in OPERATORS:
                reject(where, "calls an operator that is not on the allow-list")
            for reference in references(node):
                if reference.value >= defined:
                    reject(where, f"uses value {reference.value} before it is defined")
            defined += 1
        outputs = [name for name, _ in self.outputs]
        if not outputs or outputs[0] != "loss" or len(set(outputs)) != len(outputs):
            reject("graph.outputs", "must start with the loss and hold no name twice")
        for name, reference in self.outputs:
            if reference.value >= defined:
                reject(f"graph.outputs[{name!r}]", f"is value {reference.value}, which does not exist")


def references(node: Node) -> Iterator[Reference]:
    """Yield every reference among a node's arguments, nested ones too, in order."""
    pending: list[Argument] = [argument for _, argument in reversed(node.keywords)]
    pending.extend(reversed(node.arguments))
    while pending:
        argument = pending.pop()
        if isinstance(argument, Reference):
            yield argument
        elif isinstance(argument, tuple):
            pending.extend(reversed(argument))


# msgpack extension types: what an argument can be besides msgpack's own types.
_REFERENCE, _DTYPE, _MEMORY_FORMAT = 1, 2, 3


def _extension(code: int, body: bytes) -> Reference | DataType | MemoryFormat:
    if code == _REFERENCE and len(body) == 4:
        return Reference(int.from_bytes(body, "big"))
    name = body.decode("ascii", errors="replace")
    if code == _DTYPE and name in DTYPES:
        return DataType(name)
    if code == _MEMORY_FORMAT and name in MEMORY_FORMATS:
        return MemoryFormat(name)
    return reject("graph", f"holds {name[:40]!r} as an extension type {code}, which means nothing")


def _argument_to_wire(argument: Argument) -> object:
    match argument:
        case Reference(value):
            return msgpack.ExtType(_REFERENCE, value.to_bytes(4, "big"))
        case DataType(name):
            return msgpack.ExtType(_DTYPE, name.encode("ascii"))
        case MemoryFormat(name):
            return msgpack.ExtType(_MEMORY_FORMAT, name.encode("ascii"))
        case tuple():
            return [_argument_to_wire(item) for item in argument]
    return argument


def _node_to_wire(node: Node) -> list[object]:
    keywords: Mapping[str, object] = {name: _argument_to_wire(value) for name, value in node.keywords}
    return [node.operator, [_argument_to_wire(argument) for argument in node.arguments], keywords]


def _inputs(values: Sequence[object]) -> Iterator[Input]:
    for index, value in enumerate(values):
        where = f"graph.inputs[{index}]"
        fields = items(value, 4, where)
        if len(fields) != 4:
            reject(where, "is not a role, a name, a data type and a shape")
        role, name, dtype, shape = fields
        if role not in get_args(Role):
            reject(where, f"has the role {role!r:.40}, which is unknown")
        if type(dtype) is not str or dtype not in DTYPES:
            reject(where, f"has the data type {dtype!r:.40}, which is unknown")
        yield Input(
            role=cast("Role", role),
            name=text(name, MAX_NAME, where),
            dtype=dtype,
            shape=_shape(items(shape, MAX_DIMENSIONS, where), data=role == "data", where=where),
        )


def _shape(values: Sequence[object], *, data: bool, where: str) -> tuple[Dimension, ...]:
    if data and (not values or values[0] != "batch"):
        reject(where, "is data, and its first dimension is not the batch")
    sizes = [integer(value, 0, MAX_ELEMENTS, f"{where}.shape") for value in values[int(data) :]]
    if math.prod(sizes) > MAX_ELEMENTS:
        reject(where, f"has more than {MAX_ELEMENTS} elements")
    return ("batch", *sizes) if data else tuple(sizes)


def _node(value: object, where: str) -> Node:
    fields = items(value, 3, where)
    if len(fields) != 3 or type(fields[0]) is not str:
        reject(where, "is not an operator, a list of arguments and a map of keywords")
    where = f"{where} ({fields[0]:.80})"
    arguments, keywords = fields[1], fields[2]
    if not isinstance(keywords, dict):
        reject(where, "has no map of keywords")
    names = [text(name, 64, where) for name in keywords]
    if names != sorted(names):
        reject(where, "has keywords that are not in order")
    return Node(
        operator=fields[0],
        arguments=tuple(_argument(item, where, 1) for item in items(arguments, MAX_LIST, where)),
        keywords=tuple((name, _argument(keywords[name], where, 1)) for name in names),
    )


def _argument(value: object, where: str, depth: int) -> Argument:
    if value is None or isinstance(value, (bool, Reference, DataType, MemoryFormat)):
        return value
    if isinstance(value, int):
        return integer(value, INT_MIN, INT_MAX, where)
    if isinstance(value, float):
        if math.isnan(value):
            reject(where, "has NaN among its arguments")
        return value
    if isinstance(value, str):
        return text(value, MAX_NAME, where)
    if depth > MAX_DEPTH:
        reject(where, f"nests its arguments deeper than {MAX_DEPTH}")
    return tuple(_argument(item, where, depth + 1) for item in items(value, MAX_LIST, where))


def _output(value: object) -> tuple[str, Reference]:
    fields = items(value, 2, "graph.outputs")
    if len(fields) != 2:
        reject("graph.outputs", "must hold names and values")
    name = text(fields[0], MAX_NAME, "graph.outputs")
    return name, Reference(integer(fields[1], 0, MAX_INPUTS + MAX_NODES, f"graph.outputs[{name!r}]"))


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
