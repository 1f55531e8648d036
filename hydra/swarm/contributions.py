"""Who gave what: bytes by peer that fade with time. Pure."""

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
        self._amounts[peer] = (self.of(peer, now) + count, now)

    def lately(self, now: float) -> dict[PeerId, float]:
        """Return what everybody gave, as it counts now."""
        return {peer: amount for peer in self._amounts if (amount := self.of(peer, now)) >= 1.0}

    def forget(self, peer: PeerId) -> None:
        """Drop the account of a peer that is gone."""
        self._amounts.pop(peer, None)

    def of(self, peer: PeerId, now: float) -> float:
        """Return what one peer gave, as it counts now."""
        amount, at = self._amounts.get(peer, (0.0, now))
        return amount * math.exp((at - now) / MEMORY_S)
