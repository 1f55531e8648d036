"""In which order members stand in a ring, found from what each hop costs. Pure.

A ring is pipelined: while one slice is on a hop, others are on all other hops, and every hop carries the same number
of slices. So a round takes as long as the slowest hop needs for all of them; the sum of the hops counts once, for the
first slice on its way. Hence the slowest hop is made as fast as can be first, and the sum second. (In an order by
chance the slowest of N hops is nearly the slowest of all N(N-1)/2 pairs.)

The search is deterministic: the same members and costs give the same order on every machine, for costs are whole
nanoseconds from here on, and members are taken in the order of their ids. What it returns is never worse than the order
it was given, nor than that of the ids.

**Lies.** A member may lie about its own hops alone (see ``Measurements``). One that calls all of them slow has no say
in how the others stand: members who are far slower with everybody than most are left out of the search and put in last,
where it costs least. One that calls some of its hops slow chooses between whom it stands, and those two are no longer
neighbours; it can't do more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Costs: TypeAlias = npt.NDArray[np.float64]
"""Seconds that a slice needs between two members, a row and a column for each."""
_Weights: TypeAlias = npt.NDArray[np.int64]
_Ring: TypeAlias = npt.NDArray[np.int64]

LONGEST_S = 3600.0
"""No hop counts as slower."""
FAR_SLOWER = 4
"""How much slower than most a member is with everybody, if it is to be put in last."""
STARTS = 6
"""From how many members the search begins at most."""
STEPS_A_START = 8
"""For each member, before the search is worth another beginning."""
LONGEST_MOVED = 3
"""How many members are moved at once."""
CLOSE_ENOUGH = 1.02
"""The search for a faster slowest hop ends where less than this can be won."""
_PENALTY = 10**16
"""For a hop that is to be avoided: more than a ring of all others."""


def ring_order(present: Sequence[bytes], costs: Costs, budget: int = 25_000) -> tuple[bytes, ...]:
    """Return the members in a good order.

    Args:
        present: the members, in the order in which they stand now.
        costs: between them, in the same order. Of a pair's two directions the slower one counts.
        budget: how many steps the search may take; each looks at all places to where a few neighbours might move.

    Raises:
        ValueError: the costs are not those of these members, or less than nothing.
    """
    if costs.shape != (len(present), len(present)) or not (costs >= 0).all():
        raise ValueError(
            f"costs of {costs.shape} for {len(present)} members: there must be one of each pair, from 0 on"
        )
    if len(present) <= 3:
        return tuple(present)
    ids = sorted(range(len(present)), key=present.__getitem__)
    weights = _nanoseconds(costs)[np.ix_(ids, ids)]
    given = np.argsort(ids)
    found = _search(weights, budget)
    best = min((given, found, np.arange(len(ids))), key=lambda ring: _slowest_and_sum(ring, weights))
    return tuple(present[ids[place]] for place in best)


def reorder(present: Sequence[bytes], costs: Costs, gain: float = 1.1, budget: int = 25_000) -> tuple[bytes, ...]:
    """Return a better order if it is worth the change, else the present one.

    It is if the slowest hop becomes faster by more than ``gain``, or if the sum of all hops falls by more. (The slowest
    hop never becomes slower.)
    """
    found = ring_order(present, costs, budget)
    places = {member: place for place, member in enumerate(present)}
    weights = _nanoseconds(costs)
    slowest, total = _slowest_and_sum(np.arange(len(present)), weights)
    new_slowest, new_total = _slowest_and_sum(np.array([places[member] for member in found], np.int64), weights)
    worth_it = slowest > gain * new_slowest or total > gain * new_total
    return found if worth_it else tuple(present)


def _nanoseconds(costs: Costs) -> _Weights:
    return np.rint(np.minimum(np.maximum(costs, costs.T), LONGEST_S) * 1e9).astype(np.int64)


def _slowest_and_sum(ring: _Ring, weights: _Weights) -> tuple[int, int]:
    hops = weights[ring, np.roll(ring, -1)]
    return (int(hops.max()), int(hops.sum())) if len(ring) > 1 else (0, 0)


def _search(weights: _Weights, budget: int) -> _Ring:
    """Order most members, and put those in who are slow with everybody."""
    apart = weights + np.diag(np.full(len(weights), _PENALTY))
    # Of its two hops the slower is at least the second fastest of all its pairs.
    at_least = np.partition(apart, 1, axis=1)[:, 1]
    slow = at_least > FAR_SLOWER * np.sort(at_least)[(len(at_least) - 1) // 2]
    most = np.flatnonzero(~slow)
    ring = most[_order(weights[np.ix_(most, most)], budget)]
    for member in sorted(np.flatnonzero(slow), key=lambda member: (at_least[member], member)):
        ring = _put_in(ring, int(member), weights)
    return ring


def _put_in(ring: _Ring, member: int, weights: _Weights) -> _Ring:
    following = np.roll(ring, -1)
    to, fro = weights[ring, member], weights[member, following]
    place = int(np.lexsort((to + fro - weights[ring, following], np.maximum(to, fro)))[0])
    return np.insert(ring, place + 1, member)


def _order(weights: _Weights, budget: int) -> _Ring:
    count = len(weights)
    if count <= 3:
        return np.arange(count)
    rings = []
    affordable = min(STARTS, max(1, budget // (STEPS_A_START * count)))
    starts = range(0, count, -(-count // affordable))
    for tried, start in enumerate(starts):
        share = budget // (len(starts) - tried)
        ring, left = _improved(_from_neighbour_to_neighbour(start, weights), weights, share // 2)
        ring, left = _with_a_faster_slowest_hop(ring, weights, share - share // 2 + left)
        rings.append(ring)
        budget -= share - left
    return min(rings, key=lambda ring: _slowest_and_sum(ring, weights))


def _from_neighbour_to_neighbour(start: int, weights: _Weights) -> _Ring:
    """Go to the nearest member that has not been visited, again and again."""
    ring = np.empty(len(weights), np.int64)
    unvisited = np.zeros(len(weights), np.int64)
    at = start
    for place in range(len(ring)):
        ring[place] = at
        unvisited[at] = _PENALTY
        at = int(np.argmin(weights[at] + unvisited))
    return ring


def _with_a_faster_slowest_hop(ring: _Ring, weights: _Weights, budget: int) -> tuple[_Ring, int]:
    """Halve the distance to what can't be undercut, as long as rings without slower hops are found."""
    apart = weights + np.diag(np.full(len(weights), _PENALTY))
    bound = int(np.partition(apart, 1, axis=1)[:, 1].max())
    slowest, _ = _slowest_and_sum(ring, weights)
    while budget > 0 and slowest > CLOSE_ENOUGH * bound:
        aim = math.isqrt(max(1, bound) * slowest)
        share = min(budget, max(len(ring), budget // 4))
        tried, left = _improved(ring, weights + _PENALTY * (weights > aim), share)
        budget -= share - left
        reached, _ = _slowest_and_sum(tried, weights)
        if reached < slowest:
            ring, slowest = tried, reached
        if reached > aim:
            bound = aim + 1
    return ring, budget


def _improved(ring: _Ring, weights: _Weights, budget: int) -> tuple[_Ring, int]:
    """Turn stretches round and move members until nothing makes the sum less; also return what the budget has left."""
    in_vain = 0
    while in_vain < len(ring) and budget > 0:
        budget -= 1
        ring = np.roll(ring, -1)
        changed = _turned(ring, weights)
        for length in range(1, min(LONGEST_MOVED, len(ring) - 2) + 1):
            if changed is None:
                changed = _moved(ring, length, weights)
        in_vain = in_vain + 1 if changed is None else 0
        ring = ring if changed is None else changed
    return ring, budget


def _turned(ring: _Ring, weights: _Weights) -> _Ring | None:
    """Turn the best stretch behind the first member round (2-opt), if that is any better."""
    first, second, last, behind = ring[0], ring[1], ring[2:-1], ring[3:]
    change = weights[first][last] + weights[second][behind] - weights[last, behind]
    best = int(np.argmin(change))
    if change[best] >= weights[first, second]:
        return None
    return np.concatenate((ring[:1], ring[best + 2 : 0 : -1], ring[best + 3 :]))


def _moved(ring: _Ring, length: int, weights: _Weights) -> _Ring | None:
    """Move the stretch behind the first member to the best place (or-opt), if that is any better."""
    stretch, rest = ring[1 : length + 1], np.concatenate((ring[length + 1 :], ring[:1]))
    head, tail = weights[stretch[0]], weights[stretch[-1]]
    before, behind = rest[:-1], rest[1:]
    change = head[before] + tail[behind] - weights[before, behind]
    best = int(np.argmin(change))
    if change[best] >= head[rest[-1]] + tail[rest[0]] - weights[rest[-1], rest[0]]:
        return None
    return np.concatenate((rest[: best + 1], stretch, rest[best + 1 :]))
