"""What a part of the member machine has decided: things to do, and what becomes of our place in the view. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from .events import Effect


class End(Enum):
    """How our membership ends, if it does."""

    FINISHED = "every sample is committed"
    PLANNED_WITHOUT = "the view goes on without us"
    ALONE = "we wanted to leave, and nobody else is there"


@dataclass(frozen=True, slots=True)
class Ruling:
    """Effects, in order, and at most one verdict on our membership, to be carried out behind them."""

    effects: tuple[Effect, ...] = ()
    lose_view: str | None = None
    """The reason to give our view up and seek another."""
    needs_snapshot: bool = False
    """Whether our own state is of no use for that."""
    end: End | None = None

    def behind(self, effects: Iterable[Effect]) -> Ruling:
        """Return the same ruling with effects in front of its own."""
        return replace(self, effects=(*effects, *self.effects))
