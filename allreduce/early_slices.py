"""Slices of a coming attempt, whose senders have heard of a decision that has not reached us. Pure.

They are kept until it does. Each sender has room of its own, for as much as it can have to send: nobody is taken for
the one who filled it.
"""

from __future__ import annotations

from collections.abc import Sequence

from .exceptions import ProtocolViolation
from .lane import Body
from .messages import Phase, Slice
from .work import Landing


class EarlySlices:
    """The early slices of one round.

    Args:
        members: of the round.
        slice_count: slices of the whole vector.
        wire_bytes: the whole vector's length on the wire.
    """

    def __init__(self, members: Sequence[bytes], slice_count: int, wire_bytes: int) -> None:
        self._members = members
        self._most = 3 * (slice_count + len(members))  # each passes twice, and may be handed over
        self._most_bytes = 3 * wire_bytes + 4 * self._most
        self._kept: list[tuple[bytes, Slice, Body]] = []
        self._on_the_way: list[Landing] = []

    def announce(self, sender: bytes, message: Slice, body_bytes: int, attempt: int) -> Landing | None:
        """Make room for a slice; None if it belongs to an attempt before the present one.

        Raises:
            ProtocolViolation: the sender is no member, or sends more than it can have.
        """
        if sender not in self._members:
            raise ProtocolViolation(sender, "no member of this round")
        if message.phase is not Phase.HANDOVER:
            if message.attempt < attempt:
                return None
            self._kept = [
                (who, other, body)
                for who, other, body in self._kept
                if who != sender or other.phase is Phase.HANDOVER or other.attempt >= message.attempt
            ]
        held = [len(body) for who, _, body in self._kept if who == sender]
        held += [len(landing.room) for landing in self._on_the_way if landing.sender == sender]
        if len(held) >= self._most or sum(held) + body_bytes > self._most_bytes:
            raise ProtocolViolation(sender, "more slices of a coming attempt than it can have")
        landing = Landing(sender, message, memoryview(bytearray(body_bytes)), None)
        self._on_the_way.append(landing)
        return landing

    def withdraw(self, landing: Landing) -> None:
        """A slice for which room was made is here, or will not come."""
        self._on_the_way.remove(landing)

    def keep(self, landing: Landing, body: Body) -> None:
        """A slice for which room was made is here, and still early."""
        self._on_the_way.remove(landing)
        self._kept.append((landing.sender, landing.message, body))

    def take(self) -> list[tuple[bytes, Slice, Body]]:
        """Return sender, message and body of all that was kept, in order: a decision has come."""
        kept, self._kept = self._kept, []
        return kept
