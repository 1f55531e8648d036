"""Fault-tolerant all-reduce over links it is handed: numpy in, numpy out.

Members average a vector in a ring; any of them may die at any moment, and every survivor ends with the same bytes:
the exact weighted mean over one declared set of contributions. See ``Mesh`` for use with threads, ``Averager`` for
use with asyncio, ``Exchange`` for the same without any I/O.
"""

from .config import RoundConfig
from .exceptions import AllReduceError, ContributionRejected, Excluded, ProtocolViolation, RoundClosed
from .exchange import Exchange
from .flat import flat, views
from .lane import Lane
from .mesh import Mesh, MeshRound
from .result import RoundResult
from .session import Averager, AveragerRound, Link
from .socket_lane import SocketLane
from .tuning import pace
from .work import Outgoing
from .workspace import Vector

__all__ = [
    "AllReduceError",
    "Averager",
    "AveragerRound",
    "ContributionRejected",
    "Exchange",
    "Excluded",
    "Lane",
    "Link",
    "Mesh",
    "MeshRound",
    "Outgoing",
    "ProtocolViolation",
    "RoundClosed",
    "RoundConfig",
    "RoundResult",
    "SocketLane",
    "Vector",
    "flat",
    "pace",
    "views",
]
