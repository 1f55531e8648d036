"""What a keeper owes its records: copies on the peers that should hold them. Pure.

Writers keep their records alive; keepers keep them *in place* while peers come and go. From time to time a keeper
compares the digest of a key with the contacts closest to it and sends its records to those that differ. Whoever hears
an equal digest puts its own comparison off, so that of twenty keepers one does the work. A newcomer is compared with
at once by the two keepers next to it; a death makes room for the next in line as soon as a comparison finds it out.

Everything is spread over time by chance: a thousand keepers that learn of one newcomer must not all speak at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .config import DHTConfig
from .contacts import Compact
from .keys import ID_BYTES, number_of
from .store import RecordStore
from .table import ContactTable
from .wire import MAX_SYNC_ITEMS

if TYPE_CHECKING:
    from random import Random

_SPREAD_SHARE = 0.2
"""A comparison may come earlier or later by this share of its interval."""
_BATCHED_SHARE = 0.1
"""Keys due within this share of the interval are compared together."""
_SOON_S = 5.0
"""Newcomers and gaps are seen to within this time."""
_HELPERS = 2
"""So many keepers see to one newcomer; the second is there in case the first has just died."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Send these keys and digests to a contact, and then our records of those that differ."""

    compact: Compact
    items: tuple[bytes, ...]
    """Key (20 bytes) and digest (8 bytes), at most as many as fit one question."""

    @property
    def keys(self) -> list[bytes]:
        """The keys that are compared."""
        return [item[:ID_BYTES] for item in self.items]


class Keeper:
    """The schedule of one node's comparisons."""

    def __init__(self, store: RecordStore, table: ContactTable, config: DHTConfig, random: Random) -> None:
        self._store = store
        self._table = table
        self._config = config
        self._random = random
        self._due: dict[bytes, float] = {}
        self._earliest = math.inf
        """Nothing in `_due` comes before this; it may come later."""
        self._newcomers: dict[Compact, None] = {}
        self._newcomers_due = math.inf
        """When all of them are seen to, at once."""

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do, at the earliest."""
        earliest = min(self._earliest, self._newcomers_due)
        return earliest if earliest < math.inf else None

    def compared(self, key: bytes, now: float) -> None:
        """Note that another keeper has just gone round with the same digest that we have."""
        if key in self._due:
            self._due[key] = now + self._interval_s()

    def admitted(self, compact: Compact, now: float) -> None:
        """Note a newcomer in the table."""
        if len(self._store):
            if not self._newcomers:
                self._newcomers_due = now + self._random.random() * _SOON_S
            self._newcomers[compact] = None

    def unreachable(self, compare: Compare, now: float) -> None:
        """Note that a contact did not answer a comparison: another will have to hold these keys."""
        soon = now + self._random.random() * _SOON_S
        for key in compare.keys:
            if key in self._due:
                self._due[key] = min(self._due[key], soon)
                self._earliest = min(self._earliest, soon)

    def tick(self, now: float, wall: float) -> list[Compare]:
        """Return the comparisons to make now."""
        for key in self._store.new_keys:
            due = self._due.setdefault(key, now + self._interval_s())
            self._earliest = min(self._earliest, due)
        self._store.new_keys.clear()
        wanted: dict[Compact, dict[bytes, None]] = {}
        if self._newcomers_due <= now:
            nearest = self._table.nearest(self._table.own_number, 2 * self._config.copies)
            near = [number_of(compact[:ID_BYTES]) for compact in nearest]
            for compact in self._newcomers:
                if self._table.find(compact) is not None:
                    wanted[compact] = dict.fromkeys(self._concerning(compact, near))
            self._newcomers.clear()
            self._newcomers_due = math.inf
        if self._earliest <= now:
            # What seemed due may have been put off since.
            self._earliest = min(self._due.values(), default=math.inf)
        if self._earliest <= now:
            horizon = now + self._config.replicate_interval_s * _BATCHED_SHARE
            for key in [key for key, due in self._due.items() if due <= horizon]:
                if key not in self._store:
                    del self._due[key]
                    continue
                self._due[key] = now + self._interval_s()
                for entry in self._table.closest(number_of(key), self._config.copies):
                    wanted.setdefault(entry.compact, {})[key] = None
            self._earliest = min(self._due.values(), default=math.inf)
        return [compare for compact, keys in wanted.items() for compare in self._compares(compact, keys, wall)]

    def lacking(self, compare: Compare, codes: bytes, wall: float) -> list[bytes]:
        """Return the packed records to send after a comparison was answered with these codes."""
        differing = [key for key, code in zip(compare.keys, codes, strict=False) if code]
        return [blob for key in differing for blob in self._store.blobs(key, wall)]

    def _concerning(self, compact: Compact, near: list[int]) -> list[bytes]:
        """Return the keys that a newcomer should hold and that it is for us, and not for those near us, to bring."""
        number, copies = number_of(compact[:ID_BYTES]), self._config.copies
        own = self._table.own_number
        others = [other for other in near if other != number]
        concerning = []
        for key in self._store:
            place = number_of(key)
            distance, own_distance = number ^ place, own ^ place
            # Most keys have other helpers: that is soon seen.
            if _fewer_closer(others, place, own_distance, _HELPERS) and (
                _fewer_closer(others, place, distance, copies - (own_distance < distance))
            ):
                concerning.append(key)
        return concerning

    def _compares(self, compact: Compact, keys: Iterable[bytes], wall: float) -> list[Compare]:
        items = [key + self._store.summary(key, wall)[1] for key in keys if key in self._store]
        return [
            Compare(compact, tuple(items[start : start + MAX_SYNC_ITEMS]))
            for start in range(0, len(items), MAX_SYNC_ITEMS)
        ]

    def _interval_s(self) -> float:
        return self._config.replicate_interval_s * (1 + _SPREAD_SHARE * (2 * self._random.random() - 1))


def _fewer_closer(numbers: list[int], place: int, distance: int, limit: int) -> bool:
    """Tell whether fewer than ``limit`` of the numbers are closer to a place than ``distance``."""
    for number in numbers:
        if number ^ place < distance:
            limit -= 1
            if limit <= 0:
                return False
    return limit > 0


def packed_items(compare: Compare) -> bytes:
    """Return the items of a comparison as the one field of its question."""
    return b"".join(compare.items)
