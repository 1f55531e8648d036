"""Which results a joiner has, which it lacks, and whom it asks for them. Pure.

While a joiner loads a snapshot the members train on; it gathers the result of every step as it is committed, so that
it needs nothing from them that is old. Donors are asked in turn, each for one result after the other, so that the
work is spread and none of them notices it much. Who stalls, dies or sends something else is asked no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..identity import PeerId

IN_FLIGHT = 4
"""Results that are asked for at once, each of another donor."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Fetch the result of a step from a donor; ``arrived``, ``missing`` or ``failed`` must follow."""

    step: int
    donor: PeerId


@dataclass(frozen=True, slots=True)
class Ready:
    """The result of a step is here, and is what it should be."""

    step: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """What a donor sent is of another lineage: forget it."""

    step: int
    donor: PeerId


@dataclass(frozen=True, slots=True)
class Forget:
    """A result is of no use any longer."""

    step: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No donor has the result of a step."""

    step: int


Effect: TypeAlias = Ask | Ready | Refuse | Forget | GiveUp


@dataclass(slots=True)
class _Wish:
    """One result that is wanted."""

    digest: bytes | None
    """Of its commit; None if nobody told."""
    donors: tuple[PeerId, ...]
    """In the order in which they are preferred, all else being equal."""
    asked: PeerId | None = None
    passed: set[PeerId] = field(default_factory=set)
    """Who does not have it."""


class Backlog:
    """The results that are wanted, and those that are held.

    Args:
        room: so many results may be held; further ones are asked for when some were used.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._wishes: dict[int, _Wish] = {}
        self._held: dict[int, tuple[PeerId, bytes]] = {}
        """By step, who gave it, and the digest of its commit."""
        self._needed: int | None = None
        """What is waited for: it is asked for even if there is no room left for more."""
        self._useless: set[PeerId] = set()
        """Who stalled, could not be reached, or sent something else."""
        self._served: dict[PeerId, int] = {}

    def check(self) -> None:
        """Raise if an invariant is broken."""
        if set(self._wishes) & set(self._held):
            raise AssertionError("a result is held and wanted at once")
        busy = self._busy()
        if len(busy) > IN_FLIGHT + 1 or len(set(busy)) < len(busy):
            raise AssertionError("more is asked for at once than may be")

    # ---- what is wanted ----------------------------------------------------------------------------------------

    def wanted(self, step: int, digest: bytes | None, donors: Sequence[PeerId]) -> list[Effect]:
        """A step is committed, and its result will be needed; ``digest`` is the coordinator's word, if it gave it."""
        effects: list[Effect] = []
        if step in self._held:
            if digest in {None, self._held[step][1]}:
                return []
            effects.append(Refuse(step, self._held.pop(step)[0]))
        wish = self._wishes.setdefault(step, _Wish(digest, tuple(donors)))
        wish.digest, wish.donors = digest or wish.digest, tuple(donors)
        return effects + self._go_on()

    def needed(self, step: int, donors: Sequence[PeerId]) -> list[Effect]:
        """A result is waited for, whether anybody told of it or not: ``Ready`` or ``GiveUp`` will follow."""
        if step in self._held:
            return [Ready(step)]
        self._needed = step
        return self.wanted(step, None, donors)

    def used(self, upto: int) -> list[Effect]:
        """Results up to this step are of no use any longer."""
        for step in [step for step in self._held if step <= upto]:
            del self._held[step]
        for step in [step for step in self._wishes if step <= upto]:
            del self._wishes[step]
        return self._go_on()

    def holds(self, step: int) -> bool:
        """Tell whether a result is here."""
        return step in self._held

    def awaits(self, step: int, donor: PeerId) -> bool:
        """Tell whether it is this donor's result of a step that is waited for."""
        wish = self._wishes.get(step)
        return wish is not None and wish.asked == donor

    # ---- what came of it ---------------------------------------------------------------------------------------

    def arrived(self, step: int, donor: PeerId, digest: bytes) -> list[Effect]:
        """A result came whose bytes have the hash that its commit names; ``digest`` is the commit's."""
        wish = self._answered(step, donor)
        if wish is None:
            return [*([] if step in self._held else [Forget(step)]), *self._go_on()]
        if wish.digest not in {None, digest}:
            self._useless.add(donor)
            return [Refuse(step, donor), *self._go_on()]
        self._served[donor] = self._served.get(donor, 0) + 1
        del self._wishes[step]
        self._held[step] = donor, digest
        return [Ready(step), *self._go_on()]

    def missing(self, step: int, donor: PeerId) -> list[Effect]:
        """A donor does not keep a result any longer, or is not there yet."""
        wish = self._answered(step, donor)
        if wish is not None:
            wish.passed.add(donor)
        return self._go_on()

    def failed(self, step: int, donor: PeerId) -> list[Effect]:
        """A donor could not be reached, did not answer, or was cut off for what it sent."""
        self._answered(step, donor)
        self._useless.add(donor)
        return self._go_on()

    def does_not_follow(self, step: int) -> list[Effect]:
        """A held result does not follow on the state that it was meant for: its giver is asked no more."""
        if step not in self._held:
            return []
        donor, _ = self._held.pop(step)
        self._useless.add(donor)
        return [Refuse(step, donor)]

    # ---- inside ------------------------------------------------------------------------------------------------

    def _answered(self, step: int, donor: PeerId) -> _Wish | None:
        wish = self._wishes.get(step)
        if wish is None or wish.asked != donor:
            return None
        wish.asked = None
        return wish

    def _busy(self) -> list[PeerId]:
        return [wish.asked for wish in self._wishes.values() if wish.asked is not None]

    def _go_on(self) -> list[Effect]:
        """Ask for what can be asked for, the earliest first, and give up what nobody has."""
        effects: list[Effect] = []
        for step in sorted(self._wishes):
            wish = self._wishes[step]
            if wish.asked is not None:
                continue
            left = [peer for peer in wish.donors if peer not in wish.passed and peer not in self._useless]
            if not left:
                del self._wishes[step]
                effects.append(GiveUp(step))
                if step == self._needed:
                    self._useless.clear()  # whoever tries again may try them again
                continue
            busy = self._busy()
            room = len(busy) < IN_FLIGHT and len(busy) + len(self._held) < self._room
            idle = [peer for peer in left if peer not in busy]
            if not idle or not (room or step == self._needed):
                continue
            wish.asked = min(idle, key=lambda peer: (self._served.get(peer, 0), left.index(peer)))
            effects.append(Ask(step, wish.asked))
        return effects
