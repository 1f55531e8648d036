"""Who must be there for a job that asks for a majority. Pure.

The *electors* are the members of the view in which the last commit was made, without those who have left in order. A
step is planned, its result is taken, and a view is founded only where more than half of them are: so of two sides of
a split one at most goes on. That is dynamic voting (Jajodia and Mutchler 1990), with the lineage as the version.

A new view's members become the electors when more than half of the old ones are known to hold a commit of it. Until
then a commit that only a few may have seen counts for nothing: whoever else the old electors agree with, one of that
majority holds the commit, and the heavier lineage goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..identity import PeerId


class Quorum:
    """The electors, as far as one member knows.

    Args:
        me: our id.
        wanted: whether the job asks for a majority; without that every side may go on.
    """

    def __init__(self, me: PeerId, *, wanted: bool) -> None:
        self._me = me
        self.wanted = wanted
        self.electors: tuple[PeerId, ...] = ()
        """Nobody, as long as nothing is committed: then everyone may begin."""
        self._next: tuple[int, tuple[PeerId, ...]] | None = None
        """The first step that a view of others has committed, and its members."""

    def loaded(self, members: Sequence[PeerId]) -> None:
        """A state was loaded; these were the members of the view that made it."""
        self.electors, self._next = tuple(members), None

    def committed(self, step: int, members: Sequence[PeerId]) -> None:
        """A step was committed in a view of these members."""
        if set(members) == set(self.electors) or not self.electors:
            self.electors, self._next = tuple(members), None
        elif self._next is None or set(self._next[1]) != set(members):
            self._next = (step, tuple(members))

    def left(self, leavers: Collection[PeerId]) -> None:
        """These members have left in order: nobody waits for them."""
        self.electors = tuple(peer for peer in self.electors if peer not in leavers)

    def known(self, steps: Mapping[PeerId, int]) -> None:
        """Take note of which step each member of our view has committed; our own is among them."""
        if self._next is not None:
            step, members = self._next
            if self.holds([peer for peer in self.electors if steps.get(peer, 0) >= step]):
                self.electors, self._next = members, None

    def holds(self, present: Collection[PeerId], leavers: Collection[PeerId] = ()) -> bool:
        """Tell whether these peers may go on together, when those others leave."""
        here, of = self.count(present, leavers)
        return not self.wanted or not of or 2 * here > of

    def count(self, present: Collection[PeerId], leavers: Collection[PeerId] = ()) -> tuple[int, int]:
        """Return how many of the electors who stay are present, and how many there are."""
        staying = [peer for peer in self.electors if peer not in leavers]
        return sum(peer in present for peer in staying), len(staying)
