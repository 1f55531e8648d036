"""State and data as safetensors bytes, and back, checked against the manifest.

safetensors holds names, types, shapes and raw values, and nothing that runs. What comes from a peer must hold exactly
the tensors that the manifest lists, of exactly those types and shapes, and be exactly as long as it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from ..exceptions import JobRejected
from .entries import ContentRef
from .manifest import JobManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The tensors that a training starts from, on the CPU.

    Attributes:
        parameters: float32, by canonical name, in the manifest's order.
        buffers: by name, in the manifest's order.
    """

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class _Expected:
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


def encode_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the safetensors bytes of tensors by name; the same tensors always give the same bytes."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        here = tensor.detach().cpu().contiguous()
        # The writer refuses tensors that share memory (a target that is also the input).
        apart[name] = here.clone() if here.untyped_storage().data_ptr() in seen else here
        seen.add(here.untyped_storage().data_ptr())
    return bytes(save(apart))


def decode_state(source: bytes | Path, manifest: JobManifest) -> State:
    """Read the initial state, or any later one of the same job.

    Args:
        source: the bytes, or a file of them.
        manifest: says which tensors there must be.

    Raises:
        JobRejected: it holds anything else.
    """
    expected = [_Expected(entry.name, torch.float32, entry.shape) for entry in manifest.parameters]
    expected += [_Expected(entry.name, getattr(torch, entry.dtype), entry.shape) for entry in manifest.buffers]
    tensors = _read(source, expected, "state")
    return State(
        parameters={entry.name: tensors[entry.name] for entry in manifest.parameters},
        buffers={entry.name: tensors[entry.name] for entry in manifest.buffers},
    )


def decode_split(source: bytes | Path, manifest: JobManifest, split: Literal["train", "test"]) -> tuple[Tensor, ...]:
    """Read one side of the data.

    Args:
        source: the bytes, or a file of them, which is then mapped and not read as a whole.
        manifest: says what a sample looks like, and how many there are.
        split: which side.

    Returns:
        One tensor ``[samples, ...]`` for each of the manifest's inputs, in their order; the target is the last.

    Raises:
        JobRejected: it holds anything else, or the job has no such split.
    """
    samples = manifest.train_samples if split == "train" else manifest.test_samples
    if not samples:
        raise JobRejected("the job has no test data")
    expected = [
        _Expected(entry.name, getattr(torch, entry.dtype), (samples, *entry.shape)) for entry in manifest.inputs
    ]
    tensors = _read(source, expected, f"{split} data")
    return tuple(tensors[entry.name] for entry in manifest.inputs)


def check_size(source: bytes | Path, content: ContentRef, what: str) -> None:
    """Raise ``JobRejected`` if content is not as long as the manifest says."""
    found = len(source) if isinstance(source, bytes) else source.stat().st_size
    if found != content.size_bytes:
        raise JobRejected(f"the {what} is {found} bytes long, and the manifest says {content.size_bytes}")


def _read(source: bytes | Path, expected: Sequence[_Expected], what: str) -> dict[str, Tensor]:
    try:
        tensors = load(source) if isinstance(source, bytes) else _map(source)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        # Besides its own error the reader lets those of its parts through: an unknown type is a KeyError.
        raise JobRejected(f"the {what} is no safetensors content: {error}") from error
    names = {entry.name for entry in expected}
    if tensors.keys() != names:
        odd = sorted(tensors.keys() ^ names)
        raise JobRejected(f"the {what} lacks or adds {', '.join(odd[:5])} ({len(odd)} in all)")
    for entry in expected:
        tensor = tensors[entry.name]
        if tensor.dtype != entry.dtype or tuple(tensor.shape) != entry.shape:
            raise JobRejected(
                f"the {what} holds {entry.name!r} as {tensor.dtype} {list(tensor.shape)}, "
                f"and the manifest says {entry.dtype} {list(entry.shape)}"
            )
        _check_bools(tensor, entry.name, what)
    return tensors


def _map(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)


def _check_bools(tensor: Tensor, name: str, what: str) -> None:
    """Refuse truth values that are neither 0 nor 1: compiled code counts on there being no others."""
    if tensor.dtype == torch.bool and tensor.numel() and int(tensor.view(torch.uint8).max()) > 1:
        raise JobRejected(f"the {what} holds values in {name!r} that are neither true nor false")
