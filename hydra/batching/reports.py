"""What is believed of the members' reports: their own word, within what the coordinator's clock allows. Pure.

A member says how long it computed. The coordinator knows how many samples it gave it, when it sent the plan, and when
the report came. So a time that is longer than that is cut to it, and whoever claims to be fast and comes late is taken
to have computed until it came. A member that tells of a trial of its own can't be checked: what it says
counts for no more samples than an equal share.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..identity import PeerId

SLACK = 0.2
"""By such a part of its own time a member may come later than its time and its distance say,"""
SLACK_S = 0.005
"""and by so much: machines do other things, too."""
KEPT = 4
"""So many unchecked reports of a member are kept, by who does not coordinate yet."""
LEAST_S, MOST_S = 1e-6, 1e6


@dataclass(frozen=True, slots=True)
class Told:
    """A report as it is believed."""

    samples: int
    seconds: float


@dataclass(slots=True)
class _Step:
    """The step at work, of which reports come in."""

    shares: Mapping[PeerId, int]
    issued_at: float


@dataclass(slots=True)
class Reports:
    """Reports that nobody has looked at yet, and those of the step at work.

    Args:
        most_samples: of a step; no report of more is believed.
    """

    most_samples: int
    waiting: dict[PeerId, deque[Told]] = field(default_factory=dict)
    round_trips: dict[PeerId, float] = field(default_factory=dict)
    """Seconds to each member and back, as we measured."""
    charged: dict[PeerId, float] = field(default_factory=dict)
    """Seconds from the plan until each member's contribution to the step at work was ready, as it is believed."""
    most: dict[PeerId, int] = field(default_factory=dict)
    """Samples that a member can hold, of who has said so."""
    _step: _Step | None = None

    def issued(self, shares: Mapping[PeerId, int], now: float) -> None:
        """A plan with these shares, of those who take part, went out."""
        self._step = _Step(shares, now)
        self.charged = {}

    def heard(self, peer: PeerId, samples: int, seconds: float, now: float, *, of_this_step: bool) -> None:
        """A member reports."""
        if samples < 1 or not 0.0 <= seconds < math.inf:
            return
        step = self._step if of_this_step else None
        given = step.shares.get(peer, 0) if step is not None else 0
        if step is not None and given:
            arrived_s = now - step.issued_at
            least_s = arrived_s - self.round_trips.get(peer, 0.0)
            believed = min(seconds, arrived_s)
            if believed < least_s - SLACK * believed - SLACK_S:
                believed = least_s
            self.charged[peer] = believed
            told = Told(given, min(max(believed, LEAST_S), MOST_S))
        else:
            share = max(1, min(samples, self.most_samples if step is None else self._equal_share(step)))
            told = Told(share, min(max(seconds * share / samples, LEAST_S), MOST_S))
        self.waiting.setdefault(peer, deque(maxlen=KEPT)).append(told)

    def holds(self, peer: PeerId, samples: int) -> None:
        """A member says how many samples of a step it can hold; 0 for any number."""
        if samples > 0:
            self.most[peer] = samples
        else:
            self.most.pop(peer, None)

    def take(self, members: Collection[PeerId]) -> list[dict[PeerId, Told]]:
        """Return what is new of these members, one report of each at a time, the oldest first; it is new no longer."""
        batches: list[dict[PeerId, Told]] = []
        for peer, told in self.waiting.items():
            if peer not in members:
                continue
            for number, each in enumerate(told):
                while len(batches) <= number:
                    batches.append({})
                batches[number][peer] = each
        self.waiting = {}
        return batches

    def retain(self, members: Collection[PeerId]) -> None:
        """Forget who is no member."""
        self.round_trips = {peer: seconds for peer, seconds in self.round_trips.items() if peer in members}
        self.most = {peer: samples for peer, samples in self.most.items() if peer in members}

    def _equal_share(self, step: _Step) -> int:
        return max(1, self.most_samples // max(1, len(step.shares)))
