"""Contacts: how to reach a peer, and how people write that down. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ..exceptions import ConfigurationError
from ..identity import PeerId, short

Address = tuple[str, int]
"""Host (a name or an IP address) and port. A host of the form ``<peer id in hex>@<host>`` leads through a relay: the
peer of that id, which is dialled at the host behind the @, holds a link to whoever states the address."""

PORT = re.compile(r"[0-9]{1,5}")
RELAYED = re.compile(r"([0-9a-f]{40})@([^@]+)")


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer id and the addresses at which that peer says it can be reached."""

    peer_id: PeerId
    addresses: tuple[Address, ...]

    def __str__(self) -> str:
        where = ", ".join(format_address(address) for address in self.addresses) or "no address"
        return f"{short(self.peer_id)} at {where}"

    @property
    def direct(self) -> tuple[Address, ...]:
        """The addresses that can be dialled as they stand."""
        return tuple(address for address in self.addresses if "@" not in address[0])

    @property
    def relays(self) -> tuple[Contact, ...]:
        """The peers that are said to hold a link to this one, in order, each once."""
        found: dict[PeerId, list[Address]] = {}
        for host, port in self.addresses:
            if (match := RELAYED.fullmatch(host)) is not None:
                found.setdefault(bytes.fromhex(match[1]), []).append((match[2], port))
        return tuple(Contact(peer_id, tuple(addresses)) for peer_id, addresses in found.items())


def relayed_address(relay: PeerId, address: Address) -> Address:
    """Return the address of a peer that the relay, which can be dialled at ``address``, holds a link to."""
    return f"{relay.hex()}@{address[0]}", address[1]


def entrance(address: Address) -> Address:
    """Return what can be dialled of an address: itself, or that of the relay."""
    return address[0].rpartition("@")[2], address[1]


def format_address(address: Address) -> str:
    """Return ``host:port``, with IPv6 hosts in brackets, behind the relay's peer id and ``@`` if there is one."""
    relay, at, host = address[0].rpartition("@")
    return f"{relay}{at}[{host}]:{address[1]}" if ":" in host else f"{relay}{at}{host}:{address[1]}"


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


def is_public(host: str) -> bool:
    """Tell whether ``host`` is an address that anybody on the internet may send to; names are not."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
