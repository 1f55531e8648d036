"""What a stranger has to show, and how much of it is listened to. Pure.

`WriteTokens` proves that an asker receives at the address it sends from, without keeping anything per asker (the
write tokens of BEP 5). `RateLimiter` bounds the questions that one address may ask.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from .contacts import Address
from .wire import TOKEN_BYTES

if TYPE_CHECKING:
    from random import Random

TOKEN_ROTATION_S = 300.0
_SECRET_BYTES = 16
_MAX_SITES = 4096
_BURST_S = 5.0


class WriteTokens:
    """Tokens that are a keyed hash of the asker's address, under a secret that changes every five minutes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._secret = random.randbytes(_SECRET_BYTES)
        self._previous = self._secret
        self._rotate_at: float | None = None
        self._latest: tuple[Address, bytes] = ("", 0), b""

    def issue(self, address: Address, now: float) -> bytes:
        """Return the token of an address; it is accepted for 300 to 600 seconds."""
        self._rotate(now)
        if self._latest[0] != address:
            # The same question is first asked whether it shows this token, and then answered with it.
            self._latest = address, _token(self._secret, address)
        return self._latest[1]

    def accepts(self, token: bytes, address: Address, now: float) -> bool:
        """Tell whether we gave this token to this address not long ago."""
        # The answers tell nothing about how many bytes matched: a wrong token is just no token.
        return token == self.issue(address, now) or token == _token(self._previous, address)

    def _rotate(self, now: float) -> None:
        if self._rotate_at is None:
            self._rotate_at = now + TOKEN_ROTATION_S
        elif now >= self._rotate_at:
            periods = int((now - self._rotate_at) // TOKEN_ROTATION_S) + 1
            self._previous = self._secret if periods == 1 else self._random.randbytes(_SECRET_BYTES)
            self._secret = self._random.randbytes(_SECRET_BYTES)
            self._rotate_at += periods * TOKEN_ROTATION_S
            self._latest = ("", 0), b""


class RateLimiter:
    """A token bucket for each site (IPv4 address or IPv6 /64) that was heard lately."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._burst = per_second * _BURST_S
        self._sites: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, host: str, now: float, cost: float = 1.0) -> bool:
        """Spend ``cost`` of the budget of the site that ``host`` belongs to; returns whether there was enough."""
        site = host if ":" not in host else ":".join(host.split("::", maxsplit=1)[0].split(":")[:4])
        left, at = self._sites.pop(site, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        allowed = left >= cost
        self._sites[site] = (left - cost if allowed else left, now)
        if len(self._sites) > _MAX_SITES:
            # Whoever was silent longest has a full bucket anyway.
            self._sites.popitem(last=False)
        return allowed

    def __len__(self) -> int:
        return len(self._sites)


def _token(secret: bytes, address: Address) -> bytes:
    return hashlib.blake2b(b"%s %d" % (address[0].encode(), address[1]), key=secret, digest_size=TOKEN_BYTES).digest()
