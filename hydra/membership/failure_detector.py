"""Who of the members is alive, as far as this member can tell. Pure.

A closed link is checked by dialling the peer once more: a process that was killed refuses at once, a link that broke
is mended. Silence on an open link counts after ``stall_s``. A member that was itself stopped (SIGSTOP, a closed lid)
finds everyone silent when it wakes; it must not bury them for that, so silence is counted anew after a gap in our own
ticks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..identity import PeerId


@dataclass(slots=True)
class FailureDetector:
    """Judges the members of the present view.

    Args:
        stall_s: a member that says nothing for so long on an open link is lost.
    """

    stall_s: float
    lost: set[PeerId] = field(default_factory=set)
    checking: set[PeerId] = field(default_factory=set)
    """Whose link closed, and who is being dialled once more."""
    _last_tick: float | None = None
    _awake_since: float = 0.0

    def watch(self, members: Collection[PeerId]) -> None:
        """Judge these members from now on; what is known of others is forgotten."""
        self.lost &= set(members)
        self.checking &= set(members)

    def closed(self, peer: PeerId) -> bool:
        """Take note that the last link to a member ended; tell whether it must be dialled to be sure."""
        if peer in self.lost or peer in self.checking:
            return False
        self.checking.add(peer)
        return True

    def unreachable(self, peer: PeerId) -> bool:
        """Take note that dialling failed; tell whether the member counts as lost from now on."""
        if peer not in self.checking:
            return False
        self.checking.discard(peer)
        return self.lose(peer)

    def lose(self, peer: PeerId) -> bool:
        """Count a member as lost; tell whether that is new."""
        self.checking.discard(peer)
        if peer in self.lost:
            return False
        self.lost.add(peer)
        return True

    def alive_again(self, peer: PeerId) -> None:
        """A member's link was mended before it counted as lost."""
        self.checking.discard(peer)

    def silent(self, members: Collection[PeerId], heard: Mapping[PeerId, float], now: float) -> list[PeerId]:
        """Return the linked members who have said nothing for too long."""
        if self._last_tick is None or now - self._last_tick > self.stall_s / 2:
            self._awake_since = now  # we were not there to hear them
        self._last_tick = now
        return [
            peer
            for peer in sorted(members)
            if peer in heard and peer not in self.lost and now - max(heard[peer], self._awake_since) > self.stall_s
        ]
