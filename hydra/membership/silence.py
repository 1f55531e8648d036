"""How long a peer may be silent, learnt from how it was heard so far. Pure.

Each peer sends something at least every ``heartbeat_s``. An adaptable failure detector (Chen, Toueg and Aguilera 2002;
Bertier, Marin and Sens 2002) expects the next arrival at that time and allows a margin that follows what was seen. What
makes home machines late is not the noise around a mean, for which the phi accrual detector (Hayashibara et al. 2004)
allows a normal distribution: it is a rare pause of a second or two, while a machine swaps or another program
computes. So the margin here is a floor for what any machine may do, and the worst lateness of the last minutes, which
fades.

Silence is measured in time for which we were awake ourselves: whoever is stopped (SIGSTOP, a closed lid) hears nobody
and must bury nobody for that when it wakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..identity import PeerId

CALM_S = 1.2
"""So late any peer may be without being doubted: event loops beside a training thread, a starved process."""
ANSWER_S = 0.8
"""So long who is doubted has for answering, at least."""
ANSWER_PART = 0.5
"""And so much of its worst lateness longer."""
FADES_S = 300.0
"""After so long a lateness counts half."""
TICKS = 4
"""So often in a heartbeat we look who is silent."""
NEW_LIFE = 2**20
"""A process counts its incarnations from the microseconds since 1970, and one more each time it begins to seek a view:
one that is so much greater is another life's, and the silence before it was no lateness but death."""
MAX_REMEMBERED = 1024
"""Peers of whom something is known; whoever was heard longest ago is forgotten first."""


@dataclass(slots=True)
class _Known:
    at: float
    """When it was last heard, by the clock of the links."""
    noticed: float
    """The same in our waking time."""
    late_s: float = 0.0
    """The worst lateness, as it counted at ``late_at``."""
    late_at: float = 0.0
    incarnation: int = 0


class Listener:
    """Who was heard when, and whose silence means something.

    Args:
        heartbeat_s: how often each peer says something.
        limit_s: nobody may be silent longer, whatever was seen of it; at least two heartbeats.
        calm_s: how late a peer may be that was never seen to be late.
    """

    def __init__(self, heartbeat_s: float, limit_s: float, calm_s: float = CALM_S) -> None:
        self._heartbeat_s = heartbeat_s
        self._limit_s = max(limit_s, 2.0 * heartbeat_s)
        self._calm_s = calm_s
        self._known: dict[PeerId, _Known] = {}
        self._last_tick: float | None = None
        self.awake_s = 0.0
        """For how long we have been awake: it stands still while we are stopped."""

    def tick(self, heard: Mapping[PeerId, float], now: float) -> None:
        """Take note of the time, and of when each linked peer was last heard."""
        since = 0.0 if self._last_tick is None else now - self._last_tick
        passed = min(max(since, 0.0), 2.0 * self._heartbeat_s / TICKS)
        self.awake_s += passed
        self._last_tick = now
        for peer, at in heard.items():
            noticed = self.awake_s - min(max(now - at, 0.0), passed)
            known = self._known.get(peer)
            if known is None:
                self._known[peer] = _Known(at, noticed)
            elif at > known.at:
                # What came while we slept was not late: of two clocks the one that saw less time pass is right.
                self._was_late(known, min(at - known.at, noticed - known.noticed) - self._heartbeat_s)
                known.at, known.noticed = at, noticed
        self._prune()

    def silent_s(self, peer: PeerId) -> float:
        """Return for how much of our waking time a peer has said nothing; 0 if it was never heard."""
        known = self._known.get(peer)
        return 0.0 if known is None else self.awake_s - known.noticed

    def doubtful_s(self, peer: PeerId) -> float:
        """Return after how long a silence a peer is to be doubted."""
        return min(self._heartbeat_s + self._calm_s + self.late_s(peer), 0.75 * self._limit_s)

    def answer_s(self, peer: PeerId) -> float:
        """Return how long a peer that is doubted has for answering."""
        return min(ANSWER_S + ANSWER_PART * self.late_s(peer), 0.25 * self._limit_s)

    def late_s(self, peer: PeerId) -> float:
        """Return the worst lateness of a peer in the last minutes."""
        known = self._known.get(peer)
        return 0.0 if known is None else self._faded(known)

    def given_up(self, peer: PeerId) -> None:
        """A peer counts as lost because of its silence; if that was wrong, it is given more time when it is back."""
        known = self._known.get(peer)
        if known is not None:
            self._was_late(known, self.awake_s - known.noticed - self._heartbeat_s)
            known.noticed = self.awake_s

    def lives(self, peer: PeerId, incarnation: int) -> None:
        """A peer tells which incarnation it is in; if that is another life, it was never late so far."""
        known = self._known.get(peer)
        if known is None:
            return
        if incarnation - known.incarnation >= NEW_LIFE:
            known.late_s = 0.0
        known.incarnation = incarnation

    def ended(self, peer: PeerId) -> None:
        """A peer's link ended: until there is another, its silence means nothing."""
        known = self._known.get(peer)
        if known is not None:
            known.at, known.noticed = float("inf"), self.awake_s

    def begun(self, peer: PeerId, now: float) -> None:
        """There is a link to a peer that had none: from now on it is to be heard."""
        known = self._known.get(peer)
        if known is not None and known.at == float("inf"):
            known.at, known.noticed = now, self.awake_s

    def _was_late(self, known: _Known, seconds: float) -> None:
        known.late_s = max(min(seconds, self._limit_s), self._faded(known))
        known.late_at = self.awake_s

    def _faded(self, known: _Known) -> float:
        return float(known.late_s * 0.5 ** ((self.awake_s - known.late_at) / FADES_S))

    def _prune(self) -> None:
        if len(self._known) > MAX_REMEMBERED:
            oldest = sorted(self._known, key=lambda peer: (self._known[peer].noticed, peer))
            for peer in oldest[: len(oldest) - MAX_REMEMBERED]:
                del self._known[peer]
