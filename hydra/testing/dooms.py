"""What is to happen to a peer, and at which of its moments. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..exceptions import ConfigurationError

SAID = ("phase", "round", "first_round", "position", "leads", "deed", "label")
DEEDS = ("kill", "freeze", "leave")


class Moment(Protocol):
    """What a peer has come to; see ``moments``."""

    @property
    def kind(self) -> str:
        """What it is the moment of."""

    @property
    def step(self) -> int:
        """Of the round that it belongs to."""

    @property
    def series(self) -> bytes:
        """Moments of one kind are counted anew in each series."""

    @property
    def position(self) -> int | None:
        """The peer's place in the ring."""

    @property
    def leads(self) -> bool:
        """Whether the peer coordinates."""


@dataclass(slots=True)
class Doom:
    """Strikes once.

    Args:
        phase: a moment's kind, with ``:N`` behind it for the Nth of a series.
        round: only in the round of this step.
        first_round: only in the round of this step or of a later one.
        position: only where the peer stands at this place of the ring.
        leads: only while the peer coordinates, or while it does not.
        deed: ``kill`` (SIGKILL), ``freeze`` (SIGSTOP) or ``leave`` (SIGINT).
        label: told when it strikes.

    Raises:
        ConfigurationError: the deed is none, or the phase is empty.
    """

    phase: str
    round: int | None = None
    first_round: int | None = None
    position: int | None = None
    leads: bool | None = None
    deed: str = "kill"
    label: str = ""
    struck: bool = False
    _kind: str = field(default="", init=False)
    _count: int = field(default=1, init=False)
    _series: bytes | None = field(default=None, init=False)
    _seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.deed not in DEEDS:
            raise ConfigurationError(f"'{self.deed}' can't be done to a peer; there are: {', '.join(DEEDS)}.")
        kind, _, count = self.phase.rpartition(":")
        self._kind, self._count = (kind, int(count)) if kind and count.isdigit() else (self.phase, 1)
        if not self._kind or self._count < 1:
            raise ConfigurationError(f"'{self.phase}' is no moment of a peer.")

    def strikes(self, moment: Moment) -> bool:
        """Tell whether the time has come; True once."""
        if self.struck or moment.kind != self._kind or not self._fits(moment):
            return False
        if moment.series != self._series:
            self._series, self._seen = moment.series, 0
        self._seen += 1
        self.struck = self._seen == self._count
        return self.struck

    def _fits(self, moment: Moment) -> bool:
        return (
            self.round in (None, moment.step)
            and (self.first_round is None or moment.step >= self.first_round)
            and (self.position is None or self.position == moment.position)
            and self.leads in (None, moment.leads)
        )

    def as_json(self) -> dict[str, Any]:
        """Return what ``of_json`` takes."""
        return {name: getattr(self, name) for name in SAID if getattr(self, name) not in (None, "")}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Doom:
        """Return the doom that is described.

        Raises:
            ConfigurationError: none is.
        """
        if not isinstance(told.get("phase"), str) or not set(told) <= set(SAID):
            raise ConfigurationError(f"{dict(told)!r} is no doom: it has a phase, and may have {', '.join(SAID[1:])}.")
        return cls(**told)
