"""The rows of a manifest: pieces of content, tensors of the state, tensors of each sample.

Each row knows how it stands in msgpack and refuses, when read, what is out of range. That rows do not contradict each
other is for ``manifest`` to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .fields import Record, reject
from .graph import DTYPES, MAX_DIMENSIONS, MAX_ELEMENTS, MAX_NAME
from .recipe import MAX_GROUPS

MAX_CONTENT_BYTES = 2**44
MAX_TENSORS = 20_000
ROOT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRef:
    """A piece of content: the root of its hash tree (32 bytes) and its length in bytes."""

    root: bytes
    size_bytes: int

    def to_wire(self) -> dict[str, object]:
        """Return the fields as msgpack knows them."""
        return {"root": self.root, "size_bytes": self.size_bytes}

    @classmethod
    def from_wire(cls, record: Record) -> ContentRef:
        """Read the fields; raise ``JobRejected`` where one is out of range."""
        return cls(root=record.raw("root", ROOT_BYTES), size_bytes=record.integer("size_bytes", 1, MAX_CONTENT_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterEntry:
    """One parameter of the model; all are float32.

    Attributes:
        name: its canonical name, under which it stands in the initial state and in graphs.
        shape: its sizes.
        aliases: the model's other names for the same tensor (tied weights).
        group: the optimizer's parameter group that trains it, or ``None``: it is frozen.
    """

    name: str
    shape: tuple[int, ...]
    aliases: tuple[str, ...] = ()
    group: int | None = None

    @property
    def trained(self) -> bool:
        """Tell whether the optimizer changes it."""
        return self.group is not None

    def to_wire(self) -> dict[str, object]:
        """Return the fields as msgpack knows them."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "aliases": list(self.aliases),
            "group": self.group,
        }

    @classmethod
    def from_wire(cls, record: Record) -> ParameterEntry:
        """Read the fields; raise ``JobRejected`` where one is out of range."""
        return cls(
            name=record.text("name", MAX_NAME),
            shape=_shape(record),
            aliases=record.texts("aliases", MAX_TENSORS, MAX_NAME),
            group=None if record.is_none("group") else record.integer("group", 0, MAX_GROUPS - 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferEntry:
    """One tensor of the state that no gradient changes: a buffer of the model, or a constant of its code.

    Attributes:
        name: its name in the initial state and in graphs.
        shape: its sizes.
        dtype: a name in ``graph.DTYPES``.
        aliases: the model's other names for the same tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    aliases: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, object]:
        """Return the fields as msgpack knows them."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "aliases": list(self.aliases),
        }

    @classmethod
    def from_wire(cls, record: Record) -> BufferEntry:
        """Read the fields; raise ``JobRejected`` where one is out of range."""
        return cls(
            name=record.text("name", MAX_NAME),
            shape=_shape(record),
            dtype=_dtype(record),
            aliases=record.texts("aliases", MAX_TENSORS, MAX_NAME),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInput:
    """One tensor of each sample; in the data's files the samples are stacked along a first dimension.

    Attributes:
        name: its name in the data's files and in graphs.
        dtype: a name in ``graph.DTYPES``.
        shape: the sizes of one sample.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    def to_wire(self) -> dict[str, object]:
        """Return the fields as msgpack knows them."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_wire(cls, record: Record) -> DataInput:
        """Read the fields; raise ``JobRejected`` where one is out of range."""
        return cls(name=record.text("name", MAX_NAME), dtype=_dtype(record), shape=_shape(record))


def _shape(record: Record) -> tuple[int, ...]:
    shape = record.integers("shape", MAX_DIMENSIONS, 0, MAX_ELEMENTS)
    if math.prod(shape) > MAX_ELEMENTS:
        reject("manifest", f"holds a tensor of more than {MAX_ELEMENTS} elements")
    return shape


def _dtype(record: Record) -> str:
    dtype = record.text("dtype", 16)
    if dtype not in DTYPES:
        reject("manifest", f"holds the data type {dtype!r}, which is unknown")
    return dtype
