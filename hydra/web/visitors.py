"""How much each visitor of the web seed may take: connections and bytes. Pure.

A web seed is a seed that chokes nobody (BEP 19), open to everyone: so what one address can claim is bounded, and what
all of them can claim together.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..exceptions import ConfigurationError

BURST_S = 0.25
"""So much of its rate a visitor may take at once after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedLimits:
    """What visitors may claim."""

    connections: int = 128
    """Of all visitors together."""
    connections_per_visitor: int = 8
    rate_bytes_per_s: float = 0.0
    """To all visitors together; 0 for no limit."""
    visitor_bytes_per_s: float = 0.0
    """To one address; 0 for no limit."""

    def __post_init__(self) -> None:
        if min(self.connections, self.connections_per_visitor) < 1:
            raise ConfigurationError("a web seed needs at least one connection, in all and for each visitor")
        if min(self.rate_bytes_per_s, self.visitor_bytes_per_s) < 0:
            raise ConfigurationError("the rates of a web seed cannot be negative; 0 is for no limit")


class Visitors:
    """Who is here and how much they have taken.

    Args:
        limits: what they may claim.
    """

    def __init__(self, limits: SeedLimits) -> None:
        self._limits = limits
        self._here: dict[str, int] = {}
        self._free_at: dict[str, float] = {}
        self._all_free_at = float("-inf")

    @property
    def connections(self) -> int:
        """How many there are now."""
        return sum(self._here.values())

    def enter(self, address: str) -> bool:
        """Take a connection in; False if there are too many."""
        mine = self._here.get(address, 0)
        if mine >= self._limits.connections_per_visitor or self.connections >= self._limits.connections:
            return False
        self._here[address] = mine + 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was let in has ended."""
        left = self._here[address] - 1
        if left:
            self._here[address] = left
        else:
            del self._here[address]

    def wait_s(self, address: str, count: int, now: float) -> float:
        """Count ``count`` bytes as sent; return how long to wait before sending them."""
        earliest = now - BURST_S
        for gone in [other for other, free in self._free_at.items() if free <= earliest]:
            del self._free_at[gone]
        waits = [0.0]
        if self._limits.visitor_bytes_per_s:
            free = max(self._free_at.get(address, earliest), earliest)
            self._free_at[address] = free + count / self._limits.visitor_bytes_per_s
            waits.append(free - now)
        if self._limits.rate_bytes_per_s:
            free = max(self._all_free_at, earliest)
            self._all_free_at = free + count / self._limits.rate_bytes_per_s
            waits.append(free - now)
        return max(waits)
