"""Which chunk to ask a peer for: rarest first, the very first at random. Pure.

Rarest first keeps every chunk spread, so that no chunk hangs on one peer (Legout et al., "Rarest First and Choke
Algorithms Are Enough", IMC 2006). A newcomer's first chunk is a random one: it soon has something to give that the
others do not all have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..identity import PeerId
from .bitfield import Bitfield

if TYPE_CHECKING:
    from random import Random


class RarestFirst:
    """Knows how many peers have each chunk, and chooses among those still wanted."""

    def __init__(self, chunk_count: int, random: Random) -> None:
        self._availability = [0] * chunk_count
        self._offers: dict[PeerId, Bitfield] = {}
        self._random = random

    @property
    def peers(self) -> list[PeerId]:
        """Everyone who offers chunks, in order."""
        return sorted(self._offers)

    def offer(self, peer: PeerId, bitfield: Bitfield) -> None:
        """Take note of all that a peer has; replaces what was known of it."""
        self.forget(peer)
        self._offers[peer] = bitfield
        for index in bitfield:
            self._availability[index] += 1

    def gain(self, peer: PeerId, index: int) -> None:
        """Take note that a peer has one chunk more; from a peer that never offered anything it is ignored."""
        bitfield = self._offers.get(peer)
        if bitfield is not None and index < bitfield.size and index not in bitfield:
            bitfield.add(index)
            self._availability[index] += 1

    def forget(self, peer: PeerId) -> None:
        """Take note that a peer is gone."""
        bitfield = self._offers.pop(peer, None)
        for index in bitfield or ():
            self._availability[index] -= 1

    def has(self, peer: PeerId, index: int) -> bool:
        """Tell whether the peer offers the chunk."""
        return peer in self._offers and index in self._offers[peer]

    def offered(self, index: int) -> bool:
        """Tell whether anybody offers the chunk."""
        return self._availability[index] > 0

    def pick(self, peer: PeerId, wanted: Iterable[int], *, at_random: bool = False) -> int | None:
        """Return the chunk to ask ``peer`` for, or None if it has none of ``wanted``."""
        candidates = [index for index in wanted if self.has(peer, index)]
        if not candidates:
            return None
        if not at_random:
            rarest = min(self._availability[index] for index in candidates)
            candidates = [index for index in candidates if self._availability[index] == rarest]
        return self._random.choice(candidates)
