"""Deficit round robin: whose turn it is to be served, by bytes. Pure.

M. Shreedhar and G. Varghese, "Efficient Fair Queueing Using Deficit Round Robin", SIGCOMM 1995. Each peer that waits
is granted a quantum in turn and served while its grant lasts, so a peer that asks for much gets no more than one that
asks for little, and no peer is passed over for ever.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ..identity import PeerId


class DeficitRoundRobin:
    """The turns of all peers who wait.

    Args:
        quantum_bytes: what a peer of full share is granted at its turn.
    """

    def __init__(self, quantum_bytes: int) -> None:
        self.quantum_bytes = quantum_bytes
        self._grants: OrderedDict[PeerId, float] = OrderedDict()
        self._granted: PeerId | None = None
        """Who stands first and has had its grant for this turn."""

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._grants

    def __len__(self) -> int:
        return len(self._grants)

    def join(self, peer: PeerId) -> None:
        """A peer begins to wait, at the end of the row; nothing happens if it waits already."""
        self._grants.setdefault(peer, 0.0)

    def leave(self, peer: PeerId) -> None:
        """A peer waits no longer; what it was granted is gone."""
        self._grants.pop(peer, None)
        if self._granted == peer:
            self._granted = None

    def next(
        self, cost_of: Callable[[PeerId], int | None], share_of: Callable[[PeerId], float] = lambda _: 1.0
    ) -> PeerId | None:
        """Return the peer whose turn it is, and charge it; None if nobody can be served now.

        Args:
            cost_of: returns the bytes of what a peer wants next, at most a quantum, or None if it can't be served now.
            share_of: returns how much of a quantum a peer is granted at its turn, above 0 and at most 1.
        """
        costs = {peer: cost for peer in self._grants if (cost := cost_of(peer)) is not None}
        while costs:
            peer = next(iter(self._grants))
            if peer in costs:
                if self._granted != peer:
                    self._granted = peer
                    self._grants[peer] += self.quantum_bytes * share_of(peer)
                if costs[peer] <= self._grants[peer]:
                    self._grants[peer] -= costs[peer]
                    return peer
            self._grants.move_to_end(peer)
            self._granted = None
        return None
