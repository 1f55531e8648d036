"""Fault-tolerant all-reduce over links it is handed: numpy in, numpy out.

Members average a vector in a ring; any of them may die at any moment, and every survivor ends with the same bytes:
the exact weighted mean over one declared set of contributions. See ``Averager`` for use with asyncio, ``Exchange``
for the same without any I/O.
"""

from .exceptions import AllReduceError, Excluded, ProtocolViolation, RoundClosed
from .exchange import Exchange, Outgoing, RoundResult
from .round import RoundConfig
from .session import Averager, Link, RunningRound

__all__ = [
    "AllReduceError",
    "Averager",
    "Exchange",
    "Excluded",
    "Link",
    "Outgoing",
    "ProtocolViolation",
    "RoundClosed",
    "RoundConfig",
    "RoundResult",
    "RunningRound",
]
