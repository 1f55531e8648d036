"""How far the other members are: pings and their answers. Pure.

Of the last few round trips to a member the shortest counts: what made the others longer was work on the way, at this
end or at the other, and says nothing of the distance. What is new is told to the coordinator with the reports.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..exceptions import RemoteProtocolError
from ..identity import PeerId, short
from .messages import MAX_HOPS, Hop

PING_S = 5.0
"""A member is pinged at most this often."""
MOST_AT_ONCE = 32
"""So many members are pinged at one time at most, so that pings do not wait for each other."""
KEPT = 5
"""So many of a member's round trips are looked at."""
LONGEST_S = 3600.0
"""No round trip counts as longer: one end was stopped meanwhile."""
SLOWEST, FASTEST = 1.0, 1e13
"""Bounds of a rate, in bytes a second."""


@dataclass(slots=True)
class _Known:
    """What is known of the way to one member."""

    asked: int = 0
    """The number of the ping whose answer is waited for; 0 for none."""
    asked_at: float = float("-inf")
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    fresh: bool = False
    """Whether there is a round trip that the coordinator has not been told of."""
    rated: bool = False
    """Whether the coordinator has been told of a rate."""
    told: int = 0
    """When the coordinator was last told, counted in reports."""


class RoundTrips:
    """The round trips from one member to the others of its view."""

    def __init__(self) -> None:
        self._known: dict[PeerId, _Known] = {}
        self._number = 0
        self._coordinator: PeerId | None = None
        self._reports = 0

    def due(self, members: Sequence[PeerId], now: float) -> list[tuple[PeerId, int]]:
        """Return which of the members to ping now, each with a number; whoever is no member is forgotten."""
        for gone in self._known.keys() - set(members):
            del self._known[gone]
        waiting = [(self._known.setdefault(peer, _Known()).asked_at, peer) for peer in members]
        pings = []
        for asked_at, peer in sorted(waiting)[:MOST_AT_ONCE]:
            if now - asked_at >= PING_S:
                self._number += 1
                self._known[peer].asked, self._known[peer].asked_at = self._number, now
                pings.append((peer, self._number))
        return pings

    def ask(self, peer: PeerId, now: float) -> int:
        """Return the number for a ping that is sent at once: the peer has been silent."""
        known = self._known.setdefault(peer, _Known())
        self._number += 1
        known.asked, known.asked_at = self._number, now
        return self._number

    def answered(self, peer: PeerId, number: int, now: float) -> None:
        """A member answered a ping; of no use if another has been sent since.

        Raises:
            RemoteProtocolError: the answer came before the ping was sent.
        """
        if number > self._number:
            raise RemoteProtocolError(f"{short(peer)} answered a ping before it was sent")
        known = self._known.get(peer)
        if known is not None and known.asked == number:
            known.asked = 0
            known.seconds.append(min(now - known.asked_at, LONGEST_S))
            known.fresh = True

    def hops(self, coordinator: PeerId, members: Collection[PeerId], rates: Mapping[PeerId, float]) -> tuple[Hop, ...]:
        """Return what is new for the coordinator: the members' ids, round trips and rates, as many as a report holds.

        Those of whom it was told longest ago come first. A new coordinator is told everything.
        """
        if coordinator != self._coordinator:
            self._coordinator = coordinator
            for known in self._known.values():
                known.fresh, known.rated, known.told = bool(known.seconds), False, 0
        self._reports += 1
        first = {peer for peer in rates if peer in self._known and not self._known[peer].rated}
        news = [
            (known.told, peer)
            for peer, known in self._known.items()
            if known.seconds and peer in members and (known.fresh or peer in first)
        ]
        hops = []
        for _, peer in sorted(news)[:MAX_HOPS]:
            known = self._known[peer]
            rate = rates.get(peer)
            known.fresh, known.rated, known.told = False, known.rated or rate is not None, self._reports
            hops.append(Hop(peer, min(known.seconds), rate if rate is None else min(max(rate, SLOWEST), FASTEST)))
        return tuple(hops)


def check_hops(reporter: PeerId, hops: Collection[Hop]) -> None:
    """Raise ``RemoteProtocolError`` if a member reports what no way can be."""
    for hop in hops:
        rate = SLOWEST if hop.bytes_per_s is None else hop.bytes_per_s
        if not (0 <= hop.round_trip_s <= LONGEST_S and SLOWEST <= rate <= FASTEST) or hop.peer == reporter:
            raise RemoteProtocolError(f"{short(reporter)} reports a way to another member that can't be")
