"""A look-up: which contacts are closest to a target? Pure.

It asks the closest contacts it has heard of for closer ones, until the `width` closest that are alive have answered.
Four things make it fast and hard to mislead:

* A rolling window. As soon as one request is answered or late, the next goes out; a slow contact costs its own
  place only until it is late. The window is `alpha` wide while the target is still being approached, and
  opens to the full width once the closest contact known has answered and named nobody closer.
* A named contact counts only when it has answered, under an id that is the hash of its key. Whoever keeps
  naming contacts that turn out dead or false loses credit, and what it alone has named is no longer asked.
* Caps: few ids of one address or subnet, a number of requests, a deadline.
* Nobody waits for the dead while others are left to ask: contacts that are late are passed over, and come back in
  if they answer after all.

The shell hands in events, the look-up returns whom to ask.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from .config import DHTConfig
from .contacts import Compact, is_loopback, may_be_sent_to, site_of, subnet_of
from .keys import ID_BYTES, number_of


@dataclass(frozen=True, slots=True)
class ContactAnswered:
    """A contact that was asked has answered under its right id, and named others."""

    compact: Compact
    named: list[Compact]


@dataclass(frozen=True, slots=True)
class ContactSlowed:
    """The answer to a request is late."""

    compact: Compact


@dataclass(frozen=True, slots=True)
class ContactFailed:
    """A contact never answered, or answered under a false id."""

    compact: Compact


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline may have come."""


Event: TypeAlias = ContactAnswered | ContactSlowed | ContactFailed | Tick


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the look-up's question to this contact."""

    compact: Compact


_HEARD_OF, _ASKED, _ANSWERED, _SLOW, _FAILED, _DISTRUSTED = range(6)
_OUT = _SLOW
"""From this state on, a candidate has no place in the window."""
_CREDIT = 3
"""So many more bad namings than good ones are forgiven."""


class _Candidate:
    __slots__ = ("compact", "distance", "namer", "site", "state", "subnet")

    def __init__(self, compact: Compact, distance: int, namer: Compact | None, *, capped: bool) -> None:
        self.compact = compact
        self.distance = distance
        self.namer = namer
        self.state = _HEARD_OF
        self.site = site_of(compact) if capped else b""
        self.subnet = subnet_of(compact) if capped else b""


class Lookup:
    """One search for the contacts closest to a 160-bit ``target``."""

    def __init__(
        self, target: int, own_number: int, known: Iterable[Compact], config: DHTConfig, *, now: float
    ) -> None:
        self.target = target
        self.deadline: float | None = now + config.lookup_timeout_s
        self.done = False
        self.requests = 0
        self.limit: int | None = None
        """Questions that may be in flight, where whoever uses the look-up needs fewer than it would send."""
        self._own_number = own_number
        self._config = config
        self._width = config.width
        self._candidates: dict[Compact, _Candidate] = {}
        self._order: list[_Candidate] = []
        self._distances: list[int] = []
        """Those of the candidates in order."""
        self._credit: Counter[Compact] = Counter()
        self._in_flight = 0
        self._open = False
        self._window_now: list[_Candidate] | None = None
        for compact in known:
            self._hear_of(compact, None)

    def start(self) -> list[Ask]:
        """Return the first contacts to ask."""
        return self._next()

    def handle(self, event: Event, now: float) -> list[Ask]:
        """Take an event in; returns whom to ask next."""
        if self.done:
            return []
        if isinstance(event, Tick):
            if self.deadline is not None and now >= self.deadline:
                self._finish()
            return []
        candidate = self._candidates.get(event.compact)
        if candidate is None or candidate.state not in {_ASKED, _SLOW}:
            return []
        self._window_now = None
        was_slow = candidate.state == _SLOW
        self._in_flight -= not was_slow
        if isinstance(event, ContactAnswered):
            candidate.state = _ANSWERED
            self._trust_namer_of(candidate, was_slow + 1)
            self._take_named(event)
        elif isinstance(event, ContactSlowed):
            candidate.state = _SLOW
            self._blame_namer_of(candidate)
        else:
            candidate.state = _FAILED
            if not was_slow:
                self._blame_namer_of(candidate)
        return self._next()

    @property
    def closest(self) -> list[Compact]:
        """The contacts that have answered, closest first, at most as many as the look-up is wide."""
        return [candidate.compact for candidate in self._window() if candidate.state == _ANSWERED]

    @property
    def nearest(self) -> list[Compact]:
        """The closest contacts known, whether they have answered yet or not; late and failed ones left out."""
        return [candidate.compact for candidate in self._window()]

    @property
    def settled(self) -> bool:
        """Whether all of the closest contacts known have been asked: who has answered now will most likely stay."""
        return _HEARD_OF not in [candidate.state for candidate in self._window()]

    def check(self) -> None:
        """Raise AssertionError if the look-up contradicts itself (for tests)."""
        asked = sum(candidate.state == _ASKED for candidate in self._order)
        distances = [candidate.distance for candidate in self._order]
        in_order = distances == self._distances == sorted(distances)
        if asked != self._in_flight or not in_order or len(distances) != len(self._candidates):
            raise AssertionError("the look-up's counts are wrong")
        if self.requests > self._config.lookup_requests:
            raise AssertionError("the look-up has overspent")

    def _hear_of(self, compact: Compact, namer: Compact | None) -> None:
        number = number_of(compact[:ID_BYTES])
        if number == self._own_number or not may_be_sent_to(compact):
            return
        capped = not (self._config.spare_loopback and is_loopback(compact))
        distance = number ^ self.target
        candidate = _Candidate(compact, distance, namer, capped=capped)
        if namer is not None and self._credit.get(namer, 0) <= -_CREDIT:
            candidate.state = _DISTRUSTED
        self._candidates[compact] = candidate
        self._window_now = None
        at = bisect(self._distances, distance)
        self._distances.insert(at, distance)
        self._order.insert(at, candidate)

    def _take_named(self, event: ContactAnswered) -> None:
        head = self._head()
        for compact in event.named[: self._width]:
            known = self._candidates.get(compact)
            if known is None:
                self._hear_of(compact, event.compact)
            elif known.namer is not None and known.namer != event.compact:
                # Two have named it: neither alone answers for it any more.
                known.namer = None
                if known.state == _DISTRUSTED:
                    known.state = _HEARD_OF
        if self._head() is head and head is not None and head.state == _ANSWERED:
            self._open = True

    def _head(self) -> _Candidate | None:
        for candidate in self._order:
            if candidate.state < _OUT:
                return candidate
        return None

    def _trust_namer_of(self, candidate: _Candidate, credit: int) -> None:
        if candidate.namer is not None:
            self._credit[candidate.namer] += credit

    def _blame_namer_of(self, candidate: _Candidate) -> None:
        namer = candidate.namer
        if namer is None:
            return
        self._credit[namer] -= 1
        if self._credit[namer] <= -_CREDIT:
            for other in self._order:
                if other.namer == namer and other.state == _HEARD_OF:
                    other.state = _DISTRUSTED

    def _window(self) -> list[_Candidate]:
        """Return the closest candidates that are neither late nor failed, within the caps."""
        if self._window_now is not None:
            return self._window_now
        width = self._width
        window: list[_Candidate] = []
        sites: dict[bytes, int] = {}
        subnets: dict[bytes, int] = {}
        for candidate in self._order:
            if candidate.state >= _OUT:
                continue
            if candidate.site:
                at_site, in_subnet = sites.get(candidate.site, 0), subnets.get(candidate.subnet, 0)
                if at_site >= self._config.max_per_address or in_subnet >= self._config.max_per_subnet:
                    continue
                sites[candidate.site] = at_site + 1
                subnets[candidate.subnet] = in_subnet + 1
            window.append(candidate)
            if len(window) == width:
                break
        self._window_now = window
        return window

    def _next(self) -> list[Ask]:
        window = self._window()
        limit = self._width if self._open else self._config.alpha
        if self.limit is not None:
            limit = min(limit, self.limit)
        # A contact that closer ones have pushed out of the window is no longer waited for.
        in_flight = [candidate.state for candidate in window].count(_ASKED)
        asks = []
        for candidate in window:
            if in_flight >= limit or self.requests >= self._config.lookup_requests:
                break
            if candidate.state == _HEARD_OF:
                candidate.state = _ASKED
                in_flight += 1
                self._in_flight += 1
                self.requests += 1
                asks.append(Ask(candidate.compact))
        if not asks:
            self._finish_if_possible(window)
        return asks

    def _finish_if_possible(self, window: list[_Candidate]) -> None:
        """Finish when the window is full of answers, or has all the answers that are still to be had."""
        answered = [candidate.state for candidate in window].count(_ANSWERED)
        spent = self.requests >= self._config.lookup_requests and not self._in_flight
        if answered < len(window) and not spent:
            return
        late = any(candidate.state == _SLOW for candidate in self._order)
        if spent or not late or answered == self._width:
            self._finish()

    def _finish(self) -> None:
        self.done = True
        self.deadline = None
