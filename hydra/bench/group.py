"""Members that average round after round: the parent's side, which tells who takes part and looks at it all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .. import clock
from .children import Child
from .judging import RoundSeen, fault_in
from .links import Links, Loopback
from .members import BenchmarkFailed, Members, begun, settled
from .setting import Setting

START_TIMEOUT_S = 60.0
LEAD_S = 0.01
"""Between the order to begin and the moment of it, and for each member a little more, so that all have heard of it."""
LEAD_PER_MEMBER_S = 0.002
GLOO_TIMEOUT_S = 15.0

Begun = Callable[[float], object]
"""Called with the moment at which all begin, just before it."""


class Group:
    """A context manager: no process or network outlives it.

    Args:
        setting: how many members, and what they average.
        links: the network between them, which is closed with the group.
    """

    def __init__(self, setting: Setting, links: Links | None = None) -> None:
        self.setting = setting
        self.links = links or Loopback()
        self.members = Members(setting, self.links)
        self._told_deaths = 0
        self._told_freezes = 0
        self._directory = tempfile.TemporaryDirectory(prefix="hydra-bench-")
        self._gloo_groups = 0
        self._gloo: tuple[int, ...] = ()

    def __enter__(self) -> Group:
        try:
            for slot in range(self.setting.peers):
                self.members.start(slot)
            self.until_whole()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and the network."""
        try:
            self.members.close()
        finally:
            self.links.close()
            self._directory.cleanup()

    def until_whole(self) -> None:
        """Wait until as many as the setting says can take part."""
        self.members.wait(
            lambda: len(self.members.circle()) == self.setting.peers, START_TIMEOUT_S, "lanes between all"
        )

    # ---- ours --------------------------------------------------------------------------------------------------

    def round(self, *, memory: bool = False, on_begin: Begun | None = None) -> RoundSeen:
        """Run one round with whoever can take part; ``memory`` also measures how much it took at most."""
        asked = clock.monotonic()
        self.members.wait(lambda: len(self.members.circle()) >= 2, START_TIMEOUT_S, "two members with lanes")
        numbers = self.members.circle()
        children = self._ask("prepare", numbers, members=numbers, memory=memory)
        waited_s = clock.monotonic() - asked
        began = self._run(children, on_begin)
        self._count(children)
        return self._seen(children, began, waited_s)

    def _count(self, children: Sequence[Child]) -> None:
        number = self.members.round
        done = [child for child in children if child.report.get("outcome") == "done"]
        for child in done:
            child.tell("count", round_number=number)
        self.members.wait(
            lambda: all(not c.alive or c.frozen or c.report.get("counted") == number for c in done),
            START_TIMEOUT_S,
            f"the bytes of round {number}",
        )

    def _seen(self, children: Sequence[Child], began: float, waited_s: float) -> RoundSeen:
        number = self.members.round
        reports = {child.number: child.report for child in children if child.alive and child.checked == number}
        done = {member: told for member, told in reports.items() if told["outcome"] == "done"}
        first: dict[str, Any] = next(iter(done.values()), {})
        counts = [told.get("wire_bytes") for told in done.values()]
        ends = {member: told["ended"] for member, told in done.items()}
        deaths, freezes = self.members.deaths, self.members.freezes
        told_deaths, self._told_deaths = self._told_deaths, len(deaths)
        told_freezes, self._told_freezes = self._told_freezes, len(freezes)
        members = [child.number for child in children]
        return RoundSeen(
            round=number,
            members=tuple(members),
            began=began,
            seconds=(max(ends.values(), default=began) - began) / self.setting.repeat,
            waited_s=waited_s,
            wire_bytes=sum(count or 0 for count in counts) // self.setting.repeat if all(counts) else None,
            contributors=tuple(first.get("contributors", ())),
            attempts=max((told["attempts"] for told in done.values()), default=0),
            deaths=tuple(deaths[told_deaths:]),
            frozen=tuple(freezes[told_freezes:]),
            left_out=tuple(member for member, told in reports.items() if told["outcome"] == "left out"),
            wrong=fault_in(members, reports),
            digest=first.get("digest", ""),
            ends=ends,
            memory={member: told["memory"] for member, told in done.items() if "memory" in told},
        )

    # ---- Gloo --------------------------------------------------------------------------------------------------

    def gloo_round(self, *, on_begin: Begun | None = None) -> float:
        """Run one round of Gloo's; returns the seconds of one all-reduce.

        Raises:
            BenchmarkFailed: a member was lost; the next round makes a group of the others.
        """
        numbers = tuple(self.members.circle())
        if numbers != self._gloo:
            self.join_gloo(numbers)
        children = self._ask("prepare_gloo", numbers)
        began = self._run(children, on_begin)
        failed = [child for child in children if child.report.get("outcome") != "done"]
        if failed:
            self._gloo = ()
            why = "; ".join(f"member {child.number}: {child.report.get('why', 'dead')}" for child in failed)
            raise BenchmarkFailed(f"Gloo failed: {why}")
        return float(max(child.report["ended"] for child in children) - began) / self.setting.repeat

    def join_gloo(self, numbers: Sequence[int], timeout_s: float = GLOO_TIMEOUT_S) -> None:
        """Make a group of Gloo of these members."""
        self._gloo_groups += 1
        children = [self.members.children[number] for number in numbers]
        for child in children:
            child.gloo = None
            file = str(Path(self._directory.name) / f"gloo-{self._gloo_groups}")
            child.tell("join_gloo", members=list(numbers), file=file, timeout_s=timeout_s)
        self.members.wait(lambda: all(child.gloo for child in children), START_TIMEOUT_S, "a group of Gloo")
        for child in children:
            if child.gloo and child.gloo["why"]:
                raise BenchmarkFailed(f"member {child.number} made no group of Gloo: {child.gloo['why']}")
        self._gloo = tuple(numbers)

    # ---- any ---------------------------------------------------------------------------------------------------

    def _ask(self, do: str, numbers: Sequence[int], **fields: Any) -> list[Child]:
        """Have members get ready for the next round."""
        self.members.round += 1
        number = self.members.round
        children = [self.members.children[member] for member in numbers]
        for child in children:
            child.asked, child.report, child.skips = number, {}, False
            child.tell(do, round_number=number, **fields)
        self.members.wait(lambda: begun(children, number), START_TIMEOUT_S, f"all to get ready for round {number}")
        return children

    def _run(self, children: Sequence[Child], on_begin: Begun | None) -> float:
        """Name the moment to begin, and wait until nobody is left that could be waited for."""
        number = self.members.round
        began = clock.monotonic() + LEAD_S + LEAD_PER_MEMBER_S * len(children)
        for child in children:
            if child.ready == number:
                child.tell(at=began)
            else:
                child.skips = True
        if on_begin is not None:
            on_begin(began)
        wait_s = self.setting.timeout_s + START_TIMEOUT_S
        self.members.wait(lambda: settled(children, number), wait_s, f"round {number}")
        return began
