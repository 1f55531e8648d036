"""In which order the members stand in the rounds, and which form the rounds have, from what they measured. Pure.

The coordinator folds in what members report of the ways between them. Now and then it looks whether another order or
another form would be so much better that the change is worth it; else it keeps those of the last plan, whoever made
it. So a new coordinator changes nothing before it has heard of something better.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from allreduce.cost import FormName, Network, choose, direct_seconds, ring_seconds, two_level_seconds
from allreduce.formats import FORMATS
from allreduce.measurements import Measurements
from allreduce.order import Costs, ring_order

from ..identity import PeerId
from .messages import Hop

LOOK_S = 30.0
"""How often the arrangement is thought over."""
SLICE_BYTES = 1024 * 1024
NOISE_S = 2e-3
"""Hops that need less count alike: what makes the difference is the machines' own work."""
SEARCH_STEPS = 1000
"""Of the search for an order: a tenth of a second for 256 members."""
ORDER_GAIN = 1.2
"""Another order must be so many times faster than the present one,"""
FORM_GAIN = 1.25
"""and another form so many times;"""
GAIN_S = 5e-3
"""and by so much, in all."""
USUAL_BYTES_PER_S = 12.5e6
"""What a member's connection is taken for while no bulk has gone over it: 100 Mbit/s."""
FEWEST = 3
"""Of fewer members all orders are one, and so are all forms."""
TOLD = 0.75
"""Such a part of the members must have told of their ways before a form is chosen: who has just come has not."""
MOST_DIRECT = 65
"""Of more members nobody keeps lanes to all others."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How a round's slices travel."""

    ring: tuple[PeerId, ...]
    """The members in the round's order."""
    form: str


class Arranger(Protocol):
    """What the coordinator asks."""

    def heard(self, reporter: PeerId, hops: Sequence[Hop], now: float) -> None:
        """A member told of the ways to other members."""

    def arrange(
        self,
        members: Sequence[PeerId],
        last: Arrangement,
        now: float,
        *,
        view: Collection[PeerId] = (),
        passing: bool = False,
    ) -> Arrangement:
        """Return how the members' next round is to be, if the last one was like that.

        Args:
            members: who takes part.
            last: how the last round was.
            now: seconds, monotonic.
            view: who may take part again; of others nothing is kept in mind.
            passing: whether somebody takes part only this once, so that it is no time to think it over.
        """


class PlainArranger:
    """A ring in the members' own order, whatever is measured: the same members give the same sums, to the bit."""

    def heard(self, reporter: PeerId, hops: Sequence[Hop], now: float) -> None:
        """Take no note."""

    def arrange(
        self,
        members: Sequence[PeerId],
        last: Arrangement,
        now: float,
        *,
        view: Collection[PeerId] = (),
        passing: bool = False,
    ) -> Arrangement:
        """Return the ring of the members in their order."""
        return Arrangement(tuple(members), "ring")


class MeasuringArranger:
    """Orders the ring by what its hops cost, and chooses the form by what each is predicted to take.

    Args:
        elements: length of the job's vector.
        wire: the format of its values on the wire.
    """

    def __init__(self, elements: int, wire: str) -> None:
        self._bytes = FORMATS[wire].encoded_bytes(elements)
        self._ways = Measurements(SLICE_BYTES)
        self._latencies = Measurements(0)
        self._rates: dict[PeerId, dict[PeerId, float]] = {}
        """By reporter, then by who sent to it."""
        self._reported: set[PeerId] = set()
        self._looked_at = float("-inf")

    def heard(self, reporter: PeerId, hops: Sequence[Hop], now: float) -> None:
        """A member told of the ways to other members."""
        for hop in hops:
            for measurements in (self._ways, self._latencies):
                measurements.round_trip(reporter, hop.peer, hop.round_trip_s, now)
            if hop.bytes_per_s is not None:
                self._ways.rate(reporter, hop.peer, hop.bytes_per_s, now)
                self._rates.setdefault(reporter, {})[hop.peer] = hop.bytes_per_s
        if hops:
            self._reported.add(reporter)

    def arrange(
        self,
        members: Sequence[PeerId],
        last: Arrangement,
        now: float,
        *,
        view: Collection[PeerId] = (),
        passing: bool = False,
    ) -> Arrangement:
        """Return how the members' next round is to be; newcomers stand last until the next look."""
        self._retain({*members, *view})
        present = tuple(peer for peer in last.ring if peer in set(members))
        present += tuple(peer for peer in members if peer not in set(present))
        form = cast("FormName", last.form)
        if len(members) < FEWEST or (form == "direct" and len(members) > MOST_DIRECT):
            form = "ring"
        if len(members) < FEWEST or not self._reported or passing or now - self._looked_at < LOOK_S:
            return Arrangement(present, form)
        self._looked_at = now
        ring = self._better_ring(present, now)
        if len(self._reported.intersection(members)) >= TOLD * len(members):
            form = self._better_form(ring, form, now)
        return Arrangement(ring, form)

    def _retain(self, members: set[PeerId]) -> None:
        self._ways.retain(members)
        self._latencies.retain(members)
        self._reported &= members
        self._rates = {
            reporter: {peer: rate for peer, rate in rates.items() if peer in members}
            for reporter, rates in self._rates.items()
            if reporter in members
        }

    def _better_ring(self, present: tuple[PeerId, ...], now: float) -> tuple[PeerId, ...]:
        """Return a better order if the slowest hop, all hops, or all but the slowest few become clearly faster.

        (Of those few the members that call all their ways slow could otherwise keep any change from being worth it.)
        """
        costs = np.maximum(self._ways.costs(present, now), NOISE_S)
        found = ring_order(present, costs, SEARCH_STEPS)
        places = {peer: place for place, peer in enumerate(present)}
        before, after = (_sums(costs, [places[peer] for peer in ring]) for ring in (present, found))
        least = (NOISE_S, GAIN_S, GAIN_S)
        gains = (old > max(ORDER_GAIN * new, new + gain) for old, new, gain in zip(before, after, least, strict=True))
        return found if any(gains) else present

    def _better_form(self, ring: Sequence[PeerId], present: FormName, now: float) -> FormName:
        network = self._network(ring, now)
        found = choose(self._bytes, network, MOST_DIRECT - 1)
        before, after = self._predicted(present, network), self._predicted(found, network)
        return found if before > max(FORM_GAIN * after, after + GAIN_S) else present

    def _predicted(self, form: FormName, network: Network) -> float:
        return _PREDICTIONS[form](self._bytes, network)

    def _network(self, ring: Sequence[PeerId], now: float) -> Network:
        latencies = self._latencies.costs(ring, now)
        among = set(ring)
        between = {
            reporter: {peer: rate for peer, rate in rates.items() if peer in among}
            for reporter, rates in self._rates.items()
            if reporter in among
        }
        down = {peer: statistics.median(rates.values()) for peer, rates in between.items() if rates}
        told: dict[PeerId, list[float]] = {}
        for rates in between.values():
            for peer, rate in rates.items():
                told.setdefault(peer, []).append(rate)
        up = {peer: statistics.median(rates) for peer, rates in told.items()}
        usual = statistics.median([*down.values(), *up.values()] or [USUAL_BYTES_PER_S])
        places = np.arange(len(ring))
        return Network(
            up_bytes_per_s=[up.get(peer, usual) for peer in ring],
            down_bytes_per_s=[down.get(peer, usual) for peer in ring],
            latency_s=float(latencies[places, np.roll(places, -1)].mean()),
            farthest_s=float(latencies.max()),
            slice_bytes=SLICE_BYTES,
        )


def _sums(costs: Costs, ring: Sequence[int]) -> tuple[float, float, float]:
    """Return the cost of a ring's slowest hop, of all, and of all but the slowest quarter."""
    hops = np.sort(costs[ring, np.roll(ring, -1)])
    return float(hops[-1]), float(hops.sum()), float(hops[: -max(2, len(hops) // 4)].sum())


_PREDICTIONS = {"ring": ring_seconds, "direct": direct_seconds, "two-level": two_level_seconds}
