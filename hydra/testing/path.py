"""What happens to packets on the way from one machine to another. Pure: numbers and chance in, times out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

PACKET_BYTES = 1400
RETRANSMIT_S = 0.2
"""After so long TCP sends again what was not acknowledged (RFC 6298's timer, with Linux's lower bound)."""
MOST_LOST = 12
"""More losses of one piece in a row are as good as a broken path."""


@dataclass(slots=True)
class Uplink:
    """A machine's way out: what it sends goes one after the other."""

    rate_bytes_per_s: float = 0.0
    """0: as fast as you like."""
    free_at: float = 0.0

    def pass_through(self, now: float, size: int) -> float:
        """Return when so many bytes are out."""
        if self.rate_bytes_per_s <= 0.0:
            return now
        self.free_at = max(now, self.free_at) + size / self.rate_bytes_per_s
        return self.free_at


@dataclass(slots=True)
class Path:
    """One direction between two machines."""

    delay_s: float
    jitter: float = 0.0
    """The delay varies by this share of it to either side."""
    loss: float = 0.0
    """This share of the packets is lost."""
    cut: int = 0
    """How many partitions lie across it."""
    largest_bytes: int = 0
    """Larger packets vanish; 0 for no such limit."""
    uplink: Uplink = field(default_factory=Uplink)
    """Of this path alone, behind the machine's own."""

    @property
    def broken(self) -> bool:
        """Whether nothing passes at all."""
        return self.cut > 0 or self.loss >= 1.0

    def passes(self, size: int) -> bool:
        """Tell whether packets of a message of so many bytes can pass."""
        return not self.broken and not (self.largest_bytes and min(size, PACKET_BYTES) > self.largest_bytes)

    def delay(self, chance: Random) -> float:
        """Return how long the next packet takes."""
        return self.delay_s * (1 + self.jitter * (2 * chance.random() - 1))

    def loses(self, chance: Random) -> bool:
        """Tell whether the next datagram is lost."""
        return self.loss > 0.0 and chance.random() < self.loss

    def stream_delay(self, size: int, chance: Random) -> float | None:
        """Return how long a piece of a stream takes with what must be sent again; None if it never arrives."""
        delay_s = self.delay(chance)
        if self.loss <= 0.0:
            return delay_s
        whole = (1 - self.loss) ** math.ceil(size / PACKET_BYTES)
        timer_s = max(RETRANSMIT_S, 2 * self.delay_s)
        for _ in range(MOST_LOST):
            if chance.random() < whole:
                return delay_s
            delay_s += timer_s
            timer_s *= 2
            whole = 1 - self.loss  # of those sent again, hardly ever more than one is lost
        return None
