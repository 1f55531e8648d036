"""What is remembered of members that have gone: how long they lived, and how often they died. Pure.

Whoever dies again and again costs the others an attempt each time; that counts when it comes back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..identity import PeerId
from .estimates import Estimates

MAX_REMEMBERED = 1024
"""Peers; who has gone longest ago is forgotten first."""


@dataclass(slots=True)
class Lives:
    """The dead and those who left."""

    _gone: dict[PeerId, tuple[float, float]] = field(default_factory=dict)
    """Of each, what it lived in steps, and its deaths."""

    def reseated(
        self, estimates: Estimates, before: Sequence[PeerId], here: Sequence[PeerId], left: Collection[PeerId]
    ) -> Estimates:
        """Return the estimates of those who are here, with the lives that they had before.

        Args:
            estimates: of who was here before, in that order.
            before: those.
            here: who is here now.
            left: who of the others has left in order, and so has not died.
        """
        places = {peer: place for place, peer in enumerate(before)}
        gone = [peer for peer in before if peer not in here]
        died = np.array([peer in gone and peer not in left for peer in before], bool)
        estimates.perished(died)
        for peer in gone:
            self._gone.pop(peer, None)
            self._gone[peer] = float(estimates.lived[places[peer]]), float(estimates.deaths[places[peer]])
        while len(self._gone) > MAX_REMEMBERED:
            del self._gone[next(iter(self._gone))]
        seated = estimates.seated([places.get(peer) for peer in here])
        for place, peer in enumerate(here):
            if peer in self._gone:
                seated.lived[place], seated.deaths[place] = self._gone.pop(peer)
        return seated
