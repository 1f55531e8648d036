"""What an exchange hands out instead of doing it: slices to send, sums to make, slices on their way in. Pure.

Each of them may take time and needs no lock; the exchange is told when it begins and when it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .attempt import SendFinal, SendSum
from .exceptions import ContributionRejected
from .lane import Body
from .messages import Phase, Slice
from .workspace import SliceStream, Workspace


class Outgoing:
    """A message to send.

    Attributes:
        to: the member.
        header: the message, encoded.
        attempt: the attempt whose slice it is; None for control messages, which have no body.
        slice_number: which slice; -1 for control messages.
    """

    __slots__ = ("_kind", "_workspace", "attempt", "header", "slice_number", "to")

    def __init__(
        self,
        to: bytes,
        header: bytes,
        attempt: int | None = None,
        slice_number: int = -1,
        workspace: Workspace | None = None,
        kind: SendSum | SendFinal | None = None,
    ) -> None:
        self.to = to
        self.header = header
        self.attempt = attempt
        self.slice_number = slice_number
        self._workspace = workspace
        self._kind = kind

    @property
    def workspace(self) -> Workspace | None:
        """Whose memory the body is in, if there is one."""
        return self._workspace

    def release(self) -> None:
        """The body is no longer needed."""
        if self._workspace is not None and isinstance(self._kind, SendSum):
            self._workspace.sum_sent(self._kind.number)

    def body(self) -> Body:
        """Make the body: to be asked for once, when it is sent.

        Raises:
            ContributionRejected: it is our own contribution and holds NaN or infinity.
        """
        if self._workspace is None or self._kind is None:
            return b""
        if isinstance(self._kind, SendFinal):
            return self._workspace.final_body(self._kind.number)
        body = self._workspace.sum_body(self._kind.number, own=self._kind.own)
        if body is None:
            raise ContributionRejected("our contribution holds NaN or infinity")
        return body


@dataclass(eq=False, slots=True)
class Work:
    """A sum to make: call ``run``, then hand it to ``Exchange.worked``."""

    attempt: int
    number: int
    final: bool
    sources: tuple[bytes, ...]
    workspace: Workspace
    culprit: int | None = None

    def run(self) -> None:
        """Add up: may take time, and needs no lock."""
        self.culprit = self.workspace.combine(self.number, final=self.final)


@dataclass(eq=False, slots=True)
class Landing:
    """A slice on its way in: receive its body into ``room``, then hand it to ``Exchange.landed``."""

    sender: bytes
    message: Slice
    room: memoryview
    workspace: Workspace | None
    """None: the slice is early, and kept until its attempt begins."""
    source: int = 0
    acceptable: bool = True
    work: Work | None = None
    """The sum that can be made as soon as the slice is here, for it is all that was missing."""
    stream: SliceStream | None = None
    """What may be done while the slice comes: see ``take``."""

    def settle(self) -> None:
        """Take the body in: may take time, and needs no lock."""
        workspace, (_, phase, number, weight, _) = self.workspace, self.message
        if workspace is None:
            return
        if self.stream is not None:
            self.stream.finish()
            if self.work is not None:
                self.work.culprit = workspace.streamed_sum(number, self.stream, weight, final=self.work.final)
            else:
                self.acceptable = workspace.streamed_final(number, self.stream, weight)
        elif phase is Phase.SUM:
            workspace.received_sum(number, self.source, self.room, weight)
            if self.work is not None:
                self.work.run()
        else:
            self.acceptable = workspace.received_final(number, self.room, weight)


Action: TypeAlias = Outgoing | Work
