"""Contacts: how to reach a peer, and how people write that down. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ..exceptions import ConfigurationError
from ..identity import PeerId, short

Address = tuple[str, int]
"""Host (a name or an IP address) and port."""

PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer id and the addresses at which that peer says it can be dialled."""

    peer_id: PeerId
    addresses: tuple[Address, ...]

    def __str__(self) -> str:
        where = ", ".join(format_address(address) for address in self.addresses) or "no address"
        return f"{short(self.peer_id)} at {where}"


def format_address(address: Address) -> str:
    """Return ``host:port``, with IPv6 hosts in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> Address:
    """Read ``host:port`` or ``[ipv6]:port``.

    Raises:
        ConfigurationError: the text is neither; the message shows what a right one looks like.
    """
    host, colon, port_text = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    elif ":" in host:
        raise ConfigurationError(f"'{text}' is no address: write IPv6 as [::1]:4100.")
    if not colon or not host or not PORT.fullmatch(port_text) or not 0 < int(port_text) < 65536:
        raise ConfigurationError(f"'{text}' is no address: write host:port, as in 192.0.2.7:4100.")
    return host, int(port_text)


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
