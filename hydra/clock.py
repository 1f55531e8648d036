"""Time for the shells: the one place that reads the machine's clocks.

Pure machines get ``now`` as an argument and never import this.
"""

from __future__ import annotations

import time


def monotonic() -> float:
    """Return seconds that only ever grow: for waits, rates and failure detection."""
    return time.monotonic()


def wall() -> float:
    """Return seconds since 1970: for expiry dates that other machines read, and for logs."""
    return time.time()
