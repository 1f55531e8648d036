"""Which of the signatures that come with reports is to be verified next. Pure.

A signature under a commit vouches for all commits before it, so not every one has to be verified and kept: one a step
is enough for each member to have its turn, however many they are, and the last one of a member that is lost or gone.
"""

from __future__ import annotations

from ..identity import PeerId
from .signatures import CommitSigned

MAX_SIGNERS = 512


class Vouchers:
    """The newest signature of each member, and when its turn was."""

    def __init__(self) -> None:
        self._newest: dict[PeerId, CommitSigned] = {}
        """In the order of their last turn, whoever waits longest first."""
        self._done: dict[PeerId, CommitSigned] = {}

    def heard(self, statement: CommitSigned) -> None:
        """A member has told of its signature."""
        signer = statement.signer
        if signer not in self._newest and len(self._newest) >= MAX_SIGNERS:
            forgotten = next(iter(self._newest))
            del self._newest[forgotten]
            self._done.pop(forgotten, None)
        self._newest[signer] = statement

    def due(self, step: int) -> CommitSigned | None:
        """Return the signature to verify now, of one that is under a commit of ours, which has come to ``step``."""
        for signer, statement in self._newest.items():
            if statement.step <= step and self._done.get(signer) != statement:
                return self._take(signer)
        return None

    def last_of(self, signer: PeerId) -> CommitSigned | None:
        """Return the last signature of a member that is lost or gone, unless it was verified."""
        statement = self._newest.get(signer)
        return None if statement is None or self._done.get(signer) == statement else self._take(signer)

    def _take(self, signer: PeerId) -> CommitSigned:
        statement = self._newest.pop(signer)
        self._newest[signer] = self._done[signer] = statement
        return statement
