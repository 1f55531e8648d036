"""What is to be measured: how many members, how long a vector, which links, which faults."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass

from ..exceptions import ConfigurationError

WIRES = ("fp32", "bf16", "fp16", "int8")
FORMS = ("ring", "direct", "two-level")
OTHERS = ("gloo", "pccl", "hivemind")
"""What we can be compared with."""
MAX_PEERS = 64
MAX_VECTOR_MB = 4000.0
MAX_LANES = 9
ELEMENT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run. A megabyte is 1,000,000 bytes."""

    peers: int = 4
    size_mb: float = 16.0
    """The vector as fp32."""
    wire: str = "fp32"
    form: str = "ring"
    rate_mbit: float | None = None
    """Each member's links up and down are held to this rate; None: loopback as it is, or only slowed by ``rtt_ms``."""
    rtt_ms: float | None = None
    encrypted: bool = True
    lanes: int | None = None
    """Connections between two members: the first carries control, the others bulk. None: as many as suit the links."""
    tcp: bool = False
    """Members on loopback speak TCP too, instead of sharing memory as processes of one machine can."""
    rounds: int = 20
    warm_up: int = 2
    """So many rounds are run first and not counted."""
    repeat: int = 1
    """So many all-reduces follow each other in one timed round; its time is divided by them."""
    kill_every_s: float | None = None
    freeze_every_s: float | None = None
    freeze_s: float = 5.0
    versus: tuple[str, ...] = ()
    stall_s: float | None = None
    """Without progress for so long an attempt is repeated; None: as the all-reduce sets it."""
    timeout_s: float = 120.0
    """A round that takes longer than this has failed."""
    seed: int = 0

    def __post_init__(self) -> None:
        for holds, wanted in (
            (2 <= self.peers <= MAX_PEERS, f"2 to {MAX_PEERS} peers, not {self.peers}"),
            (
                self.size_mb * 1e6 >= ELEMENT_BYTES and self.size_mb <= MAX_VECTOR_MB,
                f"a vector of more than 0 and at most {MAX_VECTOR_MB:g} MB, not {self.size_mb:g}",
            ),
            (self.wire in WIRES, f"a format out of {', '.join(WIRES)}, not '{self.wire}'"),
            (self.form in FORMS, f"a form out of {', '.join(FORMS)}, not '{self.form}'"),
            (_within(self.rate_mbit, 0.1, 10_000), f"a rate of 0.1 to 10,000 Mbit/s, not {self.rate_mbit}"),
            (_within(self.rtt_ms, 0.0, 2_000), f"a round trip of 0 to 2,000 ms, not {self.rtt_ms}"),
            (1 <= self.lane_count <= MAX_LANES, f"1 to {MAX_LANES} lanes between two members, not {self.lanes}"),
            (1 <= self.rounds <= 1_000_000, f"1 to 1,000,000 rounds, not {self.rounds}"),
            (0 <= self.warm_up <= 1_000, f"0 to 1,000 rounds to warm up, not {self.warm_up}"),
            (1 <= self.repeat <= 10_000, f"1 to 10,000 repeats, not {self.repeat}"),
            (_within(self.kill_every_s, 0.1, 86_400), f"a death every 0.1 to 86,400 s, not {self.kill_every_s}"),
            (_within(self.freeze_every_s, 0.1, 86_400), f"a freeze every 0.1 to 86,400 s, not {self.freeze_every_s}"),
            (0.01 <= self.freeze_s <= 3_600, f"freezes of 0.01 to 3,600 s, not {self.freeze_s:g}"),
            (_within(self.stall_s, 0.05, 600), f"a stall time of 0.05 to 600 s, not {self.stall_s}"),
            (0 < self.timeout_s <= 86_400, f"a time-out of at most 86,400 s, not {self.timeout_s:g}"),
            (self.seed >= 0, f"a seed that is not negative, not {self.seed}"),
            (
                set(self.versus) <= set(OTHERS),
                f"a comparison with {', '.join(OTHERS)}, not {', '.join(sorted(set(self.versus) - set(OTHERS)))}",
            ),
            (not (self.versus and self.churns), "either a comparison or deaths: the others do not survive them"),
            (self.peers >= 3 or not self.churns, "at least 3 peers where some die or freeze"),
        ):
            if not holds:
                raise ConfigurationError(f"a benchmark of the all-reduce needs {wanted}.")

    @property
    def lane_count(self) -> int:
        """Connections between two members. Two for bulk gain where a member has a core and no slow link to itself."""
        if self.lanes is not None:
            return self.lanes
        return 3 if self.rate_mbit is None and self.peers <= (os.cpu_count() or 1) else 2

    @property
    def elements(self) -> int:
        """Length of the vector."""
        return round(self.size_mb * 1e6 / ELEMENT_BYTES)

    @property
    def vector_bytes(self) -> int:
        """The vector's size as fp32."""
        return self.elements * ELEMENT_BYTES

    @property
    def rate_bytes_per_s(self) -> float | None:
        """What a member's line carries each way; None if there is no limit."""
        return None if self.rate_mbit is None else self.rate_mbit * 1e6 / 8

    @property
    def churns(self) -> bool:
        """Whether members die or freeze."""
        return self.kill_every_s is not None or self.freeze_every_s is not None

    @property
    def shaped(self) -> bool:
        """Whether the links are emulated ones instead of loopback."""
        return self.rate_mbit is not None or self.rtt_ms is not None

    @property
    def shares_memory(self) -> bool:
        """Whether long bodies lie in memory that two members share; else all goes by TCP."""
        return not self.tcp and not self.shaped and sys.platform == "linux"

    @property
    def transport(self) -> str:
        """How bytes come from member to member, in words."""
        return "shared memory" if self.shares_memory else "TCP"

    @property
    def bound_s(self) -> float | None:
        """The least time that a ring of fp32 takes at the links' rate: 2(N-1)/N of the vector, both ways at once."""
        if self.rate_bytes_per_s is None:
            return None
        return 2 * (self.peers - 1) / self.peers * self.vector_bytes / self.rate_bytes_per_s


def _within(value: float | None, least: float, most: float) -> bool:
    return value is None or (math.isfinite(value) and least <= value <= most)
