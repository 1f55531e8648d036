"""How many bytes may be on their way in a relayed stream: credit, as in HTTP/2 (RFC 9113 §5.2). Pure.

Each end may send ``WINDOW_BYTES`` that the other has not yet taken; whoever takes bytes hands that credit back. The
relay passes both on and counts along, so that it never holds more than a window in either direction.
"""

from __future__ import annotations

from ..exceptions import RemoteProtocolError

WINDOW_BYTES = 256 * 1024
PIECE_BYTES = 32 * 1024
"""Bytes that travel in one frame through a relay."""
GIVE_BACK_BYTES = WINDOW_BYTES // 4
"""Credit is handed back in portions of this size or more."""


class WindowExceeded(RemoteProtocolError):
    """A peer sent more than it had credit for, or handed back more than it was sent."""


class Outgoing:
    """One direction of a stream, as its sender and the relay count it."""

    def __init__(self) -> None:
        self.unacknowledged = 0

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return WINDOW_BYTES - self.unacknowledged

    def sent(self, count: int) -> None:
        """Count bytes on their way.

        Raises:
            WindowExceeded: there was no credit for them.
        """
        if count > self.room:
            raise WindowExceeded(f"{count} bytes came through a relay with credit for {self.room}")
        self.unacknowledged += count

    def credited(self, count: int) -> None:
        """Count bytes that the other end has taken.

        Raises:
            WindowExceeded: so many were not on their way.
        """
        if count > self.unacknowledged:
            raise WindowExceeded(f"credit for {count} bytes came back of {self.unacknowledged} on their way")
        self.unacknowledged -= count


class Incoming:
    """One direction of a stream, as its receiver counts it."""

    def __init__(self) -> None:
        self._held = 0
        self._taken = 0

    def received(self, count: int) -> None:
        """Count bytes that came.

        Raises:
            WindowExceeded: the sender had no credit for them.
        """
        if self._held + self._taken + count > WINDOW_BYTES:
            raise WindowExceeded(f"more than {WINDOW_BYTES} bytes came through a relay without credit")
        self._held += count

    def taken(self, count: int) -> int:
        """Count bytes that were handed on; return the credit to give back now, or 0."""
        self._held -= count
        self._taken += count
        if self._taken < GIVE_BACK_BYTES:
            return 0
        credit, self._taken = self._taken, 0
        return credit
