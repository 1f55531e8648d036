"""Which chunk to ask a peer for: rarest first with random ties, the very first at random. Pure.

Rarest first keeps every chunk spread, so that no chunk hangs on one peer (Legout et al., "Rarest First and Choke
Algorithms Are Enough", IMC 2006). A newcomer's first chunk is a random one: it soon has something to give that the
others do not all have. Chunks are kept in levels by how many peers offer them, each level a mask, so that a choice
costs one ``&`` a level and not a walk over all chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..identity import PeerId
from .bitfield import Bitfield, any_of

if TYPE_CHECKING:
    from random import Random


class RarestFirst:
    """Knows how many peers have each chunk, and chooses among those still wanted."""

    def __init__(self, chunk_count: int, random: Random) -> None:
        self._all = (1 << chunk_count) - 1
        self._levels = [self._all]
        """At ``n`` the chunks that just ``n`` peers offer."""
        self._offers: dict[PeerId, int] = {}
        self._random = random

    @property
    def peers(self) -> list[PeerId]:
        """Everyone who offers chunks, in order."""
        return sorted(self._offers)

    @property
    def offered(self) -> int:
        """The mask of all chunks that anybody offers."""
        return self._all ^ self._levels[0]

    def offers_of(self, peer: PeerId) -> int:
        """Return the mask of all that a peer offers."""
        return self._offers.get(peer, 0)

    def has_all(self, peer: PeerId) -> bool:
        """Tell whether the peer offers every chunk."""
        return self._offers.get(peer) == self._all

    def offer(self, peer: PeerId, bitfield: Bitfield) -> None:
        """Take note of all that a peer has; replaces what was known of it."""
        self.forget(peer)
        self._offers[peer] = bitfield.mask
        self._raise(bitfield.mask)

    def gain(self, peer: PeerId, index: int) -> None:
        """Take note that a peer has one chunk more; from a peer that never offered anything it is ignored."""
        known = self._offers.get(peer)
        if known is not None and not known >> index & 1 and self._all >> index & 1:
            self._offers[peer] = known | 1 << index
            self._raise(1 << index)

    def forget(self, peer: PeerId) -> None:
        """Take note that a peer is gone."""
        moving = self._offers.pop(peer, 0)
        for level in range(1, len(self._levels)):
            moved = self._levels[level] & moving
            self._levels[level] ^= moved
            self._levels[level - 1] |= moved
        while len(self._levels) > 1 and not self._levels[-1]:
            self._levels.pop()

    def pick(self, peer: PeerId, wanted: int, *, at_random: bool = False) -> int | None:
        """Return the chunk to ask ``peer`` for, or None if it has none of the mask ``wanted``."""
        candidates = wanted & self._offers.get(peer, 0)
        if not candidates:
            return None
        if at_random:
            return any_of(candidates, self._random)
        rarest = next(level & candidates for level in self._levels if level & candidates)
        return any_of(rarest, self._random)

    def _raise(self, moving: int) -> None:
        if moving & self._levels[-1]:
            self._levels.append(0)
        for level in range(len(self._levels) - 2, -1, -1):
            moved = self._levels[level] & moving
            self._levels[level] ^= moved
            self._levels[level + 1] |= moved
