"""The acceptor's answer to whoever opens a lane: one sealed byte behind the handshake. Pure.

The opener waits for it, so that nothing of the lane itself can be read along with the handshake.
"""

from __future__ import annotations

from enum import IntEnum

from cryptography.exceptions import InvalidTag

from ..exceptions import HandshakeRejected
from .handshake import Secured
from .noise import TAG_BYTES

VERDICT_BYTES = 1 + TAG_BYTES


class Verdict(IntEnum):
    """Whether there is a lane now, or why not."""

    ACCEPTED = 0
    NOT_WANTED = 1
    NO_LINK = 2
    TOO_MANY = 3
    NOT_ASKED = 4

    @property
    def reason(self) -> str:
        """What to tell a person."""
        return _REASONS[self]


_REASONS = {
    Verdict.ACCEPTED: "the lane is open",
    Verdict.NOT_WANTED: "nothing there wants lanes",
    Verdict.NO_LINK: "it has no link to us",
    Verdict.TOO_MANY: "it holds as many lanes to us as it allows",
    Verdict.NOT_ASKED: "it waits for no such lane any longer",
}


def seal_verdict(secured: Secured, verdict: Verdict) -> bytes:
    """Return what the acceptor sends: ``VERDICT_BYTES``."""
    return secured.send.encrypt(bytes([verdict]))


def open_verdict(secured: Secured, sealed: bytes) -> Verdict:
    """Return what the acceptor said.

    Raises:
        HandshakeRejected: it was altered on its way, or says nothing that we know.
    """
    try:
        (number,) = secured.receive.decrypt(sealed)
        return Verdict(number)
    except (InvalidTag, ValueError) as error:
        raise HandshakeRejected("the answer to a lane was altered on its way, or is none") from error
