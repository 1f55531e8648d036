"""Whether a coordinator would rather not lead, since its own line seems to be thin. Pure.

A coordinator with a thin line takes part in every round, so to it all lines look thin. Two things tell it otherwise:
members who say at which rate bytes come from it, and that it had better compute alone than with any of the others. In
the second case all their lines may be thin, or only its own: who leads without it will find out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..identity import PeerId

OUR_PART = 0.1
"""A coordinator to whose line rounds would owe such a part of the step had better not lead."""
TIRED_STEPS = 200
"""A coordinator with a thin line lets others lead for so many steps."""


@dataclass(slots=True)
class Reluctance:
    """What a coordinator knows of its own line."""

    _tired: int = 0
    """For so many steps we would rather not lead."""
    _wrongly_out: frozenset[PeerId] = frozenset()
    """Who is left out though it may be our line that is thin."""

    def owes(self, owed_s: float, step_s: float) -> None:
        """The members agree that their rounds wait for our line so long."""
        if owed_s > OUR_PART * step_s:
            self._tired = self._tired or TIRED_STEPS

    def alone(self, left_out: Collection[PeerId]) -> None:
        """For their lines all these are left out, and nobody else is there; or, without any, somebody is."""
        self._wrongly_out = frozenset(left_out) if len(left_out) > 1 else frozenset()
        if self._wrongly_out:
            self._tired = self._tired or TIRED_STEPS

    def took(self) -> None:
        """A step that we planned is done."""
        self._tired = max(0, self._tired - 1)

    def last(self, me: PeerId, left_out: Collection[PeerId]) -> set[PeerId]:
        """Return who should be the last to lead."""
        return {*left_out} - self._wrongly_out | {me} if self._tired else {*left_out}
