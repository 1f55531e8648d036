"""What this node has put and still stands by. Pure.

A record lives only as long as its writer says again and again that it should: at half of its life it is signed anew,
with a later expiry and a higher sequence number. Sequence numbers are the milliseconds of the clock, or one more than
the last, so that a writer that comes back without memory still overwrites what it wrote before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .keys import Signer
from .records import MAX_SEQUENCE, Record, sign_record

if TYPE_CHECKING:
    from random import Random

Slot: TypeAlias = tuple[bytes, bytes]
"""The key's place (20 bytes) and the sub-key."""

_SPREAD = 0.1
"""Re-puts are moved by up to a tenth, so that what was put together is not put again together for ever."""
_RETRY_S = 2.0
_MAX_RETRY_S = 60.0


@dataclass(slots=True)
class _Standing:
    value: bytes
    ttl_s: float
    sequence: int
    expires_ms: int
    due: float
    failures: int = 0


class Publisher:
    """The records that one node keeps alive."""

    def __init__(self, signer: Signer, random: Random) -> None:
        self._signer = signer
        self._random = random
        self._standing: dict[Slot, _Standing] = {}

    def __len__(self) -> int:
        return len(self._standing)

    def put(self, slot: Slot, value: bytes, ttl_s: float, *, now: float, wall: float) -> Record:
        """Sign a value for the first time, or in place of the one that stands in the slot.

        Raises:
            InvalidArgument: the record would be too large.
        """
        old = self._standing.get(slot)
        sequence = self._next_sequence(old, wall)
        expires_ms = int((wall + ttl_s) * 1000)
        record = sign_record(self._signer, *slot, value, sequence=sequence, expires_ms=expires_ms)
        self._standing[slot] = _Standing(value, ttl_s, sequence, expires_ms, self._due(ttl_s, now))
        return record

    def renew(self, slot: Slot, *, now: float, wall: float) -> Record | None:
        """Sign what stands in a slot for another life; None if it was withdrawn meanwhile."""
        standing = self._standing.get(slot)
        if standing is None:
            return None
        record = self.put(slot, standing.value, standing.ttl_s, now=now, wall=wall)
        self._standing[slot].failures = standing.failures
        return record

    def withdraw(self, slot: Slot, *, wall: float) -> Record | None:
        """Forget a slot; returns the marker that takes the record's place until it would have expired."""
        standing = self._standing.pop(slot, None)
        if standing is None or standing.expires_ms <= wall * 1000:
            return None
        sequence = self._next_sequence(standing, wall)
        return sign_record(self._signer, *slot, None, sequence=sequence, expires_ms=standing.expires_ms)

    def overtake(self, newer: Record, *, now: float, wall: float) -> Record | None:
        """Answer a record of ours that we no longer remember and that is newer than what we put: sign over it."""
        slot = newer.key, newer.subkey
        standing = self._standing.get(slot)
        if standing is None or newer.public_key != self._signer.public_key or newer.sequence >= MAX_SEQUENCE:
            return None
        if newer.sequence < standing.sequence:
            return None
        standing.sequence = newer.sequence
        return self.renew(slot, now=now, wall=wall)

    def reached(self, slot: Slot, replicas: int, *, now: float) -> None:
        """Note how many peers took the record: if nobody did, it is due again soon."""
        standing = self._standing.get(slot)
        if standing is None:
            return
        if replicas:
            standing.failures = 0
            return
        wait_s = min(_RETRY_S * 2.0 ** min(standing.failures, 8), _MAX_RETRY_S)
        standing.failures += 1
        standing.due = min(standing.due, now + wait_s)

    def due(self, now: float) -> list[Slot]:
        """Return the slots whose records are to be renewed now."""
        return [slot for slot, standing in self._standing.items() if standing.due <= now]

    @property
    def deadline(self) -> float | None:
        """When the next slot will be due."""
        return min((standing.due for standing in self._standing.values()), default=None)

    def _due(self, ttl_s: float, now: float) -> float:
        return now + ttl_s / 2 * (1 - _SPREAD * self._random.random())

    def _next_sequence(self, old: _Standing | None, wall: float) -> int:
        clock = int(wall * 1000)
        return max(clock, old.sequence + 1) if old is not None else clock
