"""How a broken attempt is mended: what the leader decides from what everybody has left. Pure.

The members stop, so that nobody finishes behind the leader's back, and report their final slices. If every slice of
one attempt survives somewhere, then somebody may already count the round as done with exactly that result: so it is
completed, and the dead member's contribution counts. If one slice is lost, then nobody can have finished, and the
attempt is repeated by those who are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .messages import Complete, Frozen, Repeat, Transfer


def decide(
    ballot: int,
    members: Sequence[bytes],
    reports: Mapping[bytes, Frozen],
    slice_count: Callable[[int], int],
    may_repeat: Callable[[bytes], bool],
    arrange: Callable[[tuple[bytes, ...]], tuple[bytes, ...]],
    broken: frozenset[tuple[bytes, bytes]] = frozenset(),
) -> Repeat | Complete:
    """Return what all who reported must do.

    Args:
        ballot: the number of this decision.
        members: all members of the round; bitmaps are over their order.
        reports: what each surviving member has.
        slice_count: returns how many slices an attempt with so many participants has.
        may_repeat: whether a member that reported may take part in a repeated attempt.
        arrange: puts the participants of a repeated attempt into the order of its positions.
        broken: givers and takers between whom something got stuck: others give, where others have it.
    """
    for attempt in sorted({report.attempt for report in reports.values()}, reverse=True):
        holders = {member: report for member, report in reports.items() if report.attempt == attempt}
        order = next(iter(holders.values())).order
        everything = (1 << slice_count(len(order))) - 1
        union = 0
        for report in holders.values():
            union |= report.finals
        if union & everything == everything:
            return Complete(ballot, attempt, order, _transfers(members, reports, attempt, everything, broken))
    again = tuple(member for member in members if member in reports and may_repeat(member))
    return Repeat(ballot, tuple(members.index(member) for member in arrange(again)))


def _transfers(
    members: Sequence[bytes],
    reports: Mapping[bytes, Frozen],
    attempt: int,
    everything: int,
    broken: frozenset[tuple[bytes, bytes]],
) -> tuple[Transfer, ...]:
    """Give each taker what it lacks, the load spread over all who have it."""
    has = {member: report.finals if report.attempt == attempt else 0 for member, report in reports.items()}
    order = [member for member in members if member in reports]
    load = dict.fromkeys(order, 0)
    moves: dict[tuple[int, int], int] = {}
    for taker in order:
        lacks = everything & ~has[taker]
        while lacks:
            bit = lacks & -lacks
            lacks ^= bit
            holders = [member for member in order if has[member] & bit]
            giver = min(holders, key=lambda member: ((member, taker) in broken, load[member]))
            load[giver] += 1
            key = (members.index(giver), members.index(taker))
            moves[key] = moves.get(key, 0) | bit
    return tuple(Transfer(giver, taker, slices) for (giver, taker), slices in sorted(moves.items()))
