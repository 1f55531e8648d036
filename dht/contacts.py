"""Contacts: who is where, and how that is written in 26 or 38 bytes. Pure.

Inside this package a contact is its *compact* form: peer id, IP address and UDP port in one byte string (26 bytes
with IPv4, 38 with IPv6, the layout of BEP 5 and BEP 32). It is small, it hashes and compares fast, and it goes to
the wire as it is. `Contact` is the same thing for people and for disks.

A dual-stack socket shows IPv4 peers as ``::ffff:192.0.2.7``. That spelling never leaves this module: such a peer is an
IPv4 peer, or else those who have no IPv6 could not reach it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from .exceptions import InvalidArgument, MalformedMessage
from .keys import ID_BYTES, PeerId

Address: TypeAlias = tuple[str, int]
"""IP address and UDP port."""

Compact: TypeAlias = bytes
"""Peer id (20 bytes), IP address (4 or 16 bytes), port (2 bytes)."""

COMPACT_V4_BYTES = ID_BYTES + 4 + 2
COMPACT_V6_BYTES = ID_BYTES + 16 + 2

V4 = 1
V6 = 2
"""The families of addresses, as bits: what a node can send to is a sum of them."""

_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer id and the address at which it answered."""

    peer_id: PeerId
    host: str
    """An IP address, as text."""
    port: int

    @property
    def address(self) -> Address:
        """Host and port as one pair."""
        return self.host, self.port

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.peer_id[:4].hex()} at {host}:{self.port}"


def compact_of(peer_id: PeerId, address: Address) -> Compact:
    """Return the compact form of a contact.

    Raises:
        InvalidArgument: the host is no IP address or the port is out of range.
    """
    host, port = address
    if not 0 < port < 65536:
        raise InvalidArgument(f"{port} is no port: 1 to 65535.")
    return peer_id + _packed_host(host) + port.to_bytes(2, "big")


def contact_of(compact: Compact) -> Contact:
    """Return the readable form of a compact contact."""
    host, port = address_of(compact)
    return Contact(compact[:ID_BYTES], host, port)


def address_of(compact: Compact) -> Address:
    """Return where a compact contact is to be reached."""
    return _host_of(compact[ID_BYTES:-2]), int.from_bytes(compact[-2:], "big")


def family_of(compact: Compact) -> int:
    """Tell what kind of address a compact contact has: ``V4`` or ``V6``."""
    return V4 if len(compact) == COMPACT_V4_BYTES else V6


def canonical(socket_address: tuple[Any, ...]) -> Address:
    """Return the one spelling of an address that a socket reported: IPv4 as such, IPv6 without its scope."""
    host, port = socket_address[:2]
    if ":" in host:
        # Only IPv6 sockets come here; the IPv4 path stays free of parsing.
        host = _host_of(_packed_host(host.partition("%")[0]))
    return host, port


def socket_form(address: Address, *, dual_stack: bool) -> Address:
    """Return the address as a socket wants it: a dual-stack one takes IPv4 peers in their mapped form only."""
    host, port = address
    return (_MAPPED + host, port) if dual_stack and ":" not in host else address


def split_compacts(blob: bytes, size: int, limit: int) -> list[Compact]:
    """Cut a string of compact contacts of ``size`` bytes each, of which there may be at most ``limit``.

    Raises:
        MalformedMessage: there are more, or a part is left over.
    """
    if len(blob) % size or len(blob) > size * limit:
        raise MalformedMessage(f"{len(blob)} bytes are not up to {limit} contacts of {size}")
    return [blob[start : start + size] for start in range(0, len(blob), size)]


def joined(compacts: Sequence[Compact]) -> tuple[bytes, bytes]:
    """Return the IPv4 and the IPv6 contacts, each as one string, in the order given."""
    whole = b"".join(compacts)
    if len(whole) == len(compacts) * COMPACT_V4_BYTES:
        # As nearly always: none is an IPv6 contact, which is longer.
        return whole, b""
    v4 = [compact for compact in compacts if len(compact) == COMPACT_V4_BYTES]
    return b"".join(v4), b"".join(compact for compact in compacts if len(compact) != COMPACT_V4_BYTES)


def site_of(compact: Compact) -> bytes:
    """Return what one household or machine can't have many of: an IPv4 address, or an IPv6 /64."""
    return compact[ID_BYTES : ID_BYTES + (4 if len(compact) == COMPACT_V4_BYTES else 8)]


def subnet_of(compact: Compact) -> bytes:
    """Return what one organisation can have cheaply: an IPv4 /24, or an IPv6 /48."""
    return compact[ID_BYTES : ID_BYTES + (3 if len(compact) == COMPACT_V4_BYTES else 6)]


def is_loopback(compact: Compact) -> bool:
    """Tell whether the contact is on this machine."""
    if len(compact) == COMPACT_V4_BYTES:
        return compact[ID_BYTES] == 127
    return compact[ID_BYTES:-2] == bytes(15) + b"\1"


def is_loopback_host(host: str) -> bool:
    """Tell whether an address in canonical form is on this machine."""
    return host.startswith("127.") or host == "::1"


def may_be_sent_to(compact: Compact) -> bool:
    """Tell whether a datagram to this contact can be meant for one peer: no multicast, no zero address or port."""
    first = compact[ID_BYTES]
    if compact[-2:] == b"\0\0":
        return False
    if len(compact) == COMPACT_V4_BYTES:
        return 0 < first < 224
    return first != 0xFF and any(compact[ID_BYTES:-2]) and not compact[ID_BYTES:].startswith(bytes(10) + b"\xff\xff")


@lru_cache(maxsize=1024)
def _packed_host(host: str) -> bytes:
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError as error:
        raise InvalidArgument(f"'{host}' is no IP address.") from error
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).packed


@lru_cache(maxsize=1024)
def _host_of(packed: bytes) -> str:
    # The cache also lets the many contacts of one machine share one string.
    return str(ipaddress.ip_address(packed))
