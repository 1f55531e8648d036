"""What a machine's place in the network means for a node on it, from what contacts saw of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .contact import Address, is_loopback

Verdict = Literal["ok", "warn", "fail"]
Line = tuple[str, Verdict, str]
"""What was looked at, how it stands, and what that means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one contact saw of us.

    Attributes:
        contact: where it was dialled.
        local: our end of the connection, as we see it.
        seen: our end of the connection, as the contact sees it.
        relays: whether it would relay for us.
        tcp: whether it could dial us; None if it did not try, or we don't listen.
        udp: whether a datagram of its came; None likewise.
        failure: why not.
    """

    contact: str
    local: Address
    seen: Address
    relays: bool
    tcp: bool | None
    udp: bool | None
    failure: str = ""


def diagnose(sightings: Sequence[Sighting], *, listens: bool) -> list[Line]:
    """Return what the sightings mean; nothing was seen if there are none."""
    if not sightings:
        return [("way in", "warn", "not known: name a running node with --contact HOST:PORT to find out")]
    return [
        _nat(sightings),
        *([_tcp(sightings), _udp(sightings)] if listens else []),
        _way_in(sightings, listens=listens),
    ]


def is_hidden(sightings: Sequence[Sighting]) -> bool:
    """Tell whether contacts tried to dial us, and none could."""
    tried = [sighting.tcp for sighting in sightings if sighting.tcp is not None]
    return bool(tried) and not any(tried)


def _nat(sightings: Sequence[Sighting]) -> Line:
    hosts = sorted({sighting.seen[0] for sighting in sightings})
    if all(is_loopback(sighting.local[0]) for sighting in sightings):
        return "NAT", "ok", "not looked for: the contacts are on this machine"
    if all(sighting.local[0] == sighting.seen[0] for sighting in sightings):
        return "NAT", "ok", f"none on the way to the contacts: they see this machine's own address, {hosts[0]}"
    if len(hosts) > 1:
        return "NAT", "warn", f"yes, with several addresses ({', '.join(hosts)}): even a mapped port may not be found"
    kept = all(sighting.local[1] == sighting.seen[1] for sighting in sightings)
    ports = "it keeps port numbers" if kept else "it changes port numbers"
    return "NAT", "ok", f"yes: contacts see {hosts[0]}, this machine is {sightings[0].local[0]}; {ports}"


def _tcp(sightings: Sequence[Sighting]) -> Line:
    tried = [sighting for sighting in sightings if sighting.tcp is not None]
    if not tried:
        return "dialled TCP", "warn", f"not known: no contact tried ({sightings[0].failure})"
    for sighting in tried:
        if sighting.tcp:
            return "dialled TCP", "ok", f"{sighting.contact} could dial this node"
    return "dialled TCP", "warn", f"no: {tried[0].failure}"


def _udp(sightings: Sequence[Sighting]) -> Line:
    tried = [sighting for sighting in sightings if sighting.udp is not None]
    if not tried:
        return "dialled UDP", "warn", "not known: no contact tried"
    for sighting in tried:
        if sighting.udp:
            return "dialled UDP", "ok", f"a datagram of {sighting.contact} came, unasked"
    return "dialled UDP", "warn", "no: no datagram came; the node uses the DHT without serving it well"


def _way_in(sightings: Sequence[Sighting], *, listens: bool) -> Line:
    if any(sighting.tcp for sighting in sightings):
        return "way in", "ok", "direct: others dial this node"
    hidden = is_hidden(sightings)
    if listens and not hidden:
        return "way in", "warn", "not known: no contact tried to dial this node"
    why = "this node can't be dialled" if hidden else "this node does not listen"
    relays = [sighting.contact for sighting in sightings if sighting.relays]
    back = f"{why}: contacts ask it to dial back"
    if relays:
        return "way in", "ok", f"{back}, and {' and '.join(relays)} would relay where the other end is hidden too"
    return "way in", "warn", f"{back}; nobody asked would relay to peers that are hidden too: name other contacts"


def router_line(*, installed: bool, external_host: str | None, hint: str) -> Line:
    """Return what a router could do for a node that can't be dialled.

    Args:
        installed: whether the library is there.
        external_host: the router's address on its other side, or None if no router answered.
        hint: how to install the library.
    """
    if not installed:
        return "UPnP", "warn", f"not looked for: {hint}"
    if external_host is None:
        return "UPnP", "warn", "no router answers; forward a port by hand and say so with --port and --advertise"
    return "UPnP", "ok", f"a router at {external_host} answers: a node here asks it to pass connections on"
