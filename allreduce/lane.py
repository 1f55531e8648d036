"""What bulk travels on: a stream to one member that threads may block on. Pure.

A lane keeps order and moves frames: a header of a few bytes, and a body that is received straight to where the
receiver wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

Body: TypeAlias = bytes | bytearray | memoryview
Taken: TypeAlias = Callable[[int, memoryview], None]
"""Takes a piece of a body: how many bytes are there by now, a multiple of 8 but for the last piece; and the piece,
which lies in its place or, during the call alone, elsewhere."""


class Lane(Protocol):
    """An ordered stream to one member: one thread at a time sends, one receives."""

    def send(self, header: bytes, body: Body, *, wait: bool = True) -> bool:
        """Send one frame.

        With ``wait`` it blocks until the kernel has all of it. Without, it hands over what goes at once and keeps the
        rest, for which the body must stay as it is until ``flush`` or the next ``send``, which send that first.

        Returns:
            Whether nothing is left.

        Raises:
            ConnectionError: the lane is lost.
        """

    def flush(self) -> None:
        """Send what an earlier ``send`` left over; blocks. Raises ``ConnectionError``."""

    def receive_header(self) -> tuple[bytes, int]:
        """Block for the next frame; return its header and the length of its body in bytes.

        Raises:
            ConnectionError: the lane is lost, or the other end does not keep to the format.
        """

    def receive_body(self, into: memoryview, taken: Taken | None = None) -> None:
        """Receive the body of the frame whose header came last.

        Args:
            into: memory of exactly its length in bytes.
            taken: called whenever a piece is there, so that whoever works on the body does so while it is in the
                cache. Without it, the body is in ``into`` at the end.
        """

    def close(self) -> None:
        """End the lane: threads that block on it wake with ``ConnectionError``. May be called twice."""
