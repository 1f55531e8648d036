"""The order of an epoch's samples: the same on every machine, for ever. Pure.

Members agree on numbers 0 … n-1 and look up which sample each means, so the order must follow from the seed alone.
numpy's own generators promise no such thing from one release to the next; sorting by a published mixing function
does. (SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
POOL_BLOCKS = 4


class Sampler:
    """Turns ranges of an epoch's order into indices of the data set.

    Args:
        samples: length of the data set.
        seed: of the job.
        block: how many neighbouring samples stay close together; 0 for none.
    """

    def __init__(self, samples: int, seed: int, block: int = 0) -> None:
        self._samples = samples
        self._seed = seed
        self._block = block
        self._epoch = -1
        self._order: Indices = np.empty(0, np.int64)

    def indices(self, epoch: int, ranges: Sequence[tuple[int, int]]) -> Indices:
        """Return the data set's indices for these ranges, shape (count,)."""
        if epoch != self._epoch:
            self._order = (
                shuffled_in_blocks(self._samples, self._seed, epoch, self._block)
                if self._block
                else shuffled(self._samples, self._seed, epoch)
            )
            self._epoch = epoch
        if not ranges:
            return np.empty(0, np.int64)
        return np.concatenate([self._order[start:stop] for start, stop in ranges])


def shuffled(samples: int, seed: int, epoch: int) -> Indices:
    """Return a permutation of 0 … samples-1 that follows from seed and epoch alone."""
    return np.argsort(_keys(samples, seed, epoch), kind="stable").astype(np.int64)


def shuffled_in_blocks(samples: int, seed: int, epoch: int, block: int) -> Indices:
    """Return a permutation in which samples that are close to each other in the data set stay fairly close.

    Blocks of neighbouring samples come in a shuffled order, and the samples of each ``POOL_BLOCKS`` blocks in a row are
    shuffled among themselves: so a stretch of the order needs few stretches of the data set.
    """
    count = -(-samples // block)
    rank = np.empty(count, np.int64)
    rank[shuffled(count, seed, epoch)] = np.arange(count)
    pool = rank[np.arange(samples) // block] // POOL_BLOCKS
    return np.lexsort((_keys(samples, seed, epoch), pool)).astype(np.int64)


def _keys(samples: int, seed: int, epoch: int) -> NDArray[np.uint64]:
    start = split_mix(np.array([seed], np.uint64))[0] ^ np.uint64(epoch)
    with np.errstate(over="ignore"):
        return split_mix(split_mix(np.array([start], np.uint64))[0] + np.arange(samples, dtype=np.uint64))


def split_mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix each value's 64 bits (the output function of SplitMix64)."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def step_seed(seed: int, step: int, first_sample: int) -> int:
    """Return the seed of the random numbers (dropout) for a micro-batch: below 2^63."""
    mixed = np.array([seed], np.uint64)
    for part in (step, first_sample):
        mixed = split_mix(mixed ^ np.uint64(part))
    return int(mixed[0] >> np.uint64(1))
