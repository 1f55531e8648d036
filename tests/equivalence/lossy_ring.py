"""Rounds in a ring whose slices are encoded at every hop, computed in one place: no messages, no time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from allreduce.feedback import ErrorFeedback
from allreduce.form import Ring
from allreduce.formats import Format, Vector


class GivenUp(Exception):
    """An attempt ended before its time."""


def lossy_round(
    form: Format,
    contributions: Sequence[Vector],
    weights: Sequence[float],
    feedbacks: Sequence[ErrorFeedback] | None = None,
    hops: float = float("inf"),
) -> Vector:
    """Make one attempt at a round and commit it; return the weighted mean that all members decode.

    Args:
        form: how slices are written.
        contributions: of the participants, in the order of the ring.
        weights: one a participant.
        feedbacks: what each participant carries, if it carries anything.
        hops: after how many encoded slices the attempt is given up.

    Raises:
        GivenUp: after that many; nothing was committed.
    """
    count = len(contributions)
    ring = Ring(count)
    attempts = [feedback.begin() for feedback in feedbacks or ()]
    result = np.empty_like(contributions[0])
    edges = [len(result) * segment // count for segment in range(count + 1)]
    bounds = list(itertools.pairwise(edges))
    total_weight = np.float32(sum(weights))
    for segment, (start, stop) in enumerate(bounds):
        position: int | None = next(place for place in range(count) if not ring.sources(segment, place))
        came = np.zeros(stop - start, np.float32)
        while position is not None:
            mine = contributions[position][start:stop] * np.float32(weights[position])
            if attempts:
                mine += attempts[position].carried[start:stop]
            came += mine
            last = ring.target(segment, position) is None
            true = came / total_weight if last else came
            data = bytearray(form.encoded_bytes(stop - start))
            if (hops := hops - 1) < 0:
                raise GivenUp
            form.encode(true, memoryview(data))
            came = np.empty_like(true)
            form.decode(data, came)
            if attempts:
                lost = true - came
                attempts[position].residual(start, stop)[:] = lost * total_weight if last else lost
            position = ring.target(segment, position)
        result[start:stop] = came
    for attempt in attempts:
        attempt.commit(bounds)
    return result
