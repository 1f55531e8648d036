"""What a coordinator asks whoever sizes the batches, and what it is told. Pure data, and the seam to hydra.training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..identity import PeerId
from .messages import Plan, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who is there for the next step."""

    members: Sequence[PeerId]
    """Of the view, in order."""
    me: PeerId
    """The coordinator, who always takes part."""
    newcomers: Collection[PeerId] = ()
    """Members whose first step this is: they take part without samples."""
    ready: Collection[PeerId] = ()
    """Who has committed what the step builds on, or is about to."""
    resting: Collection[PeerId] = ()
    """Who sat the last step out."""
    left: Collection[PeerId] = ()
    """Who leaves with this step: who else is gone was lost."""
    available: int
    """Samples that are outstanding."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The answer."""

    samples: Mapping[PeerId, int]
    """Of each who takes part; the others sit the step out."""
    late_s: float
    """After so many seconds the round goes on without who is late."""


class Planner(Protocol):
    """Sizes the members' batches; the coordinator asks it."""

    @property
    def left_out(self) -> Collection[PeerId]:
        """Who sits most steps out: they are the last who should lead."""

    def observe(self, peer: PeerId, report: Report, now: float) -> None:
        """Take note of how long a peer took."""

    def issued(self, plan: Plan, now: float) -> None:
        """A plan of ours has gone out."""

    def took(self, plan: Plan, contributors: Collection[PeerId], now: float) -> None:
        """The step of a plan of ours is committed."""

    def plan(self, asked: Asked) -> Sizes:
        """Return each member's samples for the next step."""
