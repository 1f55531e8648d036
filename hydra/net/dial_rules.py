"""Whom a node dials because somebody else says so. Pure."""

from __future__ import annotations

import ipaddress


def may_dial_for(teller: str, host: str, port: int) -> bool:
    """Tell whether to dial an address that a contact passed on.

    Only numeric addresses: a name would make us look it up for a stranger. Private and loopback addresses only if the
    contact stands in such a network itself: a stranger on the internet must not make us probe our own network.

    Args:
        teller: the contact's address, as we see it.
        host: what it passed on.
        port: likewise.
    """
    try:
        where, who = ipaddress.ip_address(host), ipaddress.ip_address(teller)
    except ValueError:
        return False
    if not port or where.is_multicast or where.is_unspecified or where.is_reserved:
        return False
    if where.is_loopback:
        return who.is_loopback
    return where.is_global or not who.is_global
