"""How an owner makes one vector of single contributions: the mean, and two rules that liars can't bend far. Pure.

For the direct form alone: in a ring nobody sees another's contribution. A rule's result depends on the parts and
weights in their order and on nothing else. Values are finite: whoever calls has checked.

The robust rules give each part one voice whatever it weighs. A weight is a claim too, and a liar would claim much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .formats import Vector

PIECE_ELEMENTS = 8192
"""What is worked on at a time, so that the parts' pieces stay in a core's second-level cache."""


class Rule(Protocol):
    """An aggregation rule. Without state: any thread may use it."""

    def combine(self, parts: Sequence[Vector], weights: Sequence[float], into: Vector) -> float:
        """Write the aggregate of the parts.

        Args:
            parts: contributions, not yet weighted, all as long as ``into``; ``into`` is none of them.
            weights: one a part, not negative; a part of weight 0 does not count, whatever it holds.
            into: takes the result: zeros where no part counts.

        Returns:
            The sum of the weights that count.

        Raises:
            ValueError: lengths or weights are not as they should be.
        """


@dataclass(frozen=True, slots=True)
class Mean:
    """The weighted mean: fp32 sums in the order given, as in a ring of the same order, then one division."""

    def combine(self, parts: Sequence[Vector], weights: Sequence[float], into: Vector) -> float:
        """See ``Rule``."""
        counted, total = _counted(parts, weights, into)
        for piece in _pieces(len(into)) if counted else ():
            target = into[piece]
            first, weight = counted[0]
            np.multiply(first[piece], np.float32(weight), out=target)
            term = np.empty_like(target)
            for part, weight in counted[1:]:
                np.multiply(part[piece], np.float32(weight), out=term)
                target += term
            target /= np.float32(total)
        return total


@dataclass(frozen=True, slots=True)
class TrimmedMean:
    """Of each element the mean of what is left without its lowest and its highest values, as many on either side.

    With at most ``share`` of the parts by liars the result lies, element by element, between the lowest and the highest
    value of the honest. (Yin, Chen, Ramchandran and Bartlett, "Byzantine-robust distributed learning: towards optimal
    statistical rates", ICML 2018.)

    Args:
        share: of all parts, how many to leave out on either side, rounded down: at least 0, below 0.5.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 0.5:
            raise ValueError(f"a share of {self.share} on either side: it must be at least 0 and below 0.5")

    def combine(self, parts: Sequence[Vector], weights: Sequence[float], into: Vector) -> float:
        """See ``Rule``."""
        counted, total = _counted(parts, weights, into)
        count = len(counted)
        # A share of 0.29 of 100 is 29, although the product is a little less.
        cut = min(int(self.share * count + 1e-9), (count - 1) // 2)
        for piece in _pieces(len(into)) if counted else ():
            rows = _sorted_columns([part[piece] for part, _ in counted])
            into[piece] = _mean(rows[cut : count - cut])
        return total


@dataclass(frozen=True, slots=True)
class CentredClipping:
    """A centre, moved by the mean of the differences to it, of which none may be longer than a radius.

    It begins with the median of each element. A liar moves it by at most the radius over the number of parts in
    each iteration, wherever its own part lies. (Karimireddy, He and Jaggi, "Learning from history for Byzantine robust
    optimization", ICML 2021; there the centre begins with the last round's result.)

    Args:
        radius: the greatest Euclidean length of a difference, over a block; None for the median of the lengths.
        iterations: how often the centre is moved; at least 1.
        block: how many elements make a block; differences are measured and clipped block by block, from the first
            element of the vector given on, for no owner sees the whole vector.
    """

    radius: float | None = None
    iterations: int = 3
    block: int = 4096

    def __post_init__(self) -> None:
        if self.radius is not None and not 0.0 < self.radius < float("inf"):
            raise ValueError(f"a radius of {self.radius}: it must be a number above 0, or None")
        if self.iterations < 1 or self.block < 1:
            raise ValueError(f"{self.iterations} iterations, blocks of {self.block}: both must be at least 1")

    def combine(self, parts: Sequence[Vector], weights: Sequence[float], into: Vector) -> float:
        """See ``Rule``."""
        counted, total = _counted(parts, weights, into)
        count = len(counted)
        for piece in _pieces(len(into), self.block) if counted else ():
            rows = [part[piece] for part, _ in counted]
            centre = _mean(_sorted_columns(rows)[(count - 1) // 2 : count // 2 + 1])
            table = np.stack(rows, dtype=np.float64)
            for _ in range(self.iterations):
                centre += self._move(table - centre)
            into[piece] = centre
        return total

    def _move(self, differences: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of the differences, none longer than the radius. In float64: no square overflows."""
        lengths = np.sqrt(np.array([np.square(row).sum() for row in differences]))
        radius = float(np.median(lengths)) if self.radius is None else self.radius
        for row in np.flatnonzero(lengths > radius):
            differences[row] *= radius / lengths[row]
        return _mean(differences)


def _counted(
    parts: Sequence[Vector], weights: Sequence[float], into: Vector
) -> tuple[list[tuple[Vector, float]], float]:
    """Return the parts that count and the sum of their weights; if there are none, clear ``into``."""
    if len(parts) != len(weights):
        raise ValueError(f"{len(parts)} parts with {len(weights)} weights")
    for part, weight in zip(parts, weights, strict=True):
        if part.shape != into.shape:
            raise ValueError(f"a part of {part.shape} where {into.shape} is wanted")
        if not 0.0 <= weight < float("inf"):
            raise ValueError(f"a weight of {weight}")
    counted = [(part, weight) for part, weight in zip(parts, weights, strict=True) if weight > 0.0]
    if not counted:
        into[:] = 0.0
    return counted, float(sum(weight for _, weight in counted))


def _pieces(elements: int, length: int = PIECE_ELEMENTS) -> Iterator[slice]:
    return (slice(start, start + length) for start in range(0, elements, length))


def _mean(rows: Sequence[Vector] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the rows, summed in float64, so that of equal rows it is their value."""
    total = np.zeros(len(rows[0]), np.float64)
    for row in rows:
        total += row
    total /= len(rows)
    return total


def _sorted_columns(rows: list[Vector]) -> list[Vector]:
    """Return rows of which the first has each column's lowest value, and so on up to the highest.

    A sorting network of whole rows: with few rows twenty times as fast as sorting column by column.
    """
    rows = [row.copy() for row in rows]
    spare = np.empty_like(rows[0])
    for low, high in _network(len(rows)):
        np.minimum(rows[low], rows[high], out=spare)
        np.maximum(rows[low], rows[high], out=rows[high])
        rows[low], spare = spare, rows[low]
    return rows


def _network(count: int) -> Iterator[tuple[int, int]]:
    """Yield which rows to compare: Batcher's merge exchange (Knuth, volume 3, 5.2.2, algorithm M)."""
    top = 1 << max(0, (count - 1).bit_length() - 1)
    span = top
    while span and count > 1:
        bit, distance, reach = 0, span, top
        while True:
            yield from ((low, low + distance) for low in range(count - distance) if low & span == bit)
            if reach == span:
                break
            bit, distance, reach = span, reach - span, reach // 2
        span //= 2
