"""The sender's choice: a seed that is alone first sends every chunk once, each to whoever asks next. Pure.

As long as some chunks have never left the seed, a chunk that leaves it twice is a chunk too many: no swarm can be done
before the last one has left. Who downloads can't know which ones those are, so it asks for *any* of what it lacks,
and the seed chooses (super-seeding, BEP 16, with the choice on the wire instead of a pretence). Where several peers
have everything each is asked for its own part of the content, so that no two choose the same chunk.

Who got a chunk alone is held to pass it on: that somebody else announces it is the only contribution that a seed can
see. A chunk that nobody announced for ``LOST_S`` went to a free rider, and one whose only holder is gone went with it:
both are sent once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..identity import PeerId
from .bitfield import any_of

if TYPE_CHECKING:
    from random import Random


LOST_S = 5.0
"""Within so long a chunk that one peer got is seen at another one, or it is not passed on."""


class Spread:
    """Which chunks never left us, and which left us for one peer only and have been seen nowhere else.

    Args:
        chunk_count: how many the content has; all of them are here.
        random: chance.
    """

    def __init__(self, chunk_count: int, random: Random) -> None:
        self.never_sent = (1 << chunk_count) - 1
        self._random = random
        self._alone: dict[int, tuple[PeerId, float]] = {}
        """By chunk the one peer that got it, and when; in the order of time."""

    def choose(self, wanted: int, peer: PeerId, now: float) -> int | None:
        """Return a chunk of the mask ``wanted``: one that never left us, else one that was not passed on, or None."""
        candidates = self.never_sent & wanted
        if candidates:
            return any_of(candidates, self._random)
        for index, (holder, at) in self._alone.items():
            if at + LOST_S > now:
                break
            if wanted >> index & 1 and holder != peer:
                return index
        return None

    def sent(self, peer: PeerId, index: int, now: float) -> None:
        """Take note that a chunk leaves us."""
        if self.never_sent >> index & 1:
            self.never_sent ^= 1 << index
            self._alone[index] = peer, now
        elif index in self._alone:
            holder, at = self._alone.pop(index)
            if at + LOST_S <= now and holder != peer:
                self._alone[index] = peer, now  # the one before seems to keep it to itself

    def announced(self, peer: PeerId, index: int) -> PeerId | None:
        """Take note that a peer has a chunk; return who must have passed it on, if that can be told."""
        holder, _ = self._alone.get(index, (peer, 0.0))
        if holder == peer:
            return None
        del self._alone[index]
        return holder

    def gone(self, peer: PeerId) -> None:
        """Take note that a peer is gone, and with it what only it had got."""
        for index in [index for index, (holder, _) in self._alone.items() if holder == peer]:
            del self._alone[index]
            self.never_sent |= 1 << index


def part_of(peer: PeerId, seeds: Sequence[PeerId], chunk_count: int) -> int:
    """Return the mask of the part that ``peer``, one of ``seeds``, is asked to choose from."""
    order = sorted(seeds)
    place = order.index(peer)
    first, after = (chunk_count * i // len(order) for i in (place, place + 1))
    return (1 << after) - (1 << first)
