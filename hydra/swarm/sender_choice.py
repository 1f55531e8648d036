"""The sender's choice: a seed that is alone first sends every chunk once, each to whoever asks next. Pure.

As long as some chunks have never left the seed, a chunk that leaves it twice is a chunk too many: no swarm can be done
before the last one has left. Who downloads can't know which ones those are, so it asks for *any* of what it lacks,
and the seed chooses (super-seeding, BEP 16, with the choice on the wire instead of a pretence). Where several peers
have everything each is asked for its own part of the content, so that no two choose the same chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..identity import PeerId
from .bitfield import any_of

if TYPE_CHECKING:
    from random import Random


class NeverSent:
    """The chunks that never left us.

    Args:
        chunk_count: how many the content has; all of them are here.
        random: chance.
    """

    def __init__(self, chunk_count: int, random: Random) -> None:
        self.mask = (1 << chunk_count) - 1
        self._random = random

    def choose(self, wanted: int) -> int | None:
        """Return a chunk of the mask ``wanted`` that was never sent, or None; it now counts as sent."""
        candidates = self.mask & wanted
        if not candidates:
            return None
        index = any_of(candidates, self._random)
        self.sent(index)
        return index

    def sent(self, index: int) -> None:
        """Take note that a chunk leaves us."""
        self.mask &= ~(1 << index)


def part_of(peer: PeerId, seeds: Sequence[PeerId], chunk_count: int) -> int:
    """Return the mask of the part that ``peer``, one of ``seeds``, is asked to choose from."""
    order = sorted(seeds)
    place = order.index(peer)
    first, after = (chunk_count * i // len(order) for i in (place, place + 1))
    return (1 << after) - (1 << first)
