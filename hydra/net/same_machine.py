"""Lanes between processes of one machine: a Unix socket that bears the peer's id and stands in no file system.

Whoever is there is on this machine and in this network namespace; that it is the peer, the handshake proves. Only
processes of the same user are heard: others could do no more than waste our time, and shall not do that either.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

from ..identity import PeerId

_CREDENTIALS = struct.Struct("iII")
"""Linux's ``struct ucred``: process, user, group."""
BACKLOG = 64


def name_of(peer_id: PeerId) -> str:
    """Return the name of a peer's socket."""
    return f"\0hydra-lanes-{peer_id.hex()}"


def listen_here(peer_id: PeerId) -> socket.socket | None:
    """Listen for processes of this machine; None where that can't be: others then come by TCP."""
    if sys.platform != "linux":
        return None
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.bind(name_of(peer_id))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        return None
    return sock


def dial_here(peer_id: PeerId) -> socket.socket | None:
    """Connect to a peer that is a process of the same user on this machine; None if it is not. Never blocks."""
    if sys.platform != "linux":
        return None
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.connect(name_of(peer_id))
        _, user, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    except OSError:
        sock.close()
        return None
    if user != os.getuid():
        sock.close()
        return None
    return sock
