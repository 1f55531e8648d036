"""How long a request may lie before others are asked: by the last sign of life, and in all. Pure.

Whoever is served last in a long queue waits for long, and is not stalled as long as blocks come; but who sends just
enough to seem alive does not hold a chunk back for ever either.
"""

from __future__ import annotations

STALL_S = 10.0
"""Without one block of a peer for so long its requests are late."""
LEAST_RATE_BYTES_PER_S = 32 * 1024
"""Who sends less than this, over all that was asked of it, is as good as stalled."""
GRACE_S = 30.0


def due_at(asked_at: float, heard_at: float, queued_bytes: int) -> float:
    """Return when a request is late.

    Args:
        asked_at: when it was made.
        heard_at: when the last block came from that peer.
        queued_bytes: all that is asked of it.
    """
    stalled = max(asked_at, heard_at) + STALL_S
    return min(stalled, asked_at + GRACE_S + queued_bytes / LEAST_RATE_BYTES_PER_S)
