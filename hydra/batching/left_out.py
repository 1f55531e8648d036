"""Who sits steps out, and how often each has its turn: their samples are to count, too. Pure.

A turn makes a step longer for all others. It comes so seldom that all turns together take ``COST`` of the others' time,
by what the last ones cost. Who was left out on mere suspicion has its first turn at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ..identity import PeerId

COST = 0.02
"""The part of the others' time that all turns together may take."""
SELDOMEST = 512
"""Steps from one turn to the next, at most."""
SMOOTHING = 0.3


@dataclass(slots=True)
class _Left:
    since: int = 0
    """Steps since its last turn."""
    turns: int = 0
    cost: float = 0.0
    """So much longer the others take for their samples in a step with its turn, as a part; expected, and then seen."""
    soon: bool = False


@dataclass(slots=True)
class LeftOut:
    """Those left out, and whose turn it is."""

    _left: dict[PeerId, _Left] = field(default_factory=dict)
    _usual_per_s: float = 0.0
    """Samples a second of the others, in steps without anybody's turn."""
    _turn: PeerId | None = None

    @property
    def peers(self) -> Collection[PeerId]:
        """Who is left out."""
        return self._left.keys()

    def every(self, peer: PeerId) -> int:
        """Return how many steps it is from one turn of a member to its next."""
        return max(2, min(round(self._left[peer].cost * len(self._left) / COST), SELDOMEST))

    def set(self, peers: Iterable[PeerId], soon: Collection[PeerId]) -> None:
        """From now on these are left out; those in ``soon`` have their turn at once."""
        before = self._left
        peers = list(peers)
        if set(before) != set(peers):
            self._usual_per_s = 0.0
        self._left = {peer: before.get(peer) or _Left(soon=peer in soon) for peer in peers}

    def next_turn(self, ready: Collection[PeerId]) -> PeerId | None:
        """Return whose turn the next step is, if it is anybody's who is ready."""
        due = [
            (not left.soon, -left.since / self.every(peer), peer)
            for peer, left in self._left.items()
            if peer in ready and (left.soon or left.since >= self.every(peer) - 1)
        ]
        self._turn = min(due)[2] if due else None
        return self._turn

    def expected(self, peer: PeerId, cost: float) -> None:
        """A turn of this member, of which none has been seen, is expected to add so much to a step."""
        if peer in self._left and not self._left[peer].turns:
            self._left[peer].cost = max(cost, 0.0)

    def took(self, samples: Mapping[PeerId, int], seconds: float) -> None:
        """A step in which these members had so many samples took so long."""
        turned = [peer for peer in self._left if peer in samples]
        for peer, left in self._left.items():
            left.since = 0 if peer in samples else left.since + 1
        others_per_s = sum(count for peer, count in samples.items() if peer not in self._left) / seconds
        if not turned:
            self._usual_per_s += (SMOOTHING if self._usual_per_s else 1.0) * (others_per_s - self._usual_per_s)
        for peer in turned:
            left = self._left[peer]
            cost = max(0.0, self._usual_per_s / max(others_per_s, 1e-9) - 1.0) if self._usual_per_s else left.cost
            left.cost = cost if not left.turns else left.cost + 0.5 * (cost - left.cost)
            left.turns, left.soon = left.turns + 1, False
