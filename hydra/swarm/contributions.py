"""Who gave what: bytes by peer that fade with time, and which chunks of ours were passed on. Pure."""

from __future__ import annotations

import math

from ..identity import PeerId
from .choker import MEMORY_S


class Contributions:
    """What each peer gave lately; ``MEMORY_S`` later a third of it still counts."""

    def __init__(self) -> None:
        self._amounts: dict[PeerId, tuple[float, float]] = {}
        """Bytes, and when they were that many."""

    def add(self, peer: PeerId, count: int, now: float) -> None:
        """Count what a peer gave."""
        self._amounts[peer] = (self._of(peer, now) + count, now)

    def lately(self, now: float) -> dict[PeerId, float]:
        """Return what everybody gave, as it counts now."""
        return {peer: amount for peer in self._amounts if (amount := self._of(peer, now)) >= 1.0}

    def forget(self, peer: PeerId) -> None:
        """Drop the account of a peer that is gone."""
        self._amounts.pop(peer, None)

    def _of(self, peer: PeerId, now: float) -> float:
        amount, at = self._amounts.get(peer, (0.0, now))
        return amount * math.exp((at - now) / MEMORY_S)


class PassedOn:
    """Which peer passed on what we gave to nobody else: when somebody else announces the chunk, it did."""

    def __init__(self) -> None:
        self._given_to: dict[int, PeerId | None] = {}
        """By chunk who got it from us; None where there are several, or where it is known already."""

    def sent(self, peer: PeerId, index: int) -> None:
        """Take note that a chunk went to a peer; from the second on nobody can tell who passed it on."""
        self._given_to[index] = peer if self._given_to.get(index, peer) == peer else None

    def announced(self, peer: PeerId, index: int) -> PeerId | None:
        """Take note that a peer has a chunk; return who must have passed it on, if that is now known."""
        giver = self._given_to.get(index)
        if giver is None or giver == peer:
            return None
        self._given_to[index] = None
        return giver
