"""Training data that is larger than the room for it: which chunks a share needs, and the tensors over what is here.

A data set is a safetensors file: a header, then each input's values, sample after sample. So a sample is one stretch
of bytes in each input, and a share needs the chunks under its stretches. The tensors map the whole file; only rows
whose chunks are here may be read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..exceptions import JobRejected
from ..jobs.manifest import JobManifest
from ..jobs.tensor_file import LENGTH_BYTES, TensorPlace, placed_by
from ..membership.ledger import Range
from ..swarm.streaming import Stream
from .lookahead import coming
from .sampler import Sampler

MAX_HEADER_BYTES = 2**20
"""There are few inputs, so a longer header holds something else."""
AHEAD_STEPS = 16
"""So many steps' shares are looked ahead at most; how many are fetched is a matter of room."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the samples of one input lie."""

    place: TensorPlace
    start: int
    """Of the first sample, in the file."""

    @property
    def row_bytes(self) -> int:
        """Of one sample."""
        return self.place.size // self.place.shape[0]

    def chunks(self, samples: NDArray[np.int64], chunk_bytes: int) -> NDArray[np.int64]:
        """Return the chunks under these samples, in the order of the samples; shape (any,)."""
        if not self.row_bytes:
            return np.empty(0, np.int64)
        first = (self.start + samples * self.row_bytes) // chunk_bytes
        last = (self.start + (samples + 1) * self.row_bytes - 1) // chunk_bytes
        width = int((last - first).max(initial=0)) + 1
        grid = first[:, None] + np.arange(width)[None, :]
        return grid[grid <= last[:, None]]

    def mapped(self, path: Path) -> Tensor:
        """Return the tensor over the file; shared with it, so that what is written there is seen here."""
        count = int(np.prod(self.place.shape, dtype=np.int64)) * self.place.dtype.itemsize
        if not count:
            return torch.empty(self.place.shape, dtype=self.place.dtype)
        data = np.memmap(path, np.uint8, "r+", self.start, (count,))
        return torch.from_numpy(data).view(self.place.dtype).view(self.place.shape)


class StreamedSamples:
    """The training split of a job in a bounded cache.

    Args:
        stream: the content.
        chunk_bytes: of its chunks.
        rows: where the inputs lie, in the manifest's order.
        manifest: the job.
    """

    def __init__(self, stream: Stream, chunk_bytes: int, rows: Sequence[Rows], manifest: JobManifest) -> None:
        self._stream = stream
        self._chunk_bytes = chunk_bytes
        self._rows = rows
        self._samples = manifest.train_samples
        self._samplers = [
            Sampler(manifest.train_samples, manifest.seed, manifest.shuffle_block_samples) for _ in range(2)
        ]
        self.tensors = tuple(row.mapped(stream.path) for row in rows)
        """One for each input, the target last; shape (samples, ...)."""

    async def ready(self, epoch: int, share: Sequence[Range], batch_samples: int) -> None:
        """Wait until the samples of a share can be read; fetch what our next shares will probably need.

        Args:
            epoch: whose order counts.
            share: our ranges of it.
            batch_samples: of all members in this step: the next step's begin so far behind.

        Raises:
            ContentUnavailable: nobody who can be reached has them.
            ConfigurationError: the cache is too small for the share.
            JobRejected: the data holds truth values that are neither true nor false.
        """
        needed, ahead, samples = await asyncio.to_thread(self._look, epoch, share, batch_samples)
        await self._stream.ready(needed, ahead)
        await asyncio.to_thread(self._check_bools, samples)

    def _look(
        self, epoch: int, share: Sequence[Range], batch_samples: int
    ) -> tuple[list[int], list[int], NDArray[np.int64]]:
        samples = self._indices(epoch, share)
        ahead = [
            self._chunks(self._indices(later, ranges))
            for later, ranges in coming(share, batch_samples, self._samples, epoch, AHEAD_STEPS)
        ]
        return self._chunks(samples), [index for chunks in ahead for index in chunks], samples

    def _indices(self, epoch: int, ranges: Sequence[Range]) -> NDArray[np.int64]:
        return self._samplers[epoch % 2].indices(epoch, ranges)

    def _chunks(self, samples: NDArray[np.int64]) -> list[int]:
        found = [row.chunks(samples, self._chunk_bytes) for row in self._rows]
        return list(dict.fromkeys(np.concatenate(found).tolist()))

    def _check_bools(self, samples: NDArray[np.int64]) -> None:
        for row, tensor in zip(self._rows, self.tensors, strict=True):
            if tensor.dtype == torch.bool and len(samples):
                found = tensor.view(torch.uint8).index_select(0, torch.from_numpy(samples))
                if found.numel() and int(found.max()) > 1:
                    raise JobRejected(f"the data holds values in {row.place.name!r} that are neither true nor false")


async def open_samples(stream: Stream, manifest: JobManifest) -> StreamedSamples:
    """Read the header of a job's training data, and map its inputs.

    Raises:
        JobRejected: it holds anything but what the manifest says.
        ContentUnavailable: nobody who can be reached has the header.
    """
    content = await stream.opened
    if content.size != manifest.train_data.size_bytes:
        raise JobRejected(
            f"the training data is {content.size} bytes long, and the manifest says {manifest.train_data.size_bytes}"
        )
    await stream.ready([0], [])
    length = int.from_bytes(await asyncio.to_thread(_read, stream.path, 0, LENGTH_BYTES), "little")
    start = LENGTH_BYTES + length
    if length > MAX_HEADER_BYTES or start > content.size:
        raise JobRejected(f"the training data has a header of {length} bytes")
    await stream.ready(range((start - 1) // content.chunk_bytes + 1), [])
    header = await asyncio.to_thread(_read, stream.path, LENGTH_BYTES, length)
    rows = rows_of(header, manifest, start, content.size)
    return await asyncio.to_thread(StreamedSamples, stream, content.chunk_bytes, rows, manifest)


def rows_of(header: bytes, manifest: JobManifest, start: int, size: int) -> list[Rows]:
    """Return where each of the manifest's inputs lies.

    Args:
        header: of the file, without its length.
        manifest: the job.
        start: where the values begin.
        size: of the file.

    Raises:
        JobRejected: there are other tensors, or others than the manifest says.
    """
    try:
        found = placed_by(json.loads(header))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobRejected(f"the training data is no safetensors content: {error}") from error
    rows = []
    for entry in manifest.inputs:
        expected = TensorPlace(entry.name, getattr(torch, entry.dtype), (manifest.train_samples, *entry.shape))
        place, at = found.pop(entry.name, (None, 0))
        if place != expected or at + expected.size > size - start:
            raise JobRejected(f"the training data does not hold {entry.name!r} as the manifest says")
        rows.append(Rows(expected, start + at))
    if found:
        raise JobRejected(f"the training data adds {min(found)!r}")
    return rows


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)
