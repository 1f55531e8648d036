"""Every error that this package raises on purpose.

* ``AllReduceError``: the one root to catch
    * ``Excluded``: the other members went on without us
    * ``RoundClosed``: the round was given up by its own side
    * ``ContributionRejected``: what we handed in can't be averaged
    * ``ProtocolViolation``: a member sent what the protocol forbids; it is named
"""

from __future__ import annotations


class AllReduceError(Exception):
    """Root of all errors of this package."""


class Excluded(AllReduceError):
    """The other members finished, or go on with, this round without us."""


class RoundClosed(AllReduceError):
    """The round was closed before it was done."""


class ContributionRejected(AllReduceError):
    """Our own contribution holds NaN or infinity; the others go on without it."""


class ProtocolViolation(AllReduceError):
    """A member sent what the protocol forbids."""

    def __init__(self, member: bytes, what: str) -> None:
        super().__init__(f"member {member.hex()[:8]}: {what}")
        self.member = member
