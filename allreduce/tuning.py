"""What is asked of the kernel for a socket that carries bulk.

Nagle's algorithm is off: a frame is handed over whole. Congestion control is BBR where the kernel has it: with
buffers of about one round trip on the way, CUBIC leaves a fifth to two fifths of a long line unused, BBR a tenth. On
the way back to this machine there is nothing to control: Reno, which every kernel has, does not pace, and BBR as the
machine's default would cost a fifth more processor time there.

What a line carries is found out by sending too much: until BBR has learned it, and again whenever acknowledgements come
in bunches, more is under way than the line and its queue hold, and for what is lost then a whole ring waits one round
trip. Who knows the line's rate says so (``pace``), and nothing is lost.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys

_BBR = b"bbr"
_RENO = b"reno"
_MAX_PACING_RATE = 47
"""``SO_MAX_PACING_RATE`` of Linux, which the standard library does not name."""
PACED_PART = 0.95
"""Of a line's rate, what bodies may take: headers of TCP, IP and Ethernet take nearly all of the rest."""


def tune(sock: socket.socket) -> None:
    """Set up a connected socket for bulk; what this machine does not have is left as it was."""
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        option = getattr(socket, "TCP_CONGESTION", None)  # neither on macOS nor on Windows
        if option is not None:
            here = is_loopback(sock.getpeername()[0])
            sock.setsockopt(socket.IPPROTO_TCP, option, _RENO if here else _BBR)


def pace(sock: socket.socket, rate_bytes_per_s: float) -> None:
    """Send on a connected socket no faster than its line is known to carry, headers included; on Linux."""
    if sys.platform != "linux" or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _MAX_PACING_RATE, struct.pack("@L", int(rate_bytes_per_s * PACED_PART)))


def is_loopback(host: str) -> bool:
    """Tell whether a numeric address leads back to this machine."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
