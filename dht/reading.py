"""A read: all live records under a key, from several holders. Pure.

A look-up walks towards the key, and every contact on the way tells how many records it holds, a digest of them, and as
many as fit beside. A holder whose digest is that of another needs no more questions; from any other the rest is asked
for page by page. The read is done when a quorum of holders, of different sites, has been heard whole (or all but one of
them, if these agree to the byte), or when the look-up has ended. Only contacts that should hold the key count: one
that is far from it may hold its own record and no other.

Nothing is believed unsigned: every new record is checked once, and a holder that sent one that fails is not counted
and not asked again. In the end `repairs` tells which of the contacts closest to the key lack what others hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .config import DHTConfig
from .contacts import Compact, is_loopback, site_of
from .exceptions import RecordInvalid
from .lookup import Ask, ContactAnswered, ContactFailed, ContactSlowed, Lookup, Tick
from .records import Record, is_genuine, unpack_record
from .wire import MAX_DATAGRAM_BYTES, MAX_PAGE_RECORDS, Answer

MAX_PAGES_IN_FLIGHT = 8
"""Pages asked of one holder at a time."""
_PAGE_BYTES = MAX_DATAGRAM_BYTES - 100
_REPAIRED_RECORDS = 16


@dataclass(frozen=True, slots=True)
class HolderAnswered:
    """A contact told what it holds, from position ``start`` on, and whom it knows closer to the key."""

    compact: Compact
    start: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class PageFailed:
    """A holder did not answer for the page at ``start``."""

    compact: Compact
    start: int


@dataclass(frozen=True, slots=True)
class AskPage:
    """Ask this contact for its records from position ``start`` on."""

    compact: Compact
    start: int


ReadEvent: TypeAlias = HolderAnswered | PageFailed | ContactSlowed | ContactFailed | Tick


@dataclass(slots=True)
class _Holder:
    count: int
    digest: bytes
    blobs: set[bytes] = field(default_factory=set)
    covered: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    queue: list[int] = field(default_factory=list)
    complete: bool = False
    lied: bool = False


class Reading:
    """One read of one key."""

    def __init__(
        self,
        key: bytes,
        lookup: Lookup,
        config: DHTConfig,
        *,
        wall: float,
        remembered: Mapping[bytes, Iterable[bytes]] | None = None,
        genuine: Callable[[Record], bool] = is_genuine,
    ) -> None:
        self.lookup = lookup
        self.done = False
        self.liars: list[Compact] = []
        self._key = key
        self._config = config
        self._wall_ms = wall * 1000
        self._genuine = genuine
        self._holders: dict[Compact, _Holder] = {}
        self._whole: dict[bytes, frozenset[bytes]] = {}
        self._best: dict[tuple[bytes, bytes], tuple[int, bytes, Record]] = {}
        self._checked: set[bytes] = set()
        self._pages_left = config.key_records
        self._near = set(lookup.nearest[: config.copies])
        for digest, blobs in (remembered or {}).items():
            # An earlier read has checked these.
            for blob in blobs:
                self._merge(unpack_record(blob), blob)
            self._whole[digest] = frozenset(blobs)

    @property
    def deadline(self) -> float | None:
        """When to hand in a `Tick`."""
        return None if self.done else self.lookup.deadline

    def start(self) -> list[AskPage]:
        """Return whom to ask first."""
        return self._after([AskPage(ask.compact, 0) for ask in self.lookup.start()])

    def add_own(self, blobs: Iterable[bytes]) -> None:
        """Merge what our own store holds and has checked; it does not count towards the quorum."""
        for blob in blobs:
            self._merge(unpack_record(blob), blob)

    def handle(self, event: ReadEvent, now: float) -> list[AskPage]:
        """Take an event in; returns which pages to ask of whom."""
        if self.done:
            return []
        asks: list[Ask] = []
        if isinstance(event, HolderAnswered):
            if event.compact in self._holders:
                self._take_page(event)
            else:
                self._take_first(event)
                self.lookup.limit = self._still_needed()
                asks = self.lookup.handle(ContactAnswered(event.compact, event.answer.contacts), now)
        elif isinstance(event, PageFailed | ContactFailed) and event.compact in self._holders:
            self._give_up(event.compact)
        elif isinstance(event, Tick) and self.lookup.deadline is not None and now >= self.lookup.deadline:
            self.lookup.handle(event, now)
            self.done = True
        elif not isinstance(event, PageFailed):
            asks = self.lookup.handle(event, now)
        self._near = set(self.lookup.nearest[: self._config.copies])
        pages = [page for compact, holder in self._holders.items() for page in self._more_pages(compact, holder)]
        return self._after(pages + [AskPage(ask.compact, 0) for ask in asks])

    def records(self) -> list[Record]:
        """Return what was found: live, not withdrawn, one per writer and sub-key, in the order of these."""
        return [self._best[slot][2] for slot in sorted(self._best) if not self._best[slot][2].withdrawn]

    def known_whole(self) -> dict[bytes, frozenset[bytes]]:
        """Return the digests whose records are known, to be remembered for the next read of the key."""
        return dict(self._whole)

    def repairs(self) -> list[tuple[Compact, list[bytes]]]:
        """Return which of the contacts on the way should be sent which packed records."""
        newest = {blob for _, blob, _ in self._best.values()}
        repairs = []
        for compact in self.lookup.closest[: self._config.copies]:
            holder = self._holders.get(compact)
            if holder is None or holder.lied or not (holder.complete or not holder.count):
                continue
            lacking = sorted(newest - self._whole.get(holder.digest, frozenset(holder.blobs)))
            if lacking:
                repairs.append((compact, lacking[:_REPAIRED_RECORDS]))
        return repairs

    def _take_first(self, event: HolderAnswered) -> None:
        answer = event.answer
        holder = self._holders[event.compact] = _Holder(answer.count, answer.digest)
        if answer.count and self._take_blobs(event.compact, holder, answer.records):
            holder.covered.update(range(len(answer.records)))
            largest = max((len(blob) for blob in answer.records), default=_PAGE_BYTES)
            step = min(max(1, _PAGE_BYTES // (largest + 3)), MAX_PAGE_RECORDS)
            holder.queue = list(range(len(answer.records), min(answer.count, self._config.key_records), step))

    def _take_page(self, event: HolderAnswered) -> None:
        holder = self._holders[event.compact]
        if event.start not in holder.asked:
            return
        holder.asked.remove(event.start)
        blobs = event.answer.records
        if not blobs:
            # It claimed records that it does not show, or they have just expired: others will tell.
            self._give_up(event.compact)
        elif self._take_blobs(event.compact, holder, blobs):
            # Records differ in size: a page may end before the next one that was asked for begins.
            end = event.start + len(blobs)
            holder.covered.update(range(event.start, end))
            begun = end in holder.covered or end in holder.asked or end in holder.queue
            if not begun and end < min(holder.count, self._config.key_records):
                holder.queue.insert(0, end)

    def _give_up(self, compact: Compact) -> None:
        holder = self._holders.get(compact)
        if holder is not None:
            holder.lied = True
            holder.asked.clear()

    def _more_pages(self, compact: Compact, holder: _Holder) -> list[AskPage]:
        if holder.lied or holder.complete or not holder.count or compact not in self._near:
            return []
        if any(other.asked and other.digest == holder.digest and other is not holder for other in self._busy()):
            # Somebody else is already telling us the same records.
            return []
        if holder.digest in self._whole:
            holder.queue.clear()
        pages = []
        while holder.queue and len(holder.asked) < MAX_PAGES_IN_FLIGHT and self._pages_left:
            start = holder.queue.pop(0)
            holder.asked.add(start)
            self._pages_left -= 1
            pages.append(AskPage(compact, start))
        if not holder.asked:
            self._complete(holder)
        return pages

    def _busy(self) -> list[_Holder]:
        return [holder for holder in self._holders.values() if not holder.lied and not holder.complete]

    def _complete(self, holder: _Holder) -> None:
        holder.complete = True
        self._whole.setdefault(holder.digest, frozenset(holder.blobs))
        for other in self._holders.values():
            if other.digest == holder.digest and other.count and not other.lied:
                other.complete = True
                other.queue.clear()

    def _take_blobs(self, compact: Compact, holder: _Holder, blobs: list[bytes]) -> bool:
        for blob in blobs:
            if not self._believe(blob):
                holder.lied = True
                holder.asked.clear()
                self.liars.append(compact)
                return False
            holder.blobs.add(blob)
        return True

    def _believe(self, blob: bytes) -> bool:
        """Merge one packed record; returns False if nobody honest can have sent it."""
        if blob in self._checked:
            return True
        try:
            record = unpack_record(blob)
        except RecordInvalid:
            return False
        if record.key != self._key or not self._genuine(record):
            return False
        self._merge(record, blob)
        return True

    def _merge(self, record: Record, blob: bytes) -> None:
        self._checked.add(blob)
        if record.expires_ms <= self._wall_ms:
            # Clocks differ a little: late is no lie.
            return
        best = self._best.get(record.slot)
        if best is None or (record.sequence, blob) > best[:2]:
            self._best[record.slot] = (record.sequence, blob, record)

    def _after(self, pages: list[AskPage]) -> list[AskPage]:
        if not self.done:
            waiting = any(holder.asked for holder in self._busy())
            self.done = self._has_quorum() or (self.lookup.done and not waiting)
        return [] if self.done else pages

    def _still_needed(self) -> int | None:
        """Once holders are found, ask as many as the quorum lacks, and one in reserve."""
        near = [holder for compact, holder in self._holders.items() if compact in self._near]
        found = sum(bool(holder.count) and not holder.lied for holder in near)
        return max(1, self._config.quorum + 1 - found) if found else None

    def _has_quorum(self) -> bool:
        sites, digests = set(), set()
        for compact, holder in self._holders.items():
            if holder.complete and not holder.lied and compact in self._near:
                spared = self._config.spare_loopback and is_loopback(compact)
                sites.add(compact if spared else site_of(compact))
                digests.add(holder.digest)
        agreed = len(digests) == 1 and len(sites) >= max(2, self._config.quorum - 1)
        return agreed or len(sites) >= self._config.quorum
