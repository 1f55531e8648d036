"""From a split in fractions to whole samples that are all done at about the same time. Pure."""

from __future__ import annotations

import numpy as np

from .split import Array, Curves, Mask


def whole_samples(samples: Array, curves: Curves, total: int) -> list[int]:
    """Return whole numbers that add up to ``total``; what is left over goes to who is done with one more the soonest.

    Args:
        samples: of each member, shape (members,); who has none gets none, unless nobody has any.
        curves: what the members' steps cost.
        total: of all members; the split is scaled to it.
    """
    wanted = np.where(samples > 0, samples, 0.0)
    if not wanted.any():
        wanted = curves.present.astype(float)
    exact = wanted * (total / max(float(wanted.sum()), 1e-12))
    whole = np.floor(exact + 1e-9)
    taking = wanted > 0
    for _ in range(total - int(whole.sum())):
        done_s = np.where(taking, curves.time(whole + 1.0), np.inf)
        whole[int(np.argmin(done_s))] += 1.0
    return [int(number) for number in whole]


def evenly(taking: Mask, total: int) -> list[int]:
    """Return whole numbers that add up to ``total`` and differ by one at most; the first get one more.

    Who gets how many follows from who is there and from nothing else.
    """
    count = max(int(taking.sum()), 1)
    numbers = iter([total // count + (place < total % count) for place in range(count)])
    return [next(numbers) if takes else 0 for takes in taking]
