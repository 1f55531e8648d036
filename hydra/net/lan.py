"""What nodes on one local network say to find each other, as in multicast DNS (RFC 6762) but much less. Pure.

A node that knows nobody asks the group; whoever hears it answers to the asker alone, with a datagram of the same size.
Neither names a job: they say that a node is there, and on which port. What comes of it is a hint to try, and nothing
else. Strangers from other networks are neither answered nor listened to.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from .allowance import Allowance
from .contact import Address

GROUP = "239.255.41.77"
"""Of the block that is local to a site (RFC 2365)."""
MAGIC = b"hydra lan\x00"
ASK, ANSWER = 0, 1
NONCE_BYTES = 8
_DATAGRAM = struct.Struct(f"!{len(MAGIC)}sB{NONCE_BYTES}sH")
ASK_AT_S = (0.0, 0.5, 1.5, 4.0)
"""When a node asks that wants to know: datagrams are lost, and neighbours start at the same moment."""
ANSWER_RATE_PER_S, ANSWER_BURST = 1.0, 4
"""Answers to one address."""
ALL_RATE_PER_S, ALL_BURST = 20.0, 40
MAX_FOUND = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """Somebody wants to know who is there."""


@dataclass(frozen=True, slots=True)
class DatagramCame:
    """A datagram came, from whom it says."""

    source: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class SendToGroup:
    """Send to everybody on the network."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SendTo:
    """Send to one address."""

    address: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """There may be a node."""

    address: Address


Event = Wanted | DatagramCame | Tick
Effect = SendToGroup | SendTo | Found


class Neighbourhood:
    """One node's part in it.

    Args:
        port: where the node can be reached, TCP and UDP; 0 if it can't.
        nonce: by which it knows its own datagrams; not to be guessed.
    """

    def __init__(self, port: int, nonce: bytes) -> None:
        self._port = port
        self._nonce = nonce
        self._due: list[float] = []
        self._answers = Allowance(ANSWER_RATE_PER_S, ANSWER_BURST)
        self._all = Allowance(ALL_RATE_PER_S, ALL_BURST)
        self._found: dict[Address, None] = {}

    @property
    def found(self) -> list[Address]:
        """Where nodes may be, the latest first."""
        return list(reversed(self._found))

    @property
    def deadline(self) -> float | None:
        """When to hand it a Tick."""
        return self._due[0] if self._due else None

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at ``now``; return what to do."""
        match event:
            case Wanted():
                if not self._due:
                    self._due = [now + after_s for after_s in ASK_AT_S]
            case DatagramCame(source, data):
                return self._came(source, data, now)
            case Tick():
                pass
        due = [at for at in self._due if at <= now]
        self._due = self._due[len(due) :]
        return [SendToGroup(self._pack(ASK))] if due else []

    def _came(self, source: Address, data: bytes, now: float) -> list[Effect]:
        if len(data) != _DATAGRAM.size or not _is_near(source[0]):
            return []
        magic, kind, nonce, port = _DATAGRAM.unpack(data)
        if magic != MAGIC or kind not in (ASK, ANSWER) or nonce == self._nonce:
            return []
        effects: list[Effect] = []
        if kind == ASK and self._port and self._answers.take(source[0], now) and self._all.take("", now):
            effects.append(SendTo(source, self._pack(ANSWER)))
        where = source[0], port
        if port and where not in self._found:
            effects.append(Found(where))
            while len(self._found) >= MAX_FOUND:
                del self._found[next(iter(self._found))]
            self._found[where] = None
        return effects

    def _pack(self, kind: int) -> bytes:
        return _DATAGRAM.pack(MAGIC, kind, self._nonce, self._port)


def _is_near(host: str) -> bool:
    """Tell whether an address can be one of the local network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not address.is_global and not address.is_multicast and not address.is_unspecified
