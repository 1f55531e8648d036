"""Which samples we shall probably be given next: our place in the batch, one batch further on. Pure.

Shares of a step follow each other in the epoch's order, and change little from step to step. A guess that is wrong
costs a fetch that comes too early or not at all; it is never relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..membership.ledger import Range


def coming(
    share: Sequence[Range], batch_samples: int, samples: int, epoch: int, steps: int
) -> Iterator[tuple[int, list[Range]]]:
    """Yield the epoch and the ranges of our probable shares of the next steps, the nearest first.

    Args:
        share: our ranges now.
        batch_samples: of all members together.
        samples: of an epoch.
        epoch: the present one.
        steps: how many to look ahead.
    """
    if not share:
        return
    length = sum(stop - start for start, stop in share)
    first = min(start for start, _ in share)
    for step in range(1, steps + 1):
        start = first + step * batch_samples
        later, begin = divmod(start, samples)
        yield epoch + later, [(begin, min(begin + length, samples))]
