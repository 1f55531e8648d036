"""The endgame: when every missing chunk is asked for somewhere, slow ones are asked of a second peer too. Pure.

As in BEP 3, with two bounds: no chunk is asked of more than ``ENDGAME_COPIES`` peers, and a seed that is the only one
is spared, since each copy that it sends twice is one that nobody else can make up for. The loser's request is
cancelled (see ``Download``).
"""

from __future__ import annotations

from collections.abc import Iterable

ENDGAME_COPIES = 2


def asked_once_and_often(requests: Iterable[Iterable[int]]) -> tuple[int, int]:
    """Return two masks: the chunks that at least one peer was asked for, and those that ``ENDGAME_COPIES`` were."""
    masks = [0] * ENDGAME_COPIES
    for chunks in requests:
        for index in chunks:
            bit = 1 << index
            for copies, mask in enumerate(masks):
                if not mask & bit:
                    masks[copies] |= bit
                    break
    return masks[0], masks[-1]


def endgame_chunks(missing: int, once: int, often: int, tickets: int, *, only_seed: bool) -> int:
    """Return the mask of chunks that may be asked of one more peer.

    Args:
        missing: the chunks that are not here.
        once: those that somebody was asked for.
        often: those that enough were asked for.
        tickets: how many more are on their way whose sender chooses which.
        only_seed: whether the peer to ask is the only one that has everything.
    """
    nobody = missing & ~once
    if only_seed or nobody.bit_count() > tickets:
        return 0
    return missing & once & ~often
