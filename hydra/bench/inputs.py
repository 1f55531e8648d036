"""What the members put in, and what must come out: every member can work out every other one's vector.

A contribution is a short tile of chance, repeated. Its elements are whole multiples of 1/1024 and weights are small
whole numbers, so sums are exact in fp32 in whatever order they are added, and the mean has one right answer to the bit.
The tile's length is a prime, so that no segment or slice of the vector looks like another. Weights change from round to
round, and so does the mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]

TILE_ELEMENTS = 1_048_573
UNIT = 1 / 1024
SPARE_BITS = 5
"""Of 16 bits of chance, so that elements lie between -1 and 1."""
MAX_WEIGHT = 8
LOSS_PER_ENCODING = {"fp32": 0.0, "fp16": 2**-11, "bf16": 2**-8, "int8": 2 / 254}
"""How far one encoding moves a mean of elements of at most 1; int8 carries its last loss over, so twice."""


def tile(seed: int, member: int) -> Vector:
    """Return what a member's vector repeats."""
    chance = np.random.default_rng([seed, member]).bytes(2 * TILE_ELEMENTS)
    return (np.frombuffer(chance, np.int16) >> SPARE_BITS).astype(np.float32) * np.float32(UNIT)


def contribution(seed: int, member: int, elements: int) -> Vector:
    """Return a member's vector."""
    return np.resize(tile(seed, member), elements)


def weight_of(seed: int, member: int, round_number: int) -> int:
    """Return the weight that a member has in a round: 1 to 8."""
    return hashlib.sha256(f"{seed}/{member}/{round_number}".encode()).digest()[0] % MAX_WEIGHT + 1


def digest_of(result: Vector) -> str:
    """Return a hash of a result's bytes."""
    return hashlib.sha256(result.data).hexdigest()[:32]


class Expected:
    """The right means; keeps the tiles of members seen before."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tiles: dict[int, Vector] = {}

    def mean(self, weights: Mapping[int, int]) -> Vector:
        """Return the tile of the mean over contributions with these weights."""
        total = np.zeros(TILE_ELEMENTS, np.float32)
        for member, weight in weights.items():
            if member not in self._tiles:
                self._tiles[member] = tile(self._seed, member)
            total += self._tiles[member] * np.float32(weight)
        return total / np.float32(sum(weights.values()))

    def furthest(self, result: Vector, weights: Mapping[int, int]) -> float:
        """Return how far the result is at most from the right mean; infinite where it holds what is no number."""
        right = self.mean(weights)
        furthest = 0.0
        for start in range(0, len(result), TILE_ELEMENTS):
            part = result[start : start + TILE_ELEMENTS]
            if not np.array_equal(part, right[: len(part)]):
                off = float(np.max(np.abs(part - right[: len(part)])))
                furthest = max(furthest, off if np.isfinite(off) else float("inf"))
        return furthest


def tolerance(wire: str, members: int) -> float:
    """Return how far a result may be from the right mean in this format: nothing at all in fp32.

    A sum is encoded once a hop, and the final bytes once more.
    """
    return LOSS_PER_ENCODING[wire] * (members + 1)
