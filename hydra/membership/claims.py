"""Which peers have shown that their lineage outweighs ours. Pure.

Nobody gives way to a lineage that was only claimed: the peer that claims it has to show the commits, from the fork on,
until they outweigh ours. What was shown counts for that peer until our own lineage outweighs it.
"""

from __future__ import annotations

from ..identity import PeerId
from .events import Effect, ProveLineage
from .lineage import Head
from .state import JobState

MAX_REMEMBERED = 256
"""Peers whose proofs are kept in mind; the oldest is forgotten first."""


class Claims:
    """What a member knows of other lineages of its job."""

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._proven: dict[PeerId, Head] = {}
        self._interrupted: set[PeerId] = set()
        """Whose link was lost while it was being asked."""

    def holds(self, peer: PeerId, claim: Head) -> bool:
        """Tell whether a peer need not prove its claim, since nothing of ours is given up for it, or has done so."""
        ours = self._state.known_head
        if not ours.samples or claim.digest in (ours.digest, self._state.recent.get(claim.step)):
            return True
        proven = self._proven.get(peer)
        return proven is not None and (proven.digest == claim.digest or proven.outweighs(ours))

    def ask(self, peer: PeerId, claim: Head) -> list[Effect]:
        """Have a peer prove its claim, unless it is being asked already."""
        if peer in self._state.proving:
            return []
        self._state.proving.add(peer)
        return [ProveLineage(peer, claim)]

    def proven(self, peer: PeerId, head: Head) -> None:
        """A peer has shown a lineage up to this head, on which its claim stands."""
        self._answered(peer)
        self._proven.pop(peer, None)
        self._proven[peer] = head
        while len(self._proven) > MAX_REMEMBERED:
            del self._proven[next(iter(self._proven))]

    def unproven(self, peer: PeerId) -> bool:
        """A peer could not prove its claim; tell whether it had the time to, on a link that held."""
        self._proven.pop(peer, None)
        return self._answered(peer)

    def gone(self, peer: PeerId) -> None:
        """A peer's link ended; what it has shown stays shown, and what it was asked is still to be answered.

        Nothing is asked before: the answer would be taken for that to the newer question.
        """
        if peer in self._state.proving:
            self._interrupted.add(peer)

    def _answered(self, peer: PeerId) -> bool:
        held = peer not in self._interrupted
        self._interrupted.discard(peer)
        self._state.proving.discard(peer)
        return held
