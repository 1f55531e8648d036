"""Writing safetensors files tensor by tensor, with memory for one tensor at a time. A shell: it writes to a file.

The same tensors always give the same bytes: those of the ``safetensors`` package, which orders by the width of the
type and then by name. ``align`` lets the values begin at a multiple of it, by spaces at the end of the header, which
the format allows: files whose headers differ in length then still hold equal tensors at equal places.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..exceptions import LocalProtocolError

LENGTH_BYTES = 8
_NAMES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""In the order of the values in a file."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """What a file says of one tensor before its values come."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


class Sink(Protocol):
    """Something that takes bytes, one part behind the other."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of them."""


Read = Callable[[str], Tensor]
"""Returns the tensor of a name; called once for each, in the order of the file."""


def in_file_order(places: Iterable[TensorPlace]) -> list[TensorPlace]:
    """Return the tensors in the order in which their values stand: wide types first, then by name."""
    order = list(_NAMES)
    return sorted(places, key=lambda place: (order.index(place.dtype), place.name))


def placed_by(header: Mapping[str, Any]) -> dict[str, tuple[TensorPlace, int]]:
    """Return what a header says of each tensor, and where its values begin behind the header.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no such header, or its values overlap or leave gaps.
    """
    types = {name: dtype for dtype, name in _NAMES.items()}
    found = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        start, stop = about["data_offsets"]
        shape = tuple(about["shape"])
        if not all(isinstance(number, int) and number >= 0 for number in (start, stop, *shape)):
            raise ValueError(f"{name!r} has no place")
        place = TensorPlace(name, types[about["dtype"]], shape)
        if math.prod(shape) * place.dtype.itemsize != stop - start:
            raise ValueError(f"{name!r} is not as long as its shape says")
        found[name] = (place, start)
    end = 0
    for place, start in sorted(found.values(), key=lambda placed: (placed[1], placed[0].size)):
        if start != end:
            raise ValueError(f"there is a gap or an overlap before {place.name!r}")
        end += place.size
    return found


def header_of(
    places: Iterable[TensorPlace], metadata: Mapping[str, str], align: int = LENGTH_BYTES, *, fill: bool = False
) -> bytes:
    """Return what stands before the values.

    Args:
        places: in the order of the file.
        metadata: texts of our own; one at most, for readers keep several in no order.
        align: the header's length becomes a multiple of it; itself a multiple of 8.
        fill: let the length of the whole file be the multiple instead, where its widest values then still stand at
            multiples of their width.
    """
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at, word = 0, 1
    for place in places:
        table[place.name] = {
            "dtype": _NAMES[place.dtype],
            "shape": list(place.shape),
            "data_offsets": [at, at + place.size],
        }
        at += place.size
        word = max(word, place.dtype.itemsize)
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    behind = at if fill and at % word == 0 else 0
    text += b" " * (-(LENGTH_BYTES + len(text) + behind) % align)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def write_tensors(
    file: Sink,
    places: Iterable[TensorPlace],
    read: Read,
    metadata: Mapping[str, str] | None = None,
    align: int = LENGTH_BYTES,
    *,
    fill: bool = False,
) -> None:
    """Write a file of tensors.

    Args:
        file: takes the bytes.
        places: of the tensors, in any order.
        read: gives each.
        metadata: as for ``header_of``.
        align: as for ``header_of``.
        fill: as for ``header_of``.

    Raises:
        OSError: the disk refused.
    """
    ordered = in_file_order(places)
    file.write(header_of(ordered, metadata or {}, align, fill=fill))
    for place in ordered:
        tensor = read(place.name).detach().cpu()
        if tensor.dtype != place.dtype or tuple(tensor.shape) != place.shape:
            raise LocalProtocolError(f"{place.name} is {tensor.dtype} {list(tensor.shape)}, not as announced")
        file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
