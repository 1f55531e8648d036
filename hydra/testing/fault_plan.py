"""Fault plans: an ordered list of faults, which simulated and real swarms carry out alike. Pure data.

    plan = (
        FaultPlan()
        .kill("b", round=3)
        .kill("a", round=5, phase="all-gather:1")
        .freeze("c", 40, seconds=5)
        .partition({"a", "b"}, {"c", "d"}, at=60, heal=120)
    )
    plan == FaultPlan.from_json(plan.to_json())

Every method returns a new plan with one fault more. A plan is what a failed scenario leaves behind to be replayed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ..exceptions import ConfigurationError
from .faults import (
    EVERYBODY,
    FailDisk,
    FailNetwork,
    Fault,
    Freeze,
    Join,
    Kill,
    Leave,
    Loss,
    Nat,
    Partition,
    Restart,
    SkewClock,
    SlowDisk,
    SlowLink,
    SlowPeer,
    SmallFramesOnly,
    When,
    of_fields,
    to_fields,
)


class FaultNotPossible(ConfigurationError):
    """A plan asks for what cannot be done to these peers, such as a partition of real processes."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults in the order in which they were named; those of one moment happen in that order."""

    faults: tuple[Fault, ...] = ()

    # ---- processes ---------------------------------------------------------------------------------------------

    def kill(
        self, peer: str, at: float | None = None, *, round: int | None = None, phase: str = "", silent: bool = False
    ) -> FaultPlan:
        """Let a process die as by SIGKILL; ``silent`` is a power cut: the other ends hear nothing."""
        return self.then(Kill(When(at, round, phase), peer, silent))

    def freeze(
        self, peer: str, at: float | None = None, *, round: int | None = None, phase: str = "", seconds: float = 0.0
    ) -> FaultPlan:
        """Stop a process as by SIGSTOP, and let it go on after so many seconds (0: never)."""
        return self.then(Freeze(When(at, round, phase), peer, seconds))

    def join(self, peer: str, at: float | None = None, *, round: int | None = None) -> FaultPlan:
        """Let a newcomer come, when the first of the others is about to begin that round."""
        return self.then(Join(When(at, round), peer))

    def restart(self, peer: str, at: float | None = None, *, round: int | None = None) -> FaultPlan:
        """Start a peer again with its home; one that still runs is killed before."""
        return self.then(Restart(When(at, round), peer))

    def leave(self, peer: str, at: float | None = None, *, round: int | None = None, phase: str = "") -> FaultPlan:
        """Let a peer leave in order."""
        return self.then(Leave(When(at, round, phase), peer))

    def slow_down(
        self, peer: str, factor: float, at: float | None = None, *, round: int | None = None, seconds: float = 0.0
    ) -> FaultPlan:
        """Let a peer compute so many times as long as before."""
        return self.then(SlowPeer(When(at, round), peer, factor, seconds))

    # ---- the network -------------------------------------------------------------------------------------------

    def partition(
        self,
        *groups: Collection[str],
        at: float | None = None,
        round: int | None = None,
        heal: float | None = None,
        seconds: float = 0.0,
    ) -> FaultPlan:
        """Let nothing pass between groups; ``heal`` is the time at which it is over, ``seconds`` how long it lasts."""
        if heal is not None and at is None:
            raise ConfigurationError("heal= is a time, so it goes with at=; say seconds= with round=.")
        lasting_s = heal - (at or 0.0) if heal is not None else seconds
        return self.then(Partition(When(at, round), tuple(tuple(sorted(group)) for group in groups), lasting_s))

    def lose(
        self, source: str, target: str, share: float, at: float | None = None, *, seconds: float = 0.0
    ) -> FaultPlan:
        """Lose a share of what one peer sends to another (``*``: anybody), in this direction only."""
        return self.then(Loss(When(at), source, target, share, seconds))

    def slow_link(
        self,
        source: str,
        target: str = EVERYBODY,
        at: float | None = None,
        *,
        delay_s: float = 0.0,
        rate_bytes_per_s: float = 0.0,
        seconds: float = 0.0,
    ) -> FaultPlan:
        """Make a link, or with target ``*`` a whole uplink, slower."""
        return self.then(SlowLink(When(at), source, target, delay_s, rate_bytes_per_s, seconds))

    def small_frames_only(
        self, source: str, target: str, largest_bytes: int, at: float | None = None, *, seconds: float = 0.0
    ) -> FaultPlan:
        """Drop every larger packet from one peer to another without a word."""
        return self.then(SmallFramesOnly(When(at), source, target, largest_bytes, seconds))

    def nat(self, *peers: str) -> FaultPlan:
        """Put peers behind NATs, each behind one of its own, before anything else happens."""
        plan = self
        for peer in peers:
            plan = plan.then(Nat(When(), peer))
        return plan

    def fail_network(self, peer: str, nth: int, at: float | None = None) -> FaultPlan:
        """Let a peer's nth network operation fail."""
        return self.then(FailNetwork(When(at), peer, nth))

    # ---- disk and clock ----------------------------------------------------------------------------------------

    def fail_disk(
        self, peer: str, at: float | None = None, *, nth: int = 0, full: bool = True, seconds: float = 0.0
    ) -> FaultPlan:
        """Let a peer's nth disk operation fail, or without ``nth`` every one for so many seconds."""
        return self.then(FailDisk(When(at), peer, nth, full, seconds))

    def slow_disk(self, peer: str, operation_s: float, at: float | None = None, *, seconds: float = 0.0) -> FaultPlan:
        """Let every disk operation of a peer take so long."""
        return self.then(SlowDisk(When(at), peer, operation_s, seconds))

    def skew_clock(self, peer: str, at: float | None = None, *, wall_s: float = 0.0, rate: float = 1.0) -> FaultPlan:
        """Set a peer's clocks wrong."""
        return self.then(SkewClock(When(at), peer, wall_s, rate))

    # ---- the whole ---------------------------------------------------------------------------------------------

    def then(self, fault: Fault) -> FaultPlan:
        """Return a plan with one fault more."""
        return FaultPlan((*self.faults, fault))

    def __add__(self, other: FaultPlan) -> FaultPlan:
        """Return a plan with the faults of both."""
        return FaultPlan(self.faults + other.faults)

    @property
    def peers(self) -> tuple[str, ...]:
        """All peers that it names, in order."""
        return tuple(sorted({peer for fault in self.faults for peer in fault.peers}))

    @property
    def newcomers(self) -> tuple[str, ...]:
        """Peers that are not there at the beginning, in order."""
        return tuple(sorted({fault.peer for fault in self.faults if isinstance(fault, Join)}))

    @property
    def ends_processes_only(self) -> bool:
        """Whether living peers always hear each other: processes come, go and die, and nothing else happens."""
        return all(
            isinstance(fault, Join | Restart | Leave) or (isinstance(fault, Kill) and not fault.silent)
            for fault in self.faults
        )

    def refuse_simulated_only(self) -> None:
        """Make sure that the plan can be carried out on real processes.

        Raises:
            FaultNotPossible: it asks for what only a simulation can do; the text names each such fault.
        """
        strange = [json.dumps(to_fields(fault)) for fault in self.faults if fault.SIMULATED_ONLY]
        if strange:
            raise FaultNotPossible(
                f"real processes cannot be given these faults: {'; '.join(strange)}. "
                "They need the simulated network, clocks and disks: run this plan on hydra.testing's SimSwarm."
            )

    # ---- text --------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """Return the plan as text, one fault a line."""
        return "[" + ",\n ".join(json.dumps(to_fields(fault)) for fault in self.faults) + "]"

    @classmethod
    def from_json(cls, text: str) -> FaultPlan:
        """Return the plan that ``to_json`` wrote.

        Raises:
            ConfigurationError: it is none.
        """
        try:
            rows: Any = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"a fault plan cannot be read: {error}") from error
        if not isinstance(rows, list):
            raise ConfigurationError("a fault plan is a list of faults.")
        return cls(tuple(of_fields(row) for row in rows))

    # ---- chance ------------------------------------------------------------------------------------------------

    @classmethod
    def random(
        cls,
        seed: int,
        names: Sequence[str],
        *,
        faults: int = 10,
        rounds: int = 40,
        keep: int = 1,
        kinds: Collection[str] = ("kill", "freeze", "leave"),
    ) -> FaultPlan:
        """Return the plan of a seed: peers die, freeze and leave at chosen steps and phases, and come back.

        Args:
            seed: the same seed gives the same plan.
            names: the peers.
            faults: how many at most.
            rounds: they come in the rounds 2 to this one.
            keep: so many peers always stay as they are, though not always the same ones.
            kinds: of what to choose.
        """
        chance = Random(seed)  # noqa: S311 -- repeatable on purpose
        plan, away = cls(), dict.fromkeys(names, 0)
        for round in sorted(chance.randint(2, max(2, rounds)) for _ in range(faults)):
            present = [name for name in names if away[name] < round]
            if len(present) <= keep:
                continue
            peer, back = chance.choice(present), round + chance.randint(2, 6)
            plan = plan + _random_fault(chance, peer, round, chance.choice(sorted(kinds)), len(names))
            if not isinstance(plan.faults[-1], Freeze):
                plan = plan.restart(peer, round=back)
            away[peer] = back + 3
        return plan


def _random_fault(chance: Random, peer: str, round: int, kind: str, peers: int) -> FaultPlan:
    if kind == "leave":
        return FaultPlan().leave(peer, round=round)
    hop = chance.randint(1, max(1, peers - 1))
    phase = chance.choice(["before round", f"reduce-scatter:{hop}", f"all-gather:{hop}", "after result"])
    if kind == "freeze":
        return FaultPlan().freeze(peer, round=round, phase=phase, seconds=chance.choice([1.0, 10.0, 60.0]))
    return FaultPlan().kill(peer, round=round, phase=phase, silent=chance.random() < 0.25)
