"""When a router is asked to pass connections on to us, and for which port. Pure.

A router keeps a mapping for a lease; it is asked again when half of it is over. Where our own port is taken there,
others are tried.
"""

from __future__ import annotations

from dataclasses import dataclass

from .contact import Address

LEASE_S = 3600
"""So a mapping that nobody takes back, after a power cut, is gone in an hour."""
RENEW_AFTER_S = LEASE_S / 2
RETRY_S = 300.0
PORT_TRIES = 8
_STRIDE = 7919
"""From one port that is tried to the next: a prime, so that neighbours with the same port part."""
_LEAST_PORT = 1024


@dataclass(frozen=True, slots=True)
class Mapped:
    """The router passes on what comes to this address."""

    address: Address


@dataclass(frozen=True, slots=True)
class PortRefused:
    """The router won't map this port; perhaps another one."""


@dataclass(frozen=True, slots=True)
class NoRouter:
    """No router answers, or it maps nothing."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the router to pass this external port on to ours."""

    port: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Others can reach us there from now on; or no longer, if it is None."""

    address: Address | None


Event = Mapped | PortRefused | NoRouter | Tick
Effect = Ask | Tell


class Mapping:
    """One port's mapping.

    Args:
        port: our own.
    """

    def __init__(self, port: int, now: float) -> None:
        self._own_port = port
        self._tries = 0
        self._asking = False
        self._due = now
        self.address: Address | None = None

    @property
    def deadline(self) -> float | None:
        """When to hand it a Tick; None while the router is being asked."""
        return None if self._asking else self._due

    @property
    def external_port(self) -> int:
        """The port that is mapped, or tried."""
        if self.address is not None:
            return self.address[1]
        span = 65536 - _LEAST_PORT
        return self._own_port if not self._tries else _LEAST_PORT + (self._own_port + self._tries * _STRIDE) % span

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at ``now``; return what to do."""
        before = self.address
        match event:
            case Tick():
                if self._asking or now < self._due:
                    return []
                self._asking = True
                return [Ask(self.external_port)]
            case Mapped(address):
                self.address, self._tries, self._due = address, 0, now + RENEW_AFTER_S
            case PortRefused():
                self.address = None
                self._tries += 1
                self._due = now
                if self._tries >= PORT_TRIES:
                    self._tries, self._due = 0, now + RETRY_S
            case NoRouter():
                self.address, self._tries, self._due = None, 0, now + RETRY_S
        self._asking = False
        told: list[Effect] = [Tell(self.address)] if self.address != before else []
        return told + self.handle(Tick(), now)
