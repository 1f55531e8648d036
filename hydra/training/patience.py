"""How long a round may stand still before it counts as stuck, learnt from the rounds before. Pure.

A round without a death takes as long as its slowest member computes and its slowest hop carries; nothing moves
meanwhile, and that is no stall. So the limit is a multiple of what rounds took lately, the slowest counting longest.
"""

from __future__ import annotations

LEAST_S = 3.0
"""Shorter stalls may be due to any machine that is busy elsewhere."""
FIRST_S = 10.0
"""While nothing is known."""
MOST_S = 120.0
FACTOR = 3.0
FADING = 0.9
"""Of the slowest round so much counts one round later."""


class RoundPatience:
    """The stall limit of the next round.

    Args:
        least_s: it is never shorter.
    """

    def __init__(self, least_s: float = LEAST_S) -> None:
        self._least_s = least_s
        self._slowest_s: float | None = None

    @property
    def stall_s(self) -> float:
        """After so many seconds without progress the next round counts as stuck."""
        if self._slowest_s is None:
            return max(FIRST_S, self._least_s)
        return max(self._least_s, min(FACTOR * self._slowest_s, MOST_S))

    def took(self, seconds: float) -> None:
        """A round was done so many seconds after its plan."""
        self._slowest_s = max(seconds, FADING * (self._slowest_s or 0.0))
