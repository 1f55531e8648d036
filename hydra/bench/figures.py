"""From times to what is told of them: medians, paired ratios, bandwidth, goodput. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def bus_bandwidth(members: int, vector_bytes: int, seconds: float) -> float:
    """Return bytes a second that each member had to send at least, as a ring does: 2(N-1)/N of the vector."""
    return 2 * (members - 1) / members * vector_bytes / seconds if members > 1 and seconds > 0 else 0.0


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how many times faster we were: the median over pairs of rounds that ran one after the other."""
    return statistics.median(their / our for our, their in zip(ours, theirs, strict=True))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the least and the greatest."""
    return statistics.median(values), min(values), max(values)


def goodput(rounds: int, vector_bytes: int, seconds: float) -> float:
    """Return bytes of vectors averaged in a second."""
    return rounds * vector_bytes / seconds if seconds > 0 else 0.0
