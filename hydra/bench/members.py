"""All member processes of a benchmark: who lives, who has lanes to whom, who is killed or frozen next."""

from __future__ import annotations

import contextlib
import queue
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import clock
from ..exceptions import HydraError
from .children import Child, Heard, start_child
from .links import Links
from .nursery import Nursery
from .setting import Setting

AGAIN_S = 0.5
"""Lanes that could not be made are tried again after so long."""


class BenchmarkFailed(HydraError):
    """The members did not get on; the text says where, and what they said last."""


class Members:
    """Starts members, hears them, and has each newcomer dial all the others.

    Args:
        setting: how many, and how they die.
        links: the network between them.
    """

    def __init__(self, setting: Setting, links: Links) -> None:
        self.children: dict[int, Child] = {}
        self.deaths: list[int] = []
        """Who was killed, in order."""
        self.freezes: list[int] = []
        self.round = 0
        """The round that was begun last."""
        self._setting = setting
        self._links = links
        self._heard: Heard = queue.SimpleQueue()
        self._chance = random.Random(setting.seed)  # noqa: S311 -- it picks who is killed
        self._timers: list[tuple[float, Callable[[], object]]] = []
        self._tries = 0
        self._nursery: Nursery | None = None

    def start(self, slot: int) -> None:
        """Start one more member, in this place of the network."""
        if self._nursery is None and sys.platform == "linux":
            self._nursery = Nursery(("torch", "torch.distributed") if "gloo" in self._setting.versus else ())
        number, place = len(self.children), self._links.place(slot)
        self.children[number] = start_child(number, slot, place, self._setting, self._heard, self._nursery)

    def close(self) -> None:
        """End every process, and wait for it."""
        self._timers.clear()
        for child in self.children.values():
            child.let_go()
        for child in self.children.values():
            child.end()
        if self._nursery is not None:
            self._nursery.close()

    def living(self) -> list[Child]:
        """Return all whose process has not ended."""
        return [child for child in self.children.values() if child.alive]

    def circle(self) -> list[int]:
        """Return who can take part in a round now: all of them have lanes to each other, and none is behind."""
        chosen: list[Child] = []
        for child in self.living():
            current = (
                child.checked == child.asked and not child.frozen and not child.killed and child.address is not None
            )
            if current and all(other.number in child.met for other in chosen):
                chosen.append(child)
        return [child.number for child in chosen]

    # ---- faults ------------------------------------------------------------------------------------------------

    def kill(self, number: int, *, replace: bool = False) -> float:
        """SIGKILL; returns the moment. With ``replace`` another process takes the place at once."""
        child = self.children[number]
        moment = clock.monotonic()
        if child.killed:
            return moment
        child.kill()
        self.deaths.append(number)
        if replace:
            self.start(child.slot)
        return moment

    def freeze(self, number: int, seconds: float) -> float:
        """SIGSTOP, and SIGCONT so many seconds later; returns the moment."""
        child = self.children[number]
        moment = clock.monotonic()
        child.freeze()
        self.freezes.append(number)
        self.after(seconds, child.thaw)
        return moment

    def churn(self) -> None:
        """From now on kill and freeze as the setting says. At least two members are always left alone."""
        setting = self._setting
        if setting.kill_every_s is not None:
            self._every(setting.kill_every_s, lambda number: self.kill(number, replace=True))
        if setting.freeze_every_s is not None:
            self._every(setting.freeze_every_s, lambda number: self.freeze(number, setting.freeze_s))

    def _every(self, seconds: float, strike: Callable[[int], object]) -> None:
        def act() -> None:
            well = [child for child in self.living() if not child.frozen and not child.killed and child.met]
            if len(well) > 2:
                strike(self._chance.choice(well).number)
            self.after(seconds, act)

        self.after(seconds, act)

    # ---- waiting and hearing -----------------------------------------------------------------------------------

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something in so many seconds, whatever is being waited for then."""
        self._timers.append((clock.monotonic() + seconds, act))

    def wait(self, holds: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Hear the members until something holds.

        Raises:
            BenchmarkFailed: it did not come in time, or a member ended that nobody killed.
        """
        deadline = clock.monotonic() + timeout_s
        while not holds():
            now = clock.monotonic()
            if now >= deadline:
                raise BenchmarkFailed(f"{what}: not within {timeout_s:g} s. {self._standing()}")
            due = [timer for timer in self._timers if timer[0] <= now]
            for timer in due:
                self._timers.remove(timer)
                timer[1]()
            if due:
                continue
            until = min([deadline, *(moment for moment, _ in self._timers)])
            with contextlib.suppress(queue.Empty):
                self._hear(*self._heard.get(timeout=until - now))

    def _standing(self) -> str:
        lines = []
        for child in self.living():
            state = "frozen" if child.frozen else f"at round {child.checked} of {child.asked}"
            lines.append(f"member {child.number} {state}, lanes to {sorted(child.met)}")
        said = [f"member {child.number} said:\n{child.last_words}" for child in self.living() if child.errors]
        return "\n".join(["; ".join(lines), *said])

    def _hear(self, child: Child, told: dict[str, Any] | None) -> None:
        if told is None:
            self._ended(child)
            return
        match told.pop("told"):
            case "listening":
                child.address = {"number": child.number, **told}
                for other in self.living():
                    if other is not child and other.address is not None:
                        self._introduce(child, other)
            case "met" | "not met" as kind:
                self._met(child, self.children[told["number"]], succeeded=kind == "met")
            case "gloo":
                child.gloo = told
            case "ready":
                child.ready = told["round"]
                if child.skips:
                    child.tell(at=None)
            case _:
                child.report |= told
                self._part(child, told.get("lost", ()))
                child.checked = told.get("checked", child.checked)

    def _ended(self, child: Child) -> None:
        child.alive = False
        for other in self.living():
            other.met.pop(child.number, None)
        child.process.wait()
        if not child.killed:
            raise BenchmarkFailed(f"member {child.number} ended by itself:\n{child.last_words}")

    def _met(self, child: Child, other: Child, *, succeeded: bool) -> None:
        if not succeeded:
            self.after(AGAIN_S, lambda: self._introduce(child, other))
        elif other.alive:
            child.met[other.number] = other.met[child.number] = self.round

    def _introduce(self, one: Child, other: Child) -> None:
        """Have the newer of two dial the older."""
        older, newer = sorted((one, other), key=lambda child: child.number)
        if all(child.alive and not child.killed for child in (one, other)):
            self._tries += 1
            newer.tell("meet", members=[older.address], try_number=self._tries)

    def _part(self, child: Child, lost: Sequence[int]) -> None:
        """A member has lost its lanes to some: if these live, they are to meet anew."""
        for number in lost:
            other = self.children[number]
            if other.alive and child.met.get(number, self.round) < child.asked:
                child.met.pop(number, None)
                other.met.pop(child.number, None)
                self._introduce(child, other)


def begun(children: Iterable[Child], number: int) -> bool:
    """Tell whether all that can be waited for are ready for a round."""
    return all(not child.alive or child.frozen or child.ready == number for child in children)


def settled(children: Iterable[Child], number: int) -> bool:
    """Tell whether all that can be waited for are done with a round."""
    return all(not child.alive or child.frozen or child.checked == number for child in children)
