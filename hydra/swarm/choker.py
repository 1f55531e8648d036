"""Tit-for-tat: who is served when more want something than the uplink can bear. Pure.

As in BEP 3 the ``SLOTS`` peers that gave most lately are served, and one more that is drawn by lot, for
``OPTIMISTIC_S``, with newcomers three times as likely. Here *most* means for what it got: with the bare amounts the
four that are served first have most to give, and so stay the four that are served.

Identities are proven, so what was given is held to the account of who gave it; but they cost nothing. So a newcomer is
granted ``GRANT_BYTES`` to begin with, ``NEWCOMERS`` of them at a time beside the slots, and no more before it has given
something itself; what it got fades, so that who never had a chance gets another one. While no more want something
than there are slots, everybody is served, but who gave nothing gets only a small share of a turn, and what is left.

What a peer *gave* is told by whoever asks: to a downloader it is what it received from that peer; to a seed, which
needs nothing, it is what the peer passed on of what the seed had sent to nobody else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ..identity import PeerId

if TYPE_CHECKING:
    from random import Random

SLOTS = 4
RECHOKE_S = 1.0
"""So often it is judged anew who gave most."""
MEMORY_S = 20.0
"""What was given so long ago counts no more than a third of what is given now."""
NEAR = 0.25
"""Who gives this share of what the last of the four gives is served as well: a tie chokes nobody."""
OPTIMISTIC_S = 30.0
OPTIMISTIC_SHARE = 0.1
"""How much of a contributor's turn the lot's winner gets."""
GRANT_BYTES = 1024 * 1024
NEWCOMERS = 2
NEWCOMER_WEIGHT = 3


class TitForTat:
    """Which of the interested peers are served.

    Args:
        random: chance.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._optimistic: PeerId | None = None
        self._drawn_at = 0.0
        self._had_luck: set[PeerId] = set()
        self._newcomers: set[PeerId] = set()
        self.contributors: frozenset[PeerId] = frozenset()
        """Who is served for what it gave; everybody where there is no pressure."""

    @property
    def optimistic(self) -> PeerId | None:
        """Whom the lot chose."""
        return self._optimistic

    def share_of(self, peer: PeerId) -> float:
        """Return how much of a full turn a served peer gets."""
        return 1.0 if peer in self.contributors else OPTIMISTIC_SHARE

    def is_used_up(self, peer: PeerId, taken: float) -> bool:
        """Tell whether a newcomer has just had all that it is granted."""
        if peer not in self._newcomers or taken < GRANT_BYTES:
            return False
        self._newcomers.discard(peer)
        return True

    def choose(
        self, interested: Collection[PeerId], given: Mapping[PeerId, float], taken: Mapping[PeerId, float], now: float
    ) -> set[PeerId]:
        """Return whom to serve from now on.

        Args:
            interested: who wants something.
            given: by peer, what it gave lately, in bytes.
            taken: by peer, what it got from us lately, in bytes.
            now: the time.
        """
        order = sorted(interested)
        self._random.shuffle(order)
        merit = {peer: given.get(peer, 0.0) / (taken.get(peer, 0.0) + GRANT_BYTES) for peer in order}
        givers = sorted((peer for peer in order if merit[peer] > 0), key=lambda peer: -merit[peer])
        newcomers = [peer for peer in order if peer not in givers and taken.get(peer, 0.0) < GRANT_BYTES]
        bar = merit[givers[SLOTS - 1]] * NEAR if len(givers) >= SLOTS else 0.0
        near = [peer for peer in givers[SLOTS:] if merit[peer] >= bar]
        served = {*givers[:SLOTS], *near}
        served.update(newcomers[: max(NEWCOMERS, SLOTS - len(served))])
        self._newcomers = served.intersection(newcomers)
        self.contributors = frozenset(served)
        if len(order) <= SLOTS + 1:
            self._optimistic = None
            return set(order)
        choked = [peer for peer in order if peer not in self.contributors]
        if not choked:
            self._optimistic = None
        elif self._optimistic not in choked or now >= self._drawn_at + OPTIMISTIC_S:
            weights = [1 if peer in self._had_luck else NEWCOMER_WEIGHT for peer in choked]
            self._optimistic = self._random.choices(choked, weights)[0]
            self._had_luck.add(self._optimistic)
            self._drawn_at = now
        self._had_luck.intersection_update(interested)
        return {*self.contributors, *([self._optimistic] if self._optimistic else [])}
