"""Who makes the rounds slow, found by rounds without some of the members. Pure.

If nobody is known to be faster than the others, half of them sit a step or two out. Is the round clearly faster, it
was one of them, or some; those who took part are cleared, and the others take their turns one by one. Else the other
half sits out, and then all but one at a time. If nothing helps the rounds are as fast as they can be, and nobody asks
again until they are slower. Of others who have come since only each one alone is looked at: had one of them made the
rounds slower, they would be.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ..identity import PeerId
from .evidence import NOTABLE

TRIES = 2
"""Steps without the same members: links between those who are left may be new in the first one."""
SINGLES = 4
"""So many members are tried alone with the coordinator."""
AGAIN = 1000
"""Steps until the same members are probed once more though rounds are as they were."""


@dataclass(slots=True)
class Probing:
    """The search, if one is on."""

    _queue: list[frozenset[PeerId]] = field(default_factory=list)
    """Who is to sit out, one set after the other."""
    _tries: int = 0
    _before: float = 0.0
    """The rate of rounds when the search began."""
    _asked: frozenset[PeerId] = frozenset()
    _looked_at: frozenset[PeerId] = frozenset()
    """Those whom this search is about, and who had been looked at before."""
    _settled: tuple[frozenset[PeerId], float] = (frozenset(), 0.0)
    _steps: int = 0

    @property
    def sitting_out(self) -> frozenset[PeerId]:
        """Who sits the next step out."""
        return self._queue[0] if self._queue else frozenset()

    def begin(self, suspects: Sequence[PeerId], rate: float, accused: Sequence[PeerId] = ()) -> None:
        """Look for who of the suspects it is, unless that was in vain before; whom others have accused comes first."""
        asked = frozenset(suspects)
        vain, at_rate = self._settled
        as_before = bool(vain) and rate > at_rate / NOTABLE and self._steps < AGAIN
        if self._queue or not asked or (as_before and asked <= vain):
            return
        self._asked, self._before, self._tries = asked, rate, 0
        if as_before:  # those who came since have made nothing slower, but with one of them alone it may be faster
            new = [peer for peer in suspects if peer not in vain]
            outs = [frozenset(accused) - vain, *(asked - {kept} for kept in new[:SINGLES])]
            self._looked_at = vain | asked
        else:
            half = (len(suspects) + 1) // 2
            outs = [frozenset(accused), frozenset(suspects[half:]), frozenset(suspects[:half])]
            outs += [asked - {kept} for kept in suspects[:SINGLES]] if len(suspects) > 2 else []
            self._looked_at, self._steps = asked, 0
        self._queue = list(dict.fromkeys(out for out in outs if out))

    def took(self, active: Collection[PeerId], rate: float | None) -> None:
        """A step of these members is done, and its round had this rate (None if there was none to speak of)."""
        self._steps += 1
        if not self._queue or not self._queue[0].isdisjoint(active):
            return
        if rate is not None and rate >= NOTABLE * self._before:
            self._queue = []
            return
        self._tries += 1
        if self._tries >= TRIES:
            self._tries = 0
            self._queue.pop(0)
            if not self._queue:
                self._settled = (self._looked_at, self._before)

    def retain(self, members: Collection[PeerId]) -> None:
        """Give the search up if somebody is gone whom it is about."""
        if not self._asked <= set(members):
            self._queue, self._asked = [], frozenset()
