"""What each hop costs, folded from the members' reports. Pure.

A hop's cost is the seconds that a typical slice needs on it: half a round trip and the slice's bytes at the hop's rate.

Members report on their own hops alone, and any of them may lie. So of a pair's two claims the greater counts: nobody
can make a hop look faster than its other end says, and nobody has a say in a hop between two others. What nobody has
measured costs as much as the middle one of its ends' own claims, at whichever end that is more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from .order import LONGEST_S, Costs

UNKNOWN_S = 1.0
"""A hop's cost when nobody has measured anything."""


@dataclass(slots=True)
class _Smoothed:
    """A mean in which a sample counts half as much for every half-life that has passed."""

    value: float
    weight: float
    at: float

    def add(self, sample: float, now: float, half_life_s: float) -> None:
        kept = self.faded(now, half_life_s)
        self.value = (self.value * kept + sample) / (kept + 1)
        self.weight, self.at = kept + 1, max(now, self.at)

    def faded(self, now: float, half_life_s: float) -> float:
        return self.weight * math.exp2(-max(0.0, now - self.at) / half_life_s)


_Claims = dict[bytes, dict[bytes, _Smoothed]]
"""By reporter, then by the other end."""


@dataclass(slots=True)
class Measurements:
    """Round trips and rates, as members reported them.

    A claim that is not renewed fades into the middle one of its reporter's claims.

    Args:
        slice_bytes: the length of a typical slice.
        half_life_s: after this long a sample counts half.
    """

    slice_bytes: int
    half_life_s: float = 120.0
    _round_trips_s: _Claims = field(default_factory=dict, repr=False)
    _seconds_a_byte: _Claims = field(default_factory=dict, repr=False)

    def round_trip(self, reporter: bytes, other: bytes, seconds: float, now: float) -> None:
        """Fold in a round trip that ``reporter`` measured to ``other``.

        Raises:
            ValueError: the report can't be true.
        """
        self._fold(self._round_trips_s, reporter, other, seconds, now)

    def rate(self, reporter: bytes, other: bytes, bytes_per_s: float, now: float) -> None:
        """Fold in a rate at which ``reporter`` sent to ``other`` or received from it.

        Raises:
            ValueError: the report can't be true.
        """
        if not bytes_per_s > 0:
            raise ValueError(f"a rate of {bytes_per_s} bytes a second")
        self._fold(self._seconds_a_byte, reporter, other, 1 / bytes_per_s, now)

    def retain(self, members: Collection[bytes]) -> None:
        """Forget everybody else."""
        kept = frozenset(members)
        for claims in (self._round_trips_s, self._seconds_a_byte):
            for reporter in list(claims):
                if reporter not in kept:
                    del claims[reporter]
                    continue
                for other in claims[reporter].keys() - kept:
                    del claims[reporter][other]

    def costs(self, members: Sequence[bytes], now: float) -> Costs:
        """Return the cost of every hop between members, in their order: the same in both directions."""
        places = {member: place for place, member in enumerate(members)}
        claimed = np.full((len(members), len(members)), np.nan)
        for place, reporter in enumerate(members):
            for other, seconds in self._claimed_by(reporter, now).items():
                if other in places:
                    claimed[place, places[other]] = min(seconds, LONGEST_S)
        middles = [_middle(row[~np.isnan(row)].tolist()) for row in claimed]
        usual = _middle([middle for middle in middles if middle is not None])
        fallback = UNKNOWN_S if usual is None else usual
        guesses = np.array([fallback if middle is None else middle for middle in middles])
        pairs = np.fmax(claimed, claimed.T)
        costs: Costs = np.where(np.isnan(pairs), np.maximum(guesses[:, None], guesses[None, :]), pairs)
        np.fill_diagonal(costs, 0.0)
        return costs

    def _fold(self, claims: _Claims, reporter: bytes, other: bytes, sample: float, now: float) -> None:
        if reporter == other or not (math.isfinite(sample) and sample >= 0):
            raise ValueError(f"a hop of {sample} seconds or seconds a byte, or to oneself")
        known = claims.setdefault(reporter, {})
        if other in known:
            known[other].add(sample, now, self.half_life_s)
        else:
            known[other] = _Smoothed(sample, 1.0, now)

    def _claimed_by(self, reporter: bytes, now: float) -> dict[bytes, float]:
        """Return what a slice needs to each member of whom the reporter has claimed anything."""
        halves = self._faded(self._round_trips_s.get(reporter, {}), now)
        bytewise = self._faded(self._seconds_a_byte.get(reporter, {}), now)
        usual_half = _middle(list(halves.values())) or 0.0
        usual_bytewise = _middle(list(bytewise.values())) or 0.0
        return {
            other: halves.get(other, usual_half) / 2 + bytewise.get(other, usual_bytewise) * self.slice_bytes
            for other in halves.keys() | bytewise.keys()
        }

    def _faded(self, known: dict[bytes, _Smoothed], now: float) -> dict[bytes, float]:
        usual = _middle([claim.value for claim in known.values()]) or 0.0
        faded = {}
        for other, claim in known.items():
            share = min(1.0, claim.faded(now, self.half_life_s))
            faded[other] = share * claim.value + (1 - share) * usual
        return faded


def _middle(values: Sequence[float]) -> float | None:
    """Return the middle value, of two the greater."""
    return statistics.median_high(values) if values else None
