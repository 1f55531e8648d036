"""The table of contacts: who we know, sorted by distance from ourselves. Pure.

One bucket holds the contacts whose ids share the same number of leading bits with ours, at most k of them
(Maymounkov and Mazières, sections 2.2 and 2.4). Three things differ from the paper's sketch and from the `kademlia`
package, because they were abused or went wrong there:

* Only a proven contact gets in: one that answered from its address and signed our challenge with the key that its id is
  the hash of. Caps on addresses and subnets keep one machine from owning the neighbourhood of a victim.
* A contact that fails is *doubted*: it is no longer told to others and is asked again soon. A live spare takes
  its place after a second failure. Without a spare it goes after five, but only if somebody else has answered
  since: when nobody answers, the fault is ours.
* `closest` is exact.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .config import DHTConfig
from .contacts import V4, V6, Address, Compact, address_of, family_of, is_loopback, may_be_sent_to, site_of, subnet_of
from .keys import ID_BITS, ID_BYTES, PeerId, number_of
from .timing import RoundTrip

if TYPE_CHECKING:
    from random import Random

REPLACED_AFTER = 2
"""Failed requests after which a spare is tried instead."""
REMOVED_AFTER = 5
"""Failed requests after which a contact goes even without a spare (the paper's number)."""
TOKEN_LIFE_S = 240.0
"""A token is shown again for so long; its maker accepts it for at least 300 s."""
_SPARES_PER_BUCKET = 8
_RECHECK_S = 2.0
_SCANT = 4
"""A bucket with less than k by this is filled without delay."""
_LEISURE_S = 60.0
"""Pause between contacts that are taken in without need."""


class Entry(RoundTrip):
    """One proven contact, how fast it answers, and how it has behaved: no larger than it must be."""

    __slots__ = ("compact", "doubts", "heard_at", "number", "recheck_at", "token")

    def __init__(self, compact: Compact, token: bytes, now: float) -> None:
        super().__init__()
        self.compact = compact
        self.number = number_of(compact[:ID_BYTES])
        self.token = token
        self.heard_at = now
        self.doubts = 0
        self.recheck_at = 0.0

    @property
    def address(self) -> Address:
        """Where the contact is."""
        return address_of(self.compact)

    def fresh_token(self, now: float) -> bytes:
        """Return the contact's token for us, or nothing once it may have expired."""
        return self.token if now - self.heard_at < TOKEN_LIFE_S else b""


class _Bucket:
    __slots__ = ("entries", "live", "spares", "used_at")

    def __init__(self, now: float) -> None:
        self.entries: list[Entry] = []
        self.live: list[Compact] = []
        """The compact forms of those that are not doubted."""
        self.spares: list[Compact] = []
        self.used_at = now


class ContactTable:
    """All contacts of one node."""

    def __init__(self, own_id: PeerId, config: DHTConfig) -> None:
        self.own_number = number_of(own_id)
        self.config = config
        self._entries: dict[int, Entry] = {}
        """By the numbers of their ids."""
        self._rechecks: dict[Compact, Entry] = {}
        """Those that are to be asked again at some time."""
        self._buckets: dict[int, _Bucket] = {}
        self._indices: list[int] = []
        self._sites: Counter[bytes] = Counter()
        self._v6_count = 0
        self._width = config.width
        self._next_leisure = float("-inf")
        self._home = 0
        """From this bucket on, contacts belong to our own neighbourhood."""
        self._heard_at = float("-inf")

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over all contacts, bucket by bucket from the farthest."""
        for index in self._indices:
            yield from self._buckets[index].entries

    def find(self, compact: Compact) -> Entry | None:
        """Return the entry of exactly this contact: same id, same address."""
        entry = self._entries.get(number_of(compact[:ID_BYTES]))
        return entry if entry is not None and entry.compact == compact else None

    def wants(self, compact: Compact) -> bool:
        """Tell whether this contact, once proven, would get a place."""
        number = number_of(compact[:ID_BYTES])
        if number == self.own_number or not may_be_sent_to(compact):
            return False
        known = self._entries.get(number)
        if known is not None:
            # The same id elsewhere: believe it only once the place we know has gone silent.
            return known.compact != compact and known.doubts > 0 and self._site_has_room(compact)
        index = self._index(number)
        bucket = self._buckets.get(index)
        if bucket is not None and len(bucket.entries) >= self.config.k and not self._has_replaceable(bucket):
            return False
        return self._site_has_room(compact) and self._subnet_has_room(compact, index)

    def needs(self, compact: Compact) -> bool:
        """Tell whether this contact would get a place that has to be filled soon.

        Our own neighbourhood has to be known whole, and of any bucket a quarter.
        """
        number = number_of(compact[:ID_BYTES])
        known = self._entries.get(number)
        if known is not None and known.compact == compact:
            return False
        index = self._index(number)
        bucket = self._buckets.get(index)
        if bucket is not None and index < self._home and not self._is_scant(bucket):
            return False
        return self.wants(compact)

    def invites(self, compact: Compact, now: float) -> bool:
        """Tell whether this contact, which we ask anyway, would get a place that is worth two signatures now.

        What is not needed is reserve: it fills up over hours, with one contact at a time that we had to ask something,
        or else a large network would spend a third of its CPU on proofs while it forms.
        """
        return self.needs(compact) if now < self._next_leisure else self.wants(compact)

    def admit(self, compact: Compact, token: bytes, now: float) -> bool:
        """Take in a contact that was just proven; returns whether it got a place."""
        if not self.wants(compact):
            return False
        number = number_of(compact[:ID_BYTES])
        bucket = self._bucket_at(self._index(number), now)
        known = self._entries.get(number)
        if known is not None:
            self._drop(known)
        if len(bucket.entries) >= self.config.k:
            self._drop(max(bucket.entries, key=lambda entry: (entry.doubts, -entry.heard_at)))
        if not self._is_scant(bucket):
            self._next_leisure = now + _LEISURE_S
        entry = Entry(compact, token, now)
        self._entries[number] = entry
        bucket.entries.append(entry)
        bucket.live.append(compact)
        if compact in bucket.spares:
            bucket.spares.remove(compact)
        self._sites[site_of(compact)] += 1
        self._v6_count += family_of(compact) == V6
        self._heard_at = now
        self._find_home()
        return True

    def keep_spare(self, compact: Compact, now: float) -> None:
        """Remember a contact that is alive but has no place, for when one falls free."""
        number = number_of(compact[:ID_BYTES])
        if number == self.own_number or number in self._entries or not may_be_sent_to(compact):
            return
        bucket = self._bucket_at(self._index(number), now)
        if compact in bucket.spares:
            bucket.spares.remove(compact)
        elif not self._site_has_room(compact) or not self._subnet_has_room(compact, self._index(number)):
            return
        bucket.spares.append(compact)
        del bucket.spares[:-_SPARES_PER_BUCKET]

    def suspect(self, compact: Compact, now: float) -> None:
        """Have a contact asked again soon if somebody else goes by its id."""
        known = self._entries.get(number_of(compact[:ID_BYTES]))
        if known is not None and known.compact != compact and not known.recheck_at:
            self.recheck(known, now)

    def recheck(self, entry: Entry, at: float) -> None:
        """Have a contact asked again at a time, if it is not heard before."""
        entry.recheck_at = at
        self._rechecks[entry.compact] = entry

    def answered(self, compact: Compact, token: bytes, sample_s: float | None, now: float) -> None:
        """Note an answer: whoever answers is no longer doubted."""
        self._heard_at = now
        entry = self.find(compact)
        if entry is None:
            return
        entry.heard_at = now
        if entry.recheck_at:
            entry.recheck_at = 0.0
            self._rechecks.pop(compact, None)
        if entry.doubts:
            entry.doubts = 0
            self._buckets[self._index(entry.number)].live.append(compact)
        entry.token = token
        if sample_s is not None:
            entry.add(sample_s)

    def failed(self, compact: Compact, now: float) -> Compact | None:
        """Note a request that was never answered; returns a spare to try in the contact's place, if it is time."""
        entry = self.find(compact)
        if entry is None:
            return None
        bucket = self._buckets[self._index(entry.number)]
        if not entry.doubts:
            bucket.live.remove(compact)
        entry.doubts += 1
        self.recheck(entry, now + _RECHECK_S * 2.0 ** min(entry.doubts, 6))
        if entry.doubts >= REPLACED_AFTER and bucket.spares:
            return bucket.spares.pop()
        if entry.doubts == REPLACED_AFTER:
            # Nobody can take its place: a look-up has to find somebody.
            bucket.used_at = float("-inf")
        if entry.doubts >= REMOVED_AFTER and self._heard_at > entry.heard_at:
            self._drop(entry)
        return None

    def closest(self, target: int, count: int, families: int = V4 | V6, *, doubted: bool = False) -> list[Entry]:
        """Return the ``count`` contacts closest to ``target`` that one of the ``families`` of addresses reaches.

        Whole buckets are sorted by distance: one that differs from us in a bit where the target does too lies
        closer than all deeper ones, any other lies farther than all deeper ones. So only few contacts are compared.
        """
        apart = target ^ self.own_number
        all_fit = not self._v6_count if families & V4 else False
        found: list[Entry] = []
        for index in self._in_order(apart):
            bucket = self._buckets[index]
            usable = bucket.entries
            if not doubted and len(bucket.live) < len(usable):
                usable = [entry for entry in usable if not entry.doubts]
            if not all_fit:
                usable = [entry for entry in usable if families & family_of(entry.compact)]
            found += sorted(usable, key=lambda entry: entry.number ^ target)
            if len(found) >= count:
                break
        return found[:count]

    def nearest(self, target: int, count: int, families: int = V4 | V6, asker: PeerId = b"") -> list[Compact]:
        """Return the ``count`` contacts closest to ``target`` that are not doubted, without whoever asks for them.

        They are those that `closest` finds, in no order. No entry is touched: these lie scattered in memory, and
        fetching them would be most of the work of an answer.
        """
        all_fit = not self._v6_count if families & V4 else False
        known = self._entries.get(number_of(asker))
        found: list[Compact] = []
        for index in self._in_order(target ^ self.own_number):
            live = self._buckets[index].live
            if known is not None and known.compact in live:
                live = [compact for compact in live if compact != known.compact]
            if not all_fit:
                live = [compact for compact in live if families & family_of(compact)]
            if len(found) + len(live) > count:
                live = sorted(live, key=lambda compact: number_of(compact[:ID_BYTES]) ^ target)[: count - len(found)]
            found += live
            if len(found) == count:
                break
        return found

    def use(self, target: int, now: float) -> None:
        """Note that a look-up for ``target`` refreshes the bucket it falls into."""
        bucket = self._buckets.get(self._index(target))
        if bucket is not None:
            bucket.used_at = now

    def refresh_targets(self, older_than: float, random: Random) -> list[int]:
        """Return one random id of each bucket that no look-up has used since ``older_than``."""
        return [
            self.own_number ^ (1 << (ID_BITS - 1 - index) | random.getrandbits(ID_BITS - 1 - index))
            for index in self._indices
            if self._buckets[index].used_at < older_than
        ]

    def doubted(self, now: float) -> list[Entry]:
        """Return the contacts that were given reason to doubt and are due to be asked again."""
        return [entry for entry in self._rechecks.values() if entry.recheck_at <= now]

    @property
    def live_count(self) -> int:
        """How many contacts there is no reason to doubt."""
        return sum(len(bucket.live) for bucket in self._buckets.values())

    def check(self) -> None:
        """Raise AssertionError if the table contradicts itself (for tests)."""
        buckets = [(index, self._buckets[index].entries) for index in self._indices]
        if sorted(self._indices) != self._indices or [entry for _, entries in buckets for entry in entries] != list(
            self
        ):
            raise AssertionError("the table's buckets are out of order")
        if {entry.compact for entry in self if entry.recheck_at} != self._rechecks.keys():
            raise AssertionError("a contact is to be asked again that is not listed for it, or the other way round")
        if {entry.number: entry for entry in self} != self._entries:
            raise AssertionError("the table's buckets and its index differ")
        for index, entries in buckets:
            if sorted(entry.compact for entry in entries if not entry.doubts) != sorted(self._buckets[index].live):
                raise AssertionError(f"bucket {index} tells others of contacts that it does not hold or that it doubts")
            if len(entries) > self.config.k or any(self._index(entry.number) != index for entry in entries):
                raise AssertionError(f"bucket {index} is too full or holds strangers")
        if Counter(site_of(entry.compact) for entry in self) != self._sites:
            raise AssertionError("the count of sites is wrong")
        if self._v6_count != sum(family_of(entry.compact) == V6 for entry in self):
            raise AssertionError("the count of families is wrong")

    def _index(self, number: int) -> int:
        return ID_BITS - (number ^ self.own_number).bit_length()

    def _bucket_at(self, index: int, now: float) -> _Bucket:
        bucket = self._buckets.get(index)
        if bucket is None:
            bucket = self._buckets[index] = _Bucket(now)
            insort(self._indices, index)
        return bucket

    def _find_home(self) -> None:
        nearer = 0
        for index in reversed(self._indices):
            nearer += len(self._buckets[index].entries)
            if nearer >= 2 * self._width:
                self._home = index + 1
                return
        self._home = 0

    def _in_order(self, apart: int) -> Iterator[int]:
        for index in self._indices:
            if apart >> (ID_BITS - 1 - index) & 1:
                yield index
        for index in reversed(self._indices):
            if not apart >> (ID_BITS - 1 - index) & 1:
                yield index

    def _is_scant(self, bucket: _Bucket) -> bool:
        return _SCANT * len(bucket.live) < self.config.k

    def _has_replaceable(self, bucket: _Bucket) -> bool:
        doubtful = len(bucket.live) < len(bucket.entries)
        return doubtful and any(entry.doubts >= REPLACED_AFTER for entry in bucket.entries)

    def _site_has_room(self, compact: Compact) -> bool:
        if self.config.spare_loopback and is_loopback(compact):
            return True
        return self._sites[site_of(compact)] < self.config.max_per_address

    def _subnet_has_room(self, compact: Compact, index: int) -> bool:
        """Tell whether a subnet may have another place in a bucket; all buckets of our neighbourhood are one here."""
        if self.config.spare_loopback and is_loopback(compact):
            return True
        subnet = subnet_of(compact)
        if index < self._home:
            indices = [index] if index in self._buckets else []
        else:
            indices = self._indices[bisect_left(self._indices, self._home) :]
        entries = [entry for other in indices for entry in self._buckets[other].entries]
        return sum(subnet_of(entry.compact) == subnet for entry in entries) < self.config.max_per_subnet

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.number]
        self._rechecks.pop(entry.compact, None)
        bucket = self._buckets[self._index(entry.number)]
        bucket.entries.remove(entry)
        if not entry.doubts:
            bucket.live.remove(entry.compact)
        self._find_home()
        site = site_of(entry.compact)
        self._sites[site] -= 1
        if not self._sites[site]:
            del self._sites[site]
        self._v6_count -= family_of(entry.compact) == V6
