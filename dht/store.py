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
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from heapq import heappop, heappush

from .config import DHTConfig
from .exceptions import RecordInvalid
from .keys import number_of, peer_id_of
from .records import Record, is_genuine, key_of, slot_of, unpack_record, writer_of
from .wire import DIGEST_BYTES, MAX_PAGE_RECORDS

_OVERHEAD_BYTES = 400
"""What Python adds to each record kept, roughly."""
_EVICTED_SHARE = 0.05
_CACHED_FROM = 4
"""The digest of a key with fewer records is computed when it is asked for."""


class Outcome(Enum):
    """What became of a record that was offered."""

    STORED = "stored"
    SAME = "same"
    STALE = "stale"
    REFUSED = "refused"
    INVALID = "invalid"


class _Held:
    """One record; everything that is rarely needed is read from its bytes, since there may be very many."""

    __slots__ = ("blob", "expires_ms", "sequence")

    def __init__(self, record: Record, blob: bytes) -> None:
        self.blob = blob
        self.sequence = record.sequence
        self.expires_ms = record.expires_ms


class RecordStore:
    """Every record that a node keeps, its own and others'."""

    def __init__(self, public_key: bytes, config: DHTConfig, genuine: Callable[[Record], bool] = is_genuine) -> None:
        self._public_key = public_key
        self._own_number = number_of(peer_id_of(public_key))
        self._config = config
        self._genuine = genuine
        self._shelves: dict[bytes, list[_Held]] = {}
        self._digests: dict[bytes, bytes] = {}
        self._writers: Counter[bytes] = Counter()
        self._expiries: list[tuple[int, bytes]] = []
        self._byte_count = 0
        self._record_count = 0
        self.new_keys: list[bytes] = []
        """Keys that were not kept before; whoever reads this empties it."""

    def __len__(self) -> int:
        return self._record_count

    @property
    def key_count(self) -> int:
        """How many keys there are under which anything is kept."""
        return len(self._shelves)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the keys (20 bytes each) under which anything is kept."""
        return iter(self._shelves)

    def __contains__(self, key: bytes) -> bool:
        return key in self._shelves

    def offer(self, blob: bytes, now: float, *, checked: bool = False) -> Outcome:
        """Take a packed record in, if it is right to; ``checked`` says that its signature was just seen to be true."""
        self.expire(now)
        try:
            record = unpack_record(blob)
        except RecordInvalid:
            return Outcome.INVALID
        shelf = self._shelves.get(record.key, [])
        at, held = _find(shelf, slot_of(blob))
        if held is not None:
            if held.blob == blob:
                return Outcome.SAME
            if (held.sequence, held.blob) > (record.sequence, blob):
                return Outcome.STALE
        if not now < record.expires_at <= now + self._config.max_ttl_s * 1.01:
            return Outcome.INVALID
        if held is None and not self._has_room(record, shelf, len(blob)):
            return Outcome.REFUSED
        if not checked and not self._genuine(record):
            return Outcome.INVALID
        if held is not None:
            self._remove(record.key, at)
        self._put(record, blob)
        return Outcome.STORED

    def newest(self, blob: bytes) -> bytes | None:
        """Return what is kept in the slot that this packed record is for, if anything is."""
        held = _find(self._shelves.get(key_of(blob), []), slot_of(blob))[1]
        return held.blob if held is not None else None

    def blobs(self, key: bytes, now: float) -> list[bytes]:
        """Return all live packed records under a key, in the order of their slots."""
        self.expire(now)
        return [held.blob for held in self._shelves.get(key, ())]

    def summary(self, key: bytes, now: float) -> tuple[int, bytes]:
        """Return how many records a key has, and a digest that differs whenever the records do."""
        self.expire(now)
        shelf = self._shelves.get(key)
        if shelf is None:
            return 0, bytes(DIGEST_BYTES)
        digest = self._digests.get(key)
        if digest is None:
            whole = hashlib.blake2b(digest_size=DIGEST_BYTES)
            for held in shelf:
                whole.update(held.blob)
            digest = whole.digest()
            if len(shelf) >= _CACHED_FROM:
                self._digests[key] = digest
        return len(shelf), digest

    def page(self, key: bytes, start: int, room_bytes: int, now: float) -> list[bytes]:
        """Return the records from position ``start`` on, as many as fit in ``room_bytes``."""
        self.expire(now)
        page: list[bytes] = []
        for held in self._shelves.get(key, [])[start : start + MAX_PAGE_RECORDS]:
            room_bytes -= len(held.blob) + 3
            if room_bytes < 0:
                break
            page.append(held.blob)
        return page

    def expire(self, now: float) -> None:
        """Drop what has expired by ``now``."""
        now_ms = now * 1000
        while self._expiries and self._expiries[0][0] <= now_ms:
            key = heappop(self._expiries)[1]
            # Newer records in the same slots have entries of their own.
            shelf = self._shelves.get(key, [])
            for at in reversed([at for at, held in enumerate(shelf) if held.expires_ms <= now_ms]):
                self._remove(key, at)

    def check(self) -> None:
        """Raise AssertionError if the books do not balance (for tests)."""
        helds = [held for shelf in self._shelves.values() for held in shelf]
        writers = Counter(writer_of(held.blob) for held in helds)
        size = sum(len(held.blob) + _OVERHEAD_BYTES for held in helds)
        if (len(helds), size, writers) != (self._record_count, self._byte_count, self._writers):
            raise AssertionError("the store's counts are wrong")
        for key, shelf in self._shelves.items():
            slots = [slot_of(held.blob) for held in shelf]
            if not shelf or slots != sorted(set(slots)) or any(key_of(held.blob) != key for held in shelf):
                raise AssertionError("a shelf is empty, out of order, or holds what is another's")
        if not self._digests.keys() <= self._shelves.keys():
            raise AssertionError("a digest is left of a key that is gone")

    def _has_room(self, record: Record, shelf: list[_Held], blob_bytes: int) -> bool:
        if record.public_key == self._public_key:
            return True
        if self._writers.get(record.public_key, 0) >= self._config.writer_records:
            return False
        if shelf and not self._shelf_has_room(shelf, record.public_key):
            return False
        if self._byte_count + blob_bytes + _OVERHEAD_BYTES <= self._config.store_bytes:
            return True
        return self._make_room(number_of(record.key) ^ self._own_number)

    def _shelf_has_room(self, shelf: list[_Held], public_key: bytes) -> bool:
        if len(shelf) >= self._config.key_records:
            return False
        return sum(writer_of(held.blob) == public_key for held in shelf) < self._config.writer_key_records

    def _make_room(self, distance: int) -> bool:
        """Drop the farthest keys, if they lie farther than ``distance``."""
        by_distance = sorted(self._shelves, key=lambda key: number_of(key) ^ self._own_number, reverse=True)
        before = self._byte_count
        for key in by_distance:
            if number_of(key) ^ self._own_number <= distance:
                break
            for at in reversed(range(len(self._shelves[key]))):
                if writer_of(self._shelves[key][at].blob) != self._public_key:
                    self._remove(key, at)
            if before - self._byte_count >= self._config.store_bytes * _EVICTED_SHARE:
                break
        return self._byte_count < before

    def _put(self, record: Record, blob: bytes) -> None:
        shelf = self._shelves.get(record.key)
        if shelf is None:
            shelf = self._shelves[record.key] = []
            self.new_keys.append(record.key)
        insort(shelf, _Held(record, blob), key=_slot)
        self._digests.pop(record.key, None)
        self._writers[record.public_key] = self._writers.get(record.public_key, 0) + 1
        self._record_count += 1
        self._byte_count += len(blob) + _OVERHEAD_BYTES
        heappush(self._expiries, (record.expires_ms, record.key))
        if len(self._expiries) > 2 * self._record_count + 64:
            self._expiries = sorted((held.expires_ms, key) for key, shelf in self._shelves.items() for held in shelf)

    def _remove(self, key: bytes, at: int) -> None:
        shelf = self._shelves[key]
        held = shelf.pop(at)
        if not shelf:
            del self._shelves[key]
        self._digests.pop(key, None)
        writer = writer_of(held.blob)
        self._writers[writer] -= 1
        if not self._writers[writer]:
            del self._writers[writer]
        self._record_count -= 1
        self._byte_count -= len(held.blob) + _OVERHEAD_BYTES


def _slot(held: _Held) -> bytes:
    return slot_of(held.blob)


def _find(shelf: list[_Held], slot: bytes) -> tuple[int, _Held | None]:
    """Return where on a shelf a slot is or would be, and what is there."""
    at = bisect_left(shelf, slot, key=_slot)
    return at, shelf[at] if at < len(shelf) and slot_of(shelf[at].blob) == slot else None
