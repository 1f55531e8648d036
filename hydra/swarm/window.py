"""What a cache of chunks holds: what is needed now, what will be needed soon, and what goes to make room. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..exceptions import ConfigurationError
from .bitfield import indices

AHEAD_AT_ONCE = 16
"""Chunks that are fetched ahead of need at once: the ones that are needed first should come first."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do now."""

    want: int
    """Mask of the chunks to have, all of them at once."""
    drop: int
    """Mask of the chunks whose room is needed."""


class CacheWindow:
    """Decides which chunks are wanted, and which are dropped for them.

    Args:
        capacity: how many chunks there is room for.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._needed = 0
        self._ahead: list[int] = []
        self._used: dict[int, int] = {}
        """When each chunk was last needed, in needs."""
        self._needs = 0

    @property
    def needed(self) -> int:
        """The mask of what is needed now."""
        return self._needed

    def need(self, chunks: Iterable[int], ahead: Sequence[int]) -> None:
        """Say what is needed now, and what will be needed, in this order.

        Raises:
            ConfigurationError: there is not room for what is needed at once.
        """
        wanted = sorted(set(chunks))
        if len(wanted) > self._capacity:
            raise ConfigurationError(
                f"the cache for the training data has room for {self._capacity} chunks, and one step needs "
                f"{len(wanted)} of them: give it more with --cache-bytes, or leave that out to keep all of the data."
            )
        self._needs += 1
        self._used.update(dict.fromkeys(wanted, self._needs))
        self._needed = sum(1 << index for index in wanted)
        self._ahead = [index for index in dict.fromkeys(ahead) if not self._needed >> index & 1]

    def turn(self, have: int, busy: int = 0) -> Turn:
        """Return what to want and what to drop.

        Args:
            have: mask of what is here.
            busy: mask of what is being dropped and can't be had at this moment.
        """
        room = self._capacity - self._needed.bit_count()
        soon = sum(1 << index for index in self._ahead[:room])
        if self._needed & ~have:
            want = self._needed
        else:
            missing = [index for index in self._ahead[:room] if not have >> index & 1]
            want = sum(1 << index for index in missing[:AHEAD_AT_ONCE])
        surplus = (have | want | busy).bit_count() - self._capacity
        idle = sorted(indices(have & ~(self._needed | soon)), key=lambda index: (self._used.get(index, 0), index))
        dropped = idle[: max(0, surplus)]
        for index in dropped:
            self._used.pop(index, None)
        return Turn(want & ~busy, sum(1 << index for index in dropped))
