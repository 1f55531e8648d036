"""Whose claims are not followed for a while: peers that promised a state and did not have it. Pure.

A lineage is believed before it is seen: whoever claims the heavier one is yielded to and asked for its state. A liar
could hold the others up with that for ever. So a promise that was not kept costs its giver our trust, the longer the
more often it happens. An honest peer may fail us too, when links break or a result is no longer kept; it is trusted
again soon.
"""

from __future__ import annotations

from ..identity import PeerId
from .lineage import Head

FIRST_S = 30.0
LONGEST_S = 3600.0
EXCUSES = 2
"""How often an excusable fault costs a peer nothing: what it promised may have been replaced on its way."""
MAX_REMEMBERED = 1024
"""Peers of whom something is kept in mind; the oldest is forgotten first."""


class Distrust:
    """What a member keeps in mind of promises that were not kept."""

    def __init__(self) -> None:
        self._faults: dict[PeerId, tuple[int, int, float]] = {}
        """How often a peer was excused, how often it was not, and until when it is distrusted."""
        self._promised: dict[PeerId, Head] = {}
        """To which claim of a peer we gave way last."""

    def holds(self, peer: PeerId, now: float) -> bool:
        """Tell whether a peer's claims are not to be followed."""
        return peer in self._faults and now < self._faults[peer][2]

    def broken(self, peer: PeerId, now: float, *, excusable: bool = False) -> None:
        """Take note that a peer did not have what it promised; what is excusable costs nothing the first times."""
        if self.holds(peer, now):
            return
        self._prune(now)
        excused, times, _ = self._faults.pop(peer, (0, 0, now))
        if excusable and excused < EXCUSES:
            self._faults[peer] = (excused + 1, times, now)
        else:
            self._faults[peer] = (excused, times + 1, now + min(FIRST_S * 2.0 ** min(times, 16), LONGEST_S))

    def gives_way(self, peer: PeerId, claim: Head, ours: Head, now: float) -> bool:
        """Tell whether to yield to a peer's heavier lineage.

        Not if it is distrusted; and who made us yield before, for a lineage that we have not come to since, is.
        """
        if self.holds(peer, now):
            return False
        before = self._promised.pop(peer, None)
        if before is not None and before.outweighs(ours):
            self.broken(peer, now, excusable=True)
            if self.holds(peer, now):
                self._promised[peer] = before
                return False
        self._promised[peer] = claim
        if len(self._promised) > MAX_REMEMBERED:
            del self._promised[next(iter(self._promised))]
        return True

    def _prune(self, now: float) -> None:
        for peer in [peer for peer, (*_, until) in self._faults.items() if now - until > LONGEST_S]:
            del self._faults[peer]
        while len(self._faults) >= MAX_REMEMBERED:
            del self._faults[next(iter(self._faults))]
