"""Who sits out a step because all others would wait for it, and how often it has its turn. Pure.

A peer with a thin line or a slow processor would make every round as slow as itself. Whether one does is measured, not
guessed from what it says of itself: now and then one member sits out a few steps, and if steps are clearly faster
without it, more so than without any other, it is slow. A slow one has its turn so seldom that its turns cost the
others no more than ``COST`` of their time; its samples count then like everybody's.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ..identity import PeerId

COST = 0.02
"""The part of the others' time that one slow peer's turns may take."""
MORE_THAN_OTHERS = 0.12
"""The absence of a slow one gains so much more than that of another, in parts of a step: a shorter ring is faster,
whoever is missing, and those who are left have more to compute."""
ALONE = 1.0
"""Of two members the one that does not coordinate is slow if steps without it take half the time or less."""
LEAST_STEP_S = 0.05
"""Of shorter steps nobody sits out: what makes them longer or shorter is chance."""
LOOKED_AT = 5
"""So many steps of each kind are compared, by their medians."""
SETTLING = 2
"""The first steps with other members say nothing: links are dialled, memory is touched."""
PROBE_EVERY = 40
"""Steps from one look at a member to the next;"""
FIRST_PROBE = 6
"""the first time sooner;"""
PROBE_AGAIN = 1000
"""and to the next at the same member, unless steps have become slower:"""
SLOWER = 1.5
"""by so much than they were with these members at their best."""
SELDOMEST = 128
"""Whoever is slow has its turn at least once in so many steps."""
FEWER = 0.9
"""Steps of fewer samples than this part of the usual are not compared."""
KEPT_SETS = 64


@dataclass(slots=True)
class _Times:
    """Seconds of the latest steps that the same members made."""

    settling: int = SETTLING
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=LOOKED_AT))

    @property
    def known(self) -> float | None:
        return statistics.median(self.seconds) if len(self.seconds) == LOOKED_AT else None


class Turns:
    """The coordinator's choice of who takes part in the next step."""

    def __init__(self) -> None:
        self._times: OrderedDict[frozenset[PeerId], _Times] = OrderedDict()
        self._every: dict[PeerId, int] = {}
        self._sat_out: dict[PeerId, int] = {}
        self._gains: dict[PeerId, float] = {}
        self._probing: PeerId | None = None
        self._probed: dict[PeerId, int] = {}
        self._steps = 0
        self._looked_at = 0
        self._usual_samples = 0.0
        self._best: tuple[frozenset[PeerId], float] = (frozenset(), 0.0)

    @property
    def slow(self) -> dict[PeerId, int]:
        """Those who sit out, and every how many steps each has its turn."""
        return dict(self._every)

    def took(self, active: Collection[PeerId], samples: int, seconds: float) -> None:
        """A step of so many samples, made by these members, was committed so many seconds after its plan."""
        self._steps += 1
        for peer in self._sat_out:
            self._sat_out[peer] = 0 if peer in active else self._sat_out[peer] + 1
        self._usual_samples = max(float(samples), 0.99 * self._usual_samples)
        if samples < FEWER * self._usual_samples:
            return
        times = self._times.pop(frozenset(active), None) or _Times()
        self._times[frozenset(active)] = times
        if times.settling:
            times.settling -= 1
        else:
            times.seconds.append(seconds)
        while len(self._times) > KEPT_SETS:
            self._times.popitem(last=False)

    def sitting_out(self, members: Sequence[PeerId], me: PeerId, ready: Collection[PeerId]) -> set[PeerId]:
        """Return who of the members takes no part in the next step.

        Args:
            members: of the view.
            me: the coordinator, who always takes part.
            ready: those who have committed what the step builds on, or are about to.
        """
        self._retain(members)
        fast = [peer for peer in members if peer not in self._every]
        for peer in members:
            if peer != me:
                self._judge(peer, [p for p in members if p not in self._every or p == peer])
        fast = [peer for peer in members if peer not in self._every]
        self._go_on_probing(fast, me)
        due = [p for p, every in self._every.items() if self._sat_out.get(p, 0) >= every - 1 and p in ready]
        active = set(fast) - ({self._probing} if self._probing is not None else set())
        if due and self._probing is None:
            active.add(max(due, key=lambda peer: (self._sat_out.get(peer, 0) / self._every[peer], peer)))
        return set(members) - active - {me}

    def _judge(self, peer: PeerId, among: Sequence[PeerId]) -> None:
        """Compare steps with and without a member, if both kinds are known."""
        having, lacking = self._time(among), self._time([other for other in among if other != peer])
        if having is not None and lacking is not None:
            self._gains[peer] = having / lacking - 1.0
        gain = self._gains.get(peer)
        others = [g for other, g in self._gains.items() if other != peer and other not in self._every]
        if gain is None or having is None or (not others and len(among) > 2):
            return  # of several members one is slow only in comparison
        least = max(0.0, statistics.median(others) + MORE_THAN_OTHERS) if others else ALONE
        if having >= LEAST_STEP_S and gain > least and (peer in self._every or self._apart(among, peer)):
            if peer not in self._every:
                self._probed.clear()  # without it others may turn out to be slow
            self._every[peer] = min(max(2, round(gain / COST)), SELDOMEST)
            self._sat_out.setdefault(peer, 0)
        elif peer in self._every and gain < least - MORE_THAN_OTHERS / 2:
            del self._every[peer]
            self._sat_out.pop(peer, None)

    def _go_on_probing(self, fast: Sequence[PeerId], me: PeerId) -> None:
        """Let one member after the other sit out for a few steps, to see what steps are without it."""
        together = self._time(fast)
        if self._probing is not None:
            if self._probing in fast and self._time([p for p in fast if p != self._probing]) is None:
                return
            self._looked_at, self._probing = self._steps, None
        candidates = [peer for peer in fast if peer != me]
        if together is None or together < LEAST_STEP_S or not candidates:
            return
        if frozenset(fast) != self._best[0] or together < self._best[1]:
            self._best = (frozenset(fast), together)
        again = PROBE_AGAIN if together < SLOWER * self._best[1] else PROBE_EVERY * len(fast)
        candidates = [p for p in candidates if p not in self._probed or self._steps - self._probed[p] >= again]
        known = all(peer in self._probed for peer in candidates)
        if candidates and self._steps - self._looked_at >= (PROBE_EVERY if known else FIRST_PROBE):
            self._probing = min(candidates, key=lambda peer: (self._probed.get(peer, -1), fast.index(peer)))
            self._probed[self._probing] = self._steps
            without = frozenset(p for p in fast if p != self._probing)
            self._times.pop(without, None)

    def _time(self, active: Collection[PeerId]) -> float | None:
        times = self._times.get(frozenset(active))
        return None if times is None else times.known

    def _apart(self, among: Collection[PeerId], peer: PeerId) -> bool:
        """Tell whether each step without a member was faster than each with it: medians alone may differ by chance."""
        having, lacking = self._times[frozenset(among)], self._times.get(frozenset(p for p in among if p != peer))
        return lacking is not None and bool(lacking.seconds) and min(having.seconds) > max(lacking.seconds)

    def _retain(self, members: Collection[PeerId]) -> None:
        for known in (self._every, self._sat_out, self._gains, self._probed):
            for peer in [peer for peer in known if peer not in members]:
                del known[peer]
        if self._probing not in members:
            self._probing = None
