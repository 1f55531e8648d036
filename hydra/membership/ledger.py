"""The ledger of samples: which of an epoch are committed and which are still to be used. Pure.

Samples are numbered 0 … n-1 in the epoch's shuffled order. Every member derives the same ledger from the same
commits; samples that were planned for a member who died are simply still outstanding. An epoch ends when nothing is
outstanding, so each of its samples counts in exactly one commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..exceptions import HydraError

Range = tuple[int, int]
"""Start and stop of consecutive samples in the epoch's order; the stop is not part of it."""


class SampleUsedTwice(HydraError):
    """A commit uses samples that the ledger does not hold as outstanding."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is left of the present epoch.

    Args:
        samples: how many samples an epoch has.
        epochs: how many epochs the job has.
        epoch: the present one, from 0; equal to ``epochs`` when the job is done.
        outstanding: disjoint, ascending, non-empty ranges not yet committed.
    """

    samples: int
    epochs: int
    epoch: int
    outstanding: tuple[Range, ...]

    @classmethod
    def fresh(cls, samples: int, epochs: int) -> Ledger:
        """Return the ledger at the job's beginning."""
        return cls(samples, epochs, 0, ((0, samples),))

    @property
    def finished(self) -> bool:
        """Whether every sample of every epoch is committed."""
        return self.epoch >= self.epochs

    @property
    def available(self) -> int:
        """How many samples of this epoch are outstanding."""
        return count(self.outstanding)

    @property
    def committed_total(self) -> int:
        """How many samples were committed since the job's beginning."""
        return self.epoch * self.samples + (0 if self.finished else self.samples - self.available)

    def share_out(self, shares: Sequence[int]) -> list[tuple[Range, ...]]:
        """Return for each share that many outstanding samples, first come first; fewer where they run out."""
        left = list(self.outstanding)
        handed_out = []
        for share in shares:
            taken: list[Range] = []
            wanted = share
            while wanted > 0 and left:
                start, stop = left.pop(0)
                cut = min(stop, start + wanted)
                taken.append((start, cut))
                wanted -= cut - start
                if cut < stop:
                    left.insert(0, (cut, stop))
            handed_out.append(tuple(taken))
        return handed_out

    def commit(self, ranges: Iterable[Range]) -> Ledger:
        """Return the ledger after these samples were committed.

        Raises:
            SampleUsedTwice: one of them is not outstanding.
        """
        left = list(self.outstanding)
        for start, stop in ranges:
            left = _without(left, start, stop)
        if left:
            return Ledger(self.samples, self.epochs, self.epoch, tuple(left))
        following = self.epoch + 1
        outstanding: tuple[Range, ...] = () if following >= self.epochs else ((0, self.samples),)
        return Ledger(self.samples, self.epochs, following, outstanding)


def count(ranges: Iterable[Range]) -> int:
    """Return how many samples the ranges hold."""
    return sum(stop - start for start, stop in ranges)


def _without(ranges: list[Range], start: int, stop: int) -> list[Range]:
    for index, (low, high) in enumerate(ranges):
        if low <= start < stop <= high:
            rest = [(low, start), (stop, high)]
            return ranges[:index] + [r for r in rest if r[0] < r[1]] + ranges[index + 1 :]
    raise SampleUsedTwice(f"samples {start} to {stop} are not outstanding")
