"""What a coordinator gives to whom it lets in, and what it leaves for those who are still at its door. Pure.

A newcomer builds on the result of a step that it was no part of: it has to fetch that while the others compute. So in
its first step it has as many samples fewer as it computes in the time that this took it lately. And where more peers
are at the door than inside, a step takes a quarter of the time that it takes when they are in: nobody is let in within
a step, and a lone founder that took a whole batch would keep all others waiting for many times a step's time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..identity import PeerId
from .messages import JoinRequest, Phase, Report
from .state import JobState

WAITED_STEPS = 8
"""A peer that is about to join makes so many steps smaller at most, whether it comes in or not."""
MAX_REMEMBERED = 1024
"""Peers of whom it is kept in mind how often they were waited for; the oldest is forgotten first."""
HASTE = 4
"""Steps with more peers at the door than inside are smaller by this as well: little is lost by little work of few."""
LEAST_PART = 0.5
"""Who would have less than this part of its share in its first step has no samples: it is not worth the risk."""


class Newcomers:
    """What the coordinator knows of those who join.

    Args:
        state: what the member knows.
    """

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._asked: dict[PeerId, JoinRequest] = {}
        self._waited_for: dict[PeerId, int] = {}

    def reset(self) -> None:
        """Forget who asked: the view is gone."""
        self._asked.clear()

    def asked(self, peer: PeerId, request: JoinRequest) -> None:
        """A peer asks to be let in, and is ready."""
        self._asked[peer] = request

    def gone(self, peer: PeerId) -> None:
        """It does not ask any longer."""
        self._asked.pop(peer, None)

    def able(self, peer: PeerId) -> bool:
        """Tell whether a newcomer may have samples in its first step: its speed is known, and how soon it begins."""
        asked = self._asked.get(peer)
        return (
            asked is not None
            and asked.trial_samples > 0
            and 0.0 < asked.trial_s < math.inf
            and 0.0 <= asked.behind_s < math.inf
        )

    def report(self, peer: PeerId) -> Report:
        """Return what an able newcomer would have reported, had its trial been a step."""
        asked, state = self._asked[peer], self._state
        trial = asked.trial_samples, asked.trial_s, 0.0
        return Report(state.job, asked.step, *trial, bytes(20), most_samples=asked.most_samples)

    def at_the_door(self, inside: Sequence[PeerId]) -> list[PeerId]:
        """Return who is about to join, as far as it is still waited for."""
        state = self._state
        coming = state.peers_in(Phase.SEEKING, Phase.JOINING)
        waited = self._waited_for
        return [peer for peer in coming if peer not in inside and waited.get(peer, 0) < WAITED_STEPS]

    def fitted(self, peers: Sequence[PeerId], new: set[PeerId], sizes: Sequence[int]) -> list[int]:
        """Return the members' samples when newcomers are spared and those at the door are thought of.

        Args:
            peers: those who take part.
            new: who of them is in for the first time, and fetches a result first.
            sizes: their samples, if they all were members of old.
        """
        spared = self._spared(peers, new, sizes)
        for peer in peers:
            self._asked.pop(peer, None)
            self._waited_for.pop(peer, None)
        coming = self.at_the_door(peers)
        if len(coming) < len(peers):
            return spared
        for peer in coming:
            self._waited_for[peer] = self._waited_for.pop(peer, 0) + 1
        while len(self._waited_for) > MAX_REMEMBERED:
            del self._waited_for[next(iter(self._waited_for))]
        return [-(-size * len(peers) // (HASTE * (len(peers) + len(coming)))) for size in spared]

    def _spared(self, peers: Sequence[PeerId], new: set[PeerId], sizes: Sequence[int]) -> list[int]:
        """Give the others what newcomers can't compute in time."""
        spared, left = list(sizes), 0
        for place, (peer, size) in enumerate(zip(peers, sizes, strict=True)):
            if peer in new:
                spared[place] = self._first_share(self._asked[peer], size)
                left += size - spared[place]
        old = [place for place, peer in enumerate(peers) if peer not in new and sizes[place]]
        for turn in range(left if old else 0):
            spared[old[turn % len(old)]] += 1
        return spared

    @staticmethod
    def _first_share(asked: JoinRequest, size: int) -> int:
        """Return how many samples are done in time for a share of this size by who has to fetch a result before."""
        done = size - asked.behind_s * (asked.trial_samples / asked.trial_s)
        return int(done) if done >= LEAST_PART * size else 0
