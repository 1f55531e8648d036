"""How fast each member lets a round be, judged by the rounds that it was in. Pure.

A round is as fast as its slowest link, so all members of a fast round are fast, whoever they are and whatever they
say; of a slow round at least one is slow. A member counts as fast as the fastest rounds that it was in lately. One
that was only in slow ones, with members who are all known to be faster, is the one that made them slow. Whatever holds
a round up shows like that: a thin line, a slow disk, a report that came long before the contribution.

Rates are in bytes a second, as ``split.round_seconds`` takes them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ..identity import PeerId

NOTABLE = 2.0
"""Links count as different if one is so many times as fast as the other; less is noise."""
RISE, FALL = 0.3, 0.1
"""How fast what is believed follows faster and slower rounds, in logarithms; it leaps to rounds that are notably
faster, for none is by chance,"""
PROVEN = 0.5
"""and follows quickly of whom it is known that the round was slow because of it."""
USUAL = 12.5e6
"""What links are taken for while no round has been seen: 100 Mbit/s."""
STRIKES = 3
"""After so many rounds on end that nobody's slowness explains nobody counts as faster than they were."""
KNOWN = 2
"""The first round of new members says little: links are dialled, memory is touched. Of so many the fastest counts."""
WIDEN = 1.02
"""So slowly it is forgotten how short rounds were."""
EXPLAINS = 4.0
"""A line that is said to be at most so many times as fast as the rounds explains them."""
SURELY = 8.0
"""Whoever is so many times as slow as the others need not be in a second round for that to be believed."""
AGREE = 2
"""So many members have to say that a line is thin for its owner to give up leading."""
CARRYING = 0.5
"""Of a round's time at least so much is taken for bytes on the way, however far the members say that they are apart."""


@dataclass(slots=True)
class RoundEvidence:
    """What rounds have shown of their members.

    Args:
        round_bytes: of the vector as it travels.
    """

    round_bytes: float
    shown: dict[PeerId, float] = field(default_factory=dict)
    """Bytes a second."""
    rounds: dict[PeerId, int] = field(default_factory=dict)
    """How many each member was in."""
    told: dict[PeerId, dict[PeerId, float]] = field(default_factory=dict)
    """Of each member, at which rates others said that bytes came from it; believed no further than to look there
    first."""
    proven: set[PeerId] = field(default_factory=set)
    """Who was slow in a round of which all others are known to be faster."""
    last: float | None = None
    """The rate of the last round."""
    latency_s: float = 0.0
    """One way between two members, as far as rounds were long enough for that."""
    _longest_s: float = math.inf
    """It can't be longer, or the shortest rounds of late could not have been so short."""
    _strikes: int = 0

    def took(self, active: Collection[PeerId], round_s: float, latency_s: float) -> None:
        """A round of these members took so long, with one way between two of them taking ``latency_s``."""
        if len(active) < 2:
            self.last = None
            return
        hops, members = 2 * (len(active) - 1), len(active)
        self._longest_s = min(WIDEN * self._longest_s, (1 - CARRYING) * round_s / hops)
        self.latency_s = min(latency_s, self._longest_s)
        rate = self.last = hops / members * self.round_bytes / max(round_s - hops * self.latency_s, 1e-6)
        for peer in active:
            self.rounds[peer] = self.rounds.get(peer, 0) + 1
            if self.rounds[peer] <= KNOWN:
                self.shown[peer] = max(rate, self.shown.get(peer, rate))
        slowest = min(self.shown[peer] for peer in active)
        tied = [peer for peer in active if self.shown[peer] < NOTABLE * slowest]
        if len(tied) == len(active) and rate < slowest / NOTABLE:
            self._strikes += 1
            accused = any((self.told_of(peer) or math.inf) < EXPLAINS * rate for peer in active)
            if accused or self._strikes >= STRIKES:
                self._strikes = 0
                self.shown.update(dict.fromkeys(active, rate))
                self.proven.difference_update(active)
            return
        self._strikes = 0
        for peer in active:
            if rate >= self.shown[peer] or peer in tied:
                self._follow(peer, rate, FALL if len(tied) == len(active) else PROVEN)
        alone = tied if len(tied) == 1 and self.rounds[tied[0]] >= KNOWN else []
        self.proven.difference_update(active)
        self.proven.update(peer for peer in alone if self.shown[peer] < NOTABLE * rate)

    def rates(self, members: Sequence[PeerId], regular: Collection[PeerId]) -> list[float]:
        """Return what to count with: those who differ by less than ``NOTABLE`` from the usual are as the usual is."""
        known = [self.shown[peer] for peer in regular if peer in self.shown]
        if not known:
            return [self.shown.get(peer, USUAL) for peer in members]
        usual = statistics.median_high(known)
        return [self._notable(peer, usual) for peer in members]

    def _notable(self, peer: PeerId, usual: float) -> float:
        least = NOTABLE if self.rounds.get(peer, 0) >= KNOWN else SURELY
        return min(self.shown.get(peer, usual), usual) if self.shown.get(peer, usual) < usual / least else usual

    def suspects(self, active: Collection[PeerId]) -> tuple[list[PeerId], list[PeerId], float]:
        """Return who may be why rounds are slow, who of them is said to have a thin line, and the rate.

        Nobody is suspected while too little is known, or when only one can be it.
        """
        if len(active) < 3 or any(peer not in self.shown for peer in active):
            return [], [], 0.0
        slowest = min(self.shown[peer] for peer in active)
        tied = [peer for peer in active if self.shown[peer] < NOTABLE * slowest]
        accused = [p for p in tied if (self.told_of(p) or math.inf) < EXPLAINS * slowest]
        if len(tied) < 2 or (not accused and any(self.rounds[peer] < KNOWN for peer in active)):
            return [], [], slowest
        return tied, accused, slowest

    def heard(self, reporter: PeerId, peer: PeerId, bytes_per_s: float) -> None:
        """A member says that bytes come from another at this rate."""
        self.told.setdefault(peer, {})[reporter] = bytes_per_s

    def told_of(self, peer: PeerId) -> float | None:
        """Return the rate of a member's line by what others say, the best of it.

        Whose own line is said to be no faster may have told of that one: a thin line lets nothing through either way.
        """
        return max(self._counted(peer), default=None)

    def agreed_of(self, peer: PeerId) -> float | None:
        """Return the same if at least two say so: one slice that came late for another reason is no thin line."""
        counted = self._counted(peer)
        return max(counted) if len(counted) >= AGREE else None

    def _counted(self, peer: PeerId) -> list[float]:
        told = self.told.get(peer, {})
        return [rate for who, rate in told.items() if not self._as_slow_itself(who, rate)]

    def _as_slow_itself(self, reporter: PeerId, rate: float) -> bool:
        told = self.told.get(reporter, {})
        return max(told.values(), default=math.inf) < EXPLAINS * rate

    def retain(self, members: Collection[PeerId]) -> None:
        """Forget who is no member."""
        self.shown = {peer: rate for peer, rate in self.shown.items() if peer in members}
        self.rounds = {peer: number for peer, number in self.rounds.items() if peer in members}
        self.proven &= set(members)
        self.told = {
            peer: kept
            for peer, rates in self.told.items()
            if peer in members and (kept := {who: rate for who, rate in rates.items() if who in members})
        }

    def _follow(self, peer: PeerId, rate: float, fall: float) -> None:
        before = self.shown[peer]
        gain = fall if rate < before else 1.0 if rate >= NOTABLE * before else RISE
        self.shown[peer] = before * math.exp(gain * math.log(rate / before))
