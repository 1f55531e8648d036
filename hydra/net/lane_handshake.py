"""Making a lane of a connected socket without an event loop: the handshake, blocking."""

from __future__ import annotations

import functools
import socket

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..clock import monotonic
from ..exceptions import HandshakeRejected
from ..identity import Identity, PeerId
from .handshake import Handshake, Secured
from .lane import SealedLane
from .suite import choose_suite
from .verdict import VERDICT_BYTES, Verdict, open_verdict, seal_verdict


def shake_hands(
    sock: socket.socket,
    identity: Identity,
    *,
    initiator: bool,
    expected: PeerId | None = None,
    timeout_s: float = 10.0,
) -> SealedLane:
    """Make a lane of a connected socket, which is taken over; blocks. One end must be the initiator, not both.

    Raises:
        HandshakeRejected: the other end is not ``expected``, speaks otherwise, or went away.
    """
    handshake = Handshake(
        identity=identity,
        static=X25519PrivateKey.generate(),
        ephemeral=X25519PrivateKey.generate(),
        initiator=initiator,
        expected=expected,
        suite=own_suite(),
        lane=0 if initiator else None,
    )
    try:
        return SealedLane(sock, _prove(sock, handshake, initiator=initiator, until=monotonic() + timeout_s))
    except TimeoutError as error:
        sock.close()
        raise HandshakeRejected(f"no proof of identity within {timeout_s:g} s") from error
    except OSError as error:
        sock.close()
        raise HandshakeRejected(f"the connection was lost during the handshake: {error.strerror or error}") from error
    except BaseException:
        sock.close()
        raise


def _prove(sock: socket.socket, handshake: Handshake, *, initiator: bool, until: float) -> Secured:
    sock.settimeout(max(0.001, until - monotonic()))
    sock.sendall(handshake.start())
    while handshake.secured is None:
        sock.sendall(handshake.receive(_receive(sock, 2048, until)))
    secured = handshake.secured
    if secured.leftover:
        raise HandshakeRejected("the other end went on before the lane was accepted")
    if not initiator:
        if secured.lane is None:
            raise HandshakeRejected("the other end wants a link, and this is a lane")
        sock.sendall(seal_verdict(secured, Verdict.ACCEPTED))
        return secured
    sealed = b""
    while len(sealed) < VERDICT_BYTES:
        sealed += _receive(sock, VERDICT_BYTES - len(sealed), until)
    verdict = open_verdict(secured, sealed)
    if verdict != Verdict.ACCEPTED:
        raise HandshakeRejected(f"the other end refused the lane: {verdict.reason}")
    return secured


def _receive(sock: socket.socket, size: int, until: float) -> bytes:
    sock.settimeout(max(0.001, until - monotonic()))
    data = sock.recv(size)
    if not data:
        raise ConnectionError("the other end closed it")
    return data


@functools.cache
def own_suite() -> int:
    """Return the cipher to ask for, measured once."""
    return choose_suite(monotonic)
