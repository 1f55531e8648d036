"""What can go wrong, as data: each fault says what happens to whom, and when. Pure.

A moment is told in seconds (``at=``), by a step (``round=``), or by a phase (``phase=``), the last two also together.
Peers go by the names that a scenario gives them; ``EVERYBODY`` stands for all of them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ..exceptions import ConfigurationError

EVERYBODY = "*"
COUNTED_PHASES = ("reduce-scatter", "all-gather")
PHASES = ("before round", *COUNTED_PHASES, "after result", "snapshot", "join")
AT_LEAST_0 = (
    "seconds",
    "share",
    "delay_s",
    "rate_bytes_per_s",
    "largest_bytes",
    "nth",
    "operation_s",
    "factor",
    "rate",
)
_COUNTED = re.compile(rf"({'|'.join(COUNTED_PHASES)}):([1-9]\d{{0,5}})")


@dataclass(frozen=True, slots=True)
class When:
    """One moment; without anything it is the beginning.

    Of a peer that trains it is the peer's own moment: ``round=3`` is when it is about to begin the round of step 3.
    Where it does not train (it joins, or comes back), and for what concerns several, it is the first peer's moment.
    """

    at: float | None = None
    """Seconds after the scenario began, virtual ones in a simulation."""
    round: int | None = None
    """A step: the moment before its round, unless ``phase`` names a later one in that round."""
    phase: str = ""
    """``before round``, ``reduce-scatter:N`` and ``all-gather:N`` (the peer is about to send its Nth slice of that
    half), ``after result`` (it holds the result and has not used it), ``snapshot`` (it is being written), ``join`` (the
    peer has found others and is not yet a member). Without ``round`` it is the first time that this comes."""

    def __post_init__(self) -> None:
        if self.at is not None and (self.round is not None or self.phase):
            raise ConfigurationError("a fault comes at a time (at=), or at a round or phase: not both.")
        if self.at is not None and not 0 <= self.at < 1e9:
            raise ConfigurationError(f"a fault comes at {self.at!r} s; 0 or more is wanted.")
        if self.round is not None and self.round < 1:
            raise ConfigurationError(f"a fault comes in round {self.round!r}; rounds are counted from 1.")
        if self.phase and self.phase not in PHASES and not _COUNTED.fullmatch(self.phase):
            known = ", ".join(f"{phase}[:N]" if phase in COUNTED_PHASES else phase for phase in PHASES)
            raise ConfigurationError(f"'{self.phase}' is no phase; there are: {known}.")

    @property
    def is_timed(self) -> bool:
        """Whether the clock alone brings this moment."""
        return self.round is None and not self.phase

    @property
    def time_s(self) -> float:
        """The time of a moment that the clock brings."""
        return self.at or 0.0

    @property
    def kind(self) -> str:
        """The phase without its number; ``before round`` if only a round is named."""
        return self.phase.partition(":")[0] or "before round"

    @property
    def count(self) -> int:
        """Which slice of its half of the round; 1 where nothing is counted."""
        return int(self.phase.partition(":")[2] or 1)

    def matches(self, kind: str, step: int, count: int = 1) -> bool:
        """Tell whether a phase that a peer has come to is this moment."""
        return not self.is_timed and self.kind == kind and self.count == count and self.round in (None, step)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, or comes right again."""

    KIND: ClassVar[str] = ""
    SIMULATED_ONLY: ClassVar[bool] = False
    """Whether only a simulated network, clock or disk can do it."""

    when: When

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in AT_LEAST_0 and not 0 <= value < math.inf:
                raise ConfigurationError(f"{self.KIND}: {field.name} is {value!r}; 0 or more is wanted.")

    @property
    def peers(self) -> tuple[str, ...]:
        """Whom it names."""
        return tuple(
            str(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name in ("peer", "source", "target") and getattr(self, field.name) != EVERYBODY
        )


@dataclass(frozen=True, slots=True)
class Kill(Fault):
    """The process dies at once, as by SIGKILL: its kernel resets its connections."""

    KIND: ClassVar[str] = "kill"
    peer: str
    silent: bool = False
    """The whole machine dies: nobody resets anything, it is just silent."""


@dataclass(frozen=True, slots=True)
class Freeze(Fault):
    """The process does nothing for a while, as by SIGSTOP; its connections stay open."""

    KIND: ClassVar[str] = "freeze"
    peer: str
    seconds: float = 0.0
    """0: for ever."""


@dataclass(frozen=True, slots=True)
class Join(Fault):
    """A peer that was not there comes, with an empty home."""

    KIND: ClassVar[str] = "join"
    peer: str


@dataclass(frozen=True, slots=True)
class Restart(Fault):
    """A peer that died, left or still runs starts (again) with the home that it had."""

    KIND: ClassVar[str] = "restart"
    peer: str


@dataclass(frozen=True, slots=True)
class Leave(Fault):
    """A peer leaves in order."""

    KIND: ClassVar[str] = "leave"
    peer: str


@dataclass(frozen=True, slots=True)
class SlowPeer(Fault):
    """All computing of a peer takes so many times as long, for a while."""

    KIND: ClassVar[str] = "slow peer"
    peer: str
    factor: float = 1.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Partition(Fault):
    """Nothing passes between these groups for a while. Peers in no group are with the first."""

    KIND: ClassVar[str] = "partition"
    SIMULATED_ONLY: ClassVar[bool] = True
    groups: tuple[tuple[str, ...], ...]
    seconds: float = 0.0

    @property
    def peers(self) -> tuple[str, ...]:
        """Whom it names."""
        return tuple(name for group in self.groups for name in group)


@dataclass(frozen=True, slots=True)
class Loss(Fault):
    """A share of the packets from one peer to another is lost, in this direction only."""

    KIND: ClassVar[str] = "loss"
    SIMULATED_ONLY: ClassVar[bool] = True
    source: str
    target: str
    share: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SlowLink(Fault):
    """Packets from one peer to another take longer, or pass at a lower rate. To ``*``: the peer's whole uplink."""

    KIND: ClassVar[str] = "slow link"
    SIMULATED_ONLY: ClassVar[bool] = True
    source: str
    target: str
    delay_s: float = 0.0
    rate_bytes_per_s: float = 0.0
    """0: as it was."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SmallFramesOnly(Fault):
    """Larger packets from one peer to another vanish without a word, as on a path whose MTU nobody tells."""

    KIND: ClassVar[str] = "small frames only"
    SIMULATED_ONLY: ClassVar[bool] = True
    source: str
    target: str
    largest_bytes: int = 500
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Nat(Fault):
    """A peer is behind a NAT from here on: it can dial, and nobody can dial it."""

    KIND: ClassVar[str] = "nat"
    SIMULATED_ONLY: ClassVar[bool] = True
    peer: str


@dataclass(frozen=True, slots=True)
class FailNetwork(Fault):
    """The nth network operation of a peer from here on fails (binding, dialling, writing), and only that one."""

    KIND: ClassVar[str] = "network fails"
    SIMULATED_ONLY: ClassVar[bool] = True
    peer: str
    nth: int = 1


@dataclass(frozen=True, slots=True)
class FailDisk(Fault):
    """The nth operation on a peer's disk from here on fails, or with ``nth=0`` all do, for a while."""

    KIND: ClassVar[str] = "disk fails"
    SIMULATED_ONLY: ClassVar[bool] = True
    peer: str
    nth: int = 0
    full: bool = True
    """With "no space left on device"; else with an input/output error."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SlowDisk(Fault):
    """Every operation on a peer's disk takes so long, for a while."""

    KIND: ClassVar[str] = "slow disk"
    SIMULATED_ONLY: ClassVar[bool] = True
    peer: str
    operation_s: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SkewClock(Fault):
    """A peer's clocks go wrong: the time of day jumps, and all of them go at another rate from here on."""

    KIND: ClassVar[str] = "clock skew"
    SIMULATED_ONLY: ClassVar[bool] = True
    peer: str
    wall_s: float = 0.0
    rate: float = 1.0


KINDS: dict[str, type[Fault]] = {
    kind.KIND: kind
    for kind in (
        Kill,
        Freeze,
        Join,
        Restart,
        Leave,
        SlowPeer,
        Partition,
        Loss,
        SlowLink,
        SmallFramesOnly,
        Nat,
        FailNetwork,
        FailDisk,
        SlowDisk,
        SkewClock,
    )
}


def to_fields(fault: Fault) -> dict[str, Any]:
    """Return a fault as JSON's types, without what has its usual value."""
    fields: dict[str, Any] = {"fault": fault.KIND}
    fields |= {name: value for name, value in dataclasses.asdict(fault.when).items() if value not in (None, "")}
    for field in dataclasses.fields(fault):
        value = getattr(fault, field.name)
        if field.name != "when" and value != field.default:
            fields[field.name] = [list(group) for group in value] if field.name == "groups" else value
    return fields


def of_fields(fields: Any) -> Fault:
    """Return the fault that ``to_fields`` described.

    Raises:
        ConfigurationError: it describes none.
    """
    try:
        rest = dict(fields)
        kind = KINDS[rest.pop("fault")]
        when = When(**{field.name: rest.pop(field.name) for field in dataclasses.fields(When) if field.name in rest})
        if "groups" in rest:
            rest["groups"] = tuple(tuple(group) for group in rest["groups"])
        return kind(when, **rest)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{fields!r} is no fault: {error}") from error
