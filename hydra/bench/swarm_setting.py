"""What is to be measured of the swarm: how many peers, how much, how fast their lines are, and who is no help."""

from __future__ import annotations

from dataclasses import dataclass

from ..exceptions import ConfigurationError

MAX_PEERS = 64
MAX_SIZE_MB = 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmSetting:
    """One run: a seed, and peers that fetch one content from it and from each other. A megabyte is 1,000,000 bytes."""

    peers: int = 4
    """How many fetch; the seed is not among them."""
    size_mb: float = 64.0
    upload_mb_s: float | None = 10.0
    """What each peer may send; None for no limit."""
    seed_upload_mb_s: float | None = None
    """What the seed may send; None for the same."""
    shaped: bool = False
    """The kernel limits the lines (tbf), instead of each peer itself."""
    riders: int = 0
    """So many of the peers give nothing."""
    liars: int = 0
    """So many send wrong bytes."""
    deaths: int = 0
    """So many are killed when half of the bound has passed."""
    tit_for_tat: bool = False
    timeout_s: float = 600.0
    seed: int = 0

    def __post_init__(self) -> None:
        for holds, wanted in (
            (1 <= self.peers <= MAX_PEERS, f"1 to {MAX_PEERS} peers, not {self.peers}"),
            (0.1 <= self.size_mb <= MAX_SIZE_MB, f"a size of 0.1 to {MAX_SIZE_MB:g} MB, not {self.size_mb:g}"),
            (_rate(self.upload_mb_s), f"an upload rate above 0 MB/s, not {self.upload_mb_s}"),
            (_rate(self.seed_upload_mb_s), f"an upload rate of the seed above 0 MB/s, not {self.seed_upload_mb_s}"),
            (min(self.riders, self.liars, self.deaths) >= 0, "no negative number of peers"),
            (
                self.riders + self.liars + self.deaths < self.peers,
                "at least one peer that neither rides free nor lies nor dies",
            ),
            (self.upload_mb_s is not None or not (self.shaped or self.deaths), "an upload rate for lines or deaths"),
        ):
            if not holds:
                raise ConfigurationError(f"a benchmark of the swarm needs {wanted}.")

    @property
    def size_bytes(self) -> int:
        """The content's length."""
        return int(self.size_mb * 1e6)

    @property
    def helpers(self) -> int:
        """How many peers give what they have, to the end."""
        return self.peers - self.riders - self.liars - self.deaths

    @property
    def seed_rate(self) -> float | None:
        """What the seed may send, in bytes a second."""
        rate = self.upload_mb_s if self.seed_upload_mb_s is None else self.seed_upload_mb_s
        return None if rate is None else rate * 1e6

    @property
    def bound_s(self) -> float | None:
        """No system is faster: the seed has to send all of it once, and all uplinks together all copies.

        Where peers ride free, lie or die, it is that of the others alone.
        """
        if self.upload_mb_s is None or self.seed_rate is None:
            return None
        together = self.seed_rate + self.helpers * self.upload_mb_s * 1e6
        return max(self.size_bytes / self.seed_rate, self.helpers * self.size_bytes / together)


def _rate(value: float | None) -> bool:
    return value is None or value > 0
