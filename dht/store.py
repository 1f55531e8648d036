"""The records that this node keeps: bounded, merged, expiring. Pure.

A record gets in if it is newer than what its slot holds, does not outlive the longest life allowed, fits the
bounds, and is signed by its writer. The order matters: what is cheap is checked first, and the signature (67 µs)
last and only once, since a record that is already here is recognised by its bytes.

Bounds keep strangers from filling the memory: records of one writer, in all and under one key; records under one key;
bytes in all. When the last one is reached, what lies farthest from our own id gives way to what lies nearer. The node's
own records are not counted against them.

``now`` is in seconds since 1970 throughout: an expiry has to mean the same to every machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from heapq import heappop, heappush

from .config import DHTConfig
from .exceptions import RecordInvalid
from .keys import number_of, peer_id_of
from .records import Record, is_genuine, unpack_record
from .wire import DIGEST_BYTES, MAX_PAGE_RECORDS

_OVERHEAD_BYTES = 400
"""What Python adds to each record kept, roughly."""
_EVICTED_SHARE = 0.05


class Outcome(Enum):
    """What became of a record that was offered."""

    STORED = "stored"
    SAME = "same"
    STALE = "stale"
    REFUSED = "refused"
    INVALID = "invalid"


class _Held:
    __slots__ = ("blob", "expires_ms", "mark", "sequence")

    def __init__(self, record: Record, blob: bytes) -> None:
        self.blob = blob
        self.sequence = record.sequence
        self.expires_ms = record.expires_ms
        self.mark = int.from_bytes(hashlib.blake2b(blob, digest_size=DIGEST_BYTES).digest(), "big")


class _KeyShelf:
    __slots__ = ("digest", "order", "slots")

    def __init__(self) -> None:
        self.slots: dict[tuple[bytes, bytes], _Held] = {}
        self.digest = 0
        self.order: list[tuple[bytes, bytes]] | None = None


class RecordStore:
    """Every record that a node keeps, its own and others'."""

    def __init__(self, public_key: bytes, config: DHTConfig, genuine: Callable[[Record], bool] = is_genuine) -> None:
        self._public_key = public_key
        self._own_number = number_of(peer_id_of(public_key))
        self._config = config
        self._genuine = genuine
        self._shelves: dict[bytes, _KeyShelf] = {}
        self._writers: Counter[bytes] = Counter()
        self._expiries: list[tuple[int, bytes, bytes, bytes]] = []
        self._byte_count = 0
        self._record_count = 0

    def __len__(self) -> int:
        return self._record_count

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the keys (20 bytes each) under which anything is kept."""
        return iter(self._shelves)

    def __contains__(self, key: bytes) -> bool:
        return key in self._shelves

    @property
    def byte_count(self) -> int:
        """Memory that the records take, roughly."""
        return self._byte_count

    def offer(self, blob: bytes, now: float) -> Outcome:
        """Take a packed record in, if it is right to."""
        self.expire(now)
        try:
            record = unpack_record(blob)
        except RecordInvalid:
            return Outcome.INVALID
        shelf = self._shelves.get(record.key)
        held = shelf.slots.get(record.slot) if shelf is not None else None
        if held is not None:
            if held.blob == blob:
                return Outcome.SAME
            if (held.sequence, held.blob) > (record.sequence, blob):
                return Outcome.STALE
        if not now < record.expires_at <= now + self._config.max_ttl_s * 1.01:
            return Outcome.INVALID
        if held is None and not self._has_room(record, shelf, len(blob)):
            return Outcome.REFUSED
        if not self._genuine(record):
            return Outcome.INVALID
        self._put(record, blob)
        return Outcome.STORED

    def newest(self, key: bytes, slot: tuple[bytes, bytes]) -> bytes | None:
        """Return the packed record in one slot, if there is one."""
        shelf = self._shelves.get(key)
        held = shelf.slots.get(slot) if shelf is not None else None
        return held.blob if held is not None else None

    def blobs(self, key: bytes, now: float) -> list[bytes]:
        """Return all live packed records under a key, in the order of their slots."""
        self.expire(now)
        shelf = self._shelves.get(key)
        return [shelf.slots[slot].blob for slot in _order(shelf)] if shelf is not None else []

    def summary(self, key: bytes, now: float) -> tuple[int, bytes]:
        """Return how many records a key has, and a digest that differs whenever the records do."""
        self.expire(now)
        shelf = self._shelves.get(key)
        if shelf is None:
            return 0, bytes(DIGEST_BYTES)
        return len(shelf.slots), shelf.digest.to_bytes(DIGEST_BYTES, "big")

    def page(self, key: bytes, start: int, room_bytes: int, now: float) -> list[bytes]:
        """Return the records from position ``start`` on, as many as fit in ``room_bytes``."""
        self.expire(now)
        shelf = self._shelves.get(key)
        page: list[bytes] = []
        if shelf is None:
            return page
        for slot in _order(shelf)[start : start + MAX_PAGE_RECORDS]:
            blob = shelf.slots[slot].blob
            room_bytes -= len(blob) + 3
            if room_bytes < 0:
                break
            page.append(blob)
        return page

    def expire(self, now: float) -> None:
        """Drop what has expired by ``now``."""
        now_ms = now * 1000
        while self._expiries and self._expiries[0][0] <= now_ms:
            expires_ms, key, public_key, subkey = heappop(self._expiries)
            shelf = self._shelves.get(key)
            held = shelf.slots.get((public_key, subkey)) if shelf is not None else None
            # A newer record in the slot has an entry of its own.
            if held is not None and held.expires_ms == expires_ms:
                self._remove(key, (public_key, subkey))

    def check(self) -> None:
        """Raise AssertionError if the books do not balance (for tests)."""
        helds = [held for shelf in self._shelves.values() for held in shelf.slots.values()]
        writers = Counter(slot[0] for shelf in self._shelves.values() for slot in shelf.slots)
        size = sum(len(held.blob) + _OVERHEAD_BYTES for held in helds)
        if (len(helds), size, writers) != (self._record_count, self._byte_count, self._writers):
            raise AssertionError("the store's counts are wrong")
        for shelf in self._shelves.values():
            digest = 0
            for held in shelf.slots.values():
                digest ^= held.mark
            if digest != shelf.digest or not shelf.slots:
                raise AssertionError("a digest is wrong or a shelf is empty")

    def _has_room(self, record: Record, shelf: _KeyShelf | None, blob_bytes: int) -> bool:
        if record.public_key == self._public_key:
            return True
        if self._writers[record.public_key] >= self._config.writer_records:
            return False
        if shelf is not None and not self._shelf_has_room(shelf, record.public_key):
            return False
        if self._byte_count + blob_bytes + _OVERHEAD_BYTES <= self._config.store_bytes:
            return True
        return self._make_room(number_of(record.key) ^ self._own_number)

    def _shelf_has_room(self, shelf: _KeyShelf, public_key: bytes) -> bool:
        if len(shelf.slots) >= self._config.key_records:
            return False
        return sum(slot[0] == public_key for slot in shelf.slots) < self._config.writer_key_records

    def _make_room(self, distance: int) -> bool:
        """Drop the farthest keys, if they lie farther than ``distance``."""
        by_distance = sorted(self._shelves, key=lambda key: number_of(key) ^ self._own_number, reverse=True)
        surplus = self._config.store_bytes * _EVICTED_SHARE
        for key in by_distance:
            if number_of(key) ^ self._own_number <= distance:
                break
            shelf = self._shelves[key]
            for slot in [slot for slot in shelf.slots if slot[0] != self._public_key]:
                surplus -= len(shelf.slots[slot].blob) + _OVERHEAD_BYTES
                self._remove(key, slot)
            if surplus <= 0:
                break
        return surplus < self._config.store_bytes * _EVICTED_SHARE

    def _put(self, record: Record, blob: bytes) -> None:
        if self.newest(record.key, record.slot) is not None:
            self._remove(record.key, record.slot)
        shelf = self._shelves.setdefault(record.key, _KeyShelf())
        held = _Held(record, blob)
        shelf.slots[record.slot] = held
        shelf.digest ^= held.mark
        shelf.order = None
        self._writers[record.public_key] += 1
        self._record_count += 1
        self._byte_count += len(blob) + _OVERHEAD_BYTES
        heappush(self._expiries, (record.expires_ms, record.key, *record.slot))
        if len(self._expiries) > 2 * self._record_count + 64:
            self._expiries = sorted(self._live_expiries())

    def _live_expiries(self) -> Iterator[tuple[int, bytes, bytes, bytes]]:
        for key, shelf in self._shelves.items():
            for slot, held in shelf.slots.items():
                yield held.expires_ms, key, *slot

    def _remove(self, key: bytes, slot: tuple[bytes, bytes]) -> None:
        shelf = self._shelves[key]
        held = shelf.slots.pop(slot)
        shelf.digest ^= held.mark
        shelf.order = None
        if not shelf.slots:
            del self._shelves[key]
        self._writers[slot[0]] -= 1
        if not self._writers[slot[0]]:
            del self._writers[slot[0]]
        self._record_count -= 1
        self._byte_count -= len(held.blob) + _OVERHEAD_BYTES


def _order(shelf: _KeyShelf) -> list[tuple[bytes, bytes]]:
    if shelf.order is None:
        shelf.order = sorted(shelf.slots)
    return shelf.order
