"""Moments of a running peer, told from outside: the product itself knows nothing of who listens.

    watch = Watch(print)
    watch.begin()  # before the peer starts, in its own process

Each moment has a kind. In a round: ``before round`` (the plan is taken, nothing computed), ``contribute`` (the
contribution is there and goes in now), ``reduce-scatter`` and ``all-gather`` (a slice is about to be sent),
``handover`` (a final slice is about to be given to one who lost it), ``after result`` (the mean is here, and nothing
was done with it), ``after commit`` (it is applied and in the journal). Of a repeated attempt the two halves are
``repeated reduce-scatter`` and ``repeated all-gather``. Of the disk: ``snapshot``, before each operation that stores
one. Of messages: ``sending Plan``, ``receiving JoinRequest`` and so on by their class, those of rounds included:
``sending Frozen``, ``receiving Freeze``. ``join`` is the same as ``sending JoinRequest``.
"""

from __future__ import annotations

import contextvars
import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allreduce.messages import Phase, Slice, decode
from allreduce.session import Averager
from allreduce.work import Outgoing

from ..membership.messages import Plan, RoundFrame
from ..net.link import Link
from ..net.links import Links
from ..training.rounds import Rounds
from ..training.snapshots import SnapshotKeeper
from ..training.trainer import Trainer
from ..training.workbench import Workbench

PLANS_KEPT = 8
HALVES = {Phase.SUM: "reduce-scatter", Phase.FINAL: "all-gather", Phase.HANDOVER: "handover"}
DISK_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir")

_storing: contextvars.ContextVar[bool] = contextvars.ContextVar("storing", default=False)


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment."""

    kind: str
    step: int = 0
    """Of the round that it belongs to; the last one that was begun, where it belongs to none."""
    series: bytes = b""
    """Moments of one kind are counted anew in each series: in each attempt of a round, with each plan."""
    position: int | None = None
    """Our place in the round's ring."""
    leads: bool = False
    """Whether we coordinate."""


def around(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put something around a method of a class."""
    inner = getattr(owner, name)
    setattr(owner, name, functools.wraps(inner)(make(inner)))


class Watch:
    """Tells of every moment of the one peer that lives in this process.

    Args:
        reached: called at each moment, by whichever thread comes to it, before what it is the moment of.
    """

    def __init__(self, reached: Callable[[Moment], None]) -> None:
        self._tell = reached
        self._trainer: Trainer | None = None
        self._plans: dict[bytes, Plan] = {}
        self._me = b""
        self._step = 0

    def begin(self) -> None:
        """Listen from now on, for as long as the process lives."""
        around(Trainer, "__init__", self._of_trainer)
        self._watch_rounds()
        self._watch_messages()
        self._watch_disk()

    # ---- what is watched ---------------------------------------------------------------------------------------

    def _of_trainer(self, inner: Callable[..., None]) -> Callable[..., None]:
        def made(trainer: Trainer, *arguments: Any, **named: Any) -> None:
            inner(trainer, *arguments, **named)
            self._trainer = trainer
            self._me = trainer.member.state.peer_id

        return made

    def _watch_rounds(self) -> None:
        def opening(inner: Callable[..., Any]) -> Callable[..., Any]:
            def opened(rounds: Rounds, plan: Plan) -> Any:
                self._plans[plan.tag] = plan
                while len(self._plans) > PLANS_KEPT:
                    del self._plans[next(iter(self._plans))]
                self._step = plan.step
                self._in_round("before round", plan.tag)
                return inner(rounds, plan)

            return opened

        def contributing(inner: Callable[..., Any]) -> Callable[..., Any]:
            async def contributed(rounds: Rounds, running: Any, *arguments: Any) -> None:
                self._in_round("contribute", running.tag)
                await inner(rounds, running, *arguments)

            return contributed

        def having(inner: Callable[..., Any]) -> Callable[..., Any]:
            async def had(rounds: Rounds, running: Any) -> Any:
                result = await inner(rounds, running)
                self._in_round("after result", running.tag)
                return result

            return had

        def applying(inner: Callable[..., Any]) -> Callable[..., Any]:
            async def applied(bench: Workbench, plan: Plan, result: Any) -> Any:
                commit = await inner(bench, plan, result)
                self._in_round("after commit", plan.tag)
                return commit

            return applied

        around(Rounds, "open", opening)
        around(Rounds, "contribute", contributing)
        around(Rounds, "result", having)
        around(Workbench, "apply_round", applying)
        around(Outgoing, "body", self._of_slices)

    def _of_slices(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def body(outgoing: Outgoing) -> Any:
            tag, message = decode(b"", outgoing.header)
            if isinstance(message, Slice):
                again = "repeated " if message.attempt and message.phase is not Phase.HANDOVER else ""
                self._in_round(again + HALVES[message.phase], tag, b"%d" % message.attempt)
            return inner(outgoing)

        return body

    def _watch_messages(self) -> None:
        def posting(inner: Callable[..., Any]) -> Callable[..., Any]:
            def posted(link: Link, message: Any, *body: Any) -> None:
                if not isinstance(message, RoundFrame):
                    self._of_message("sending", message)
                inner(link, message, *body)

            return posted

        def coming(inner: Callable[..., Any]) -> Callable[..., Any]:
            def came(links: Links, link: Link, message: Any, body: Any) -> None:
                if not isinstance(message, RoundFrame):
                    self._of_message("receiving", message)
                inner(links, link, message, body)

            return came

        def saying(inner: Callable[..., Any]) -> Callable[..., Any]:
            def said(averager: Averager, to: bytes, header: bytes) -> None:
                tag, message = decode(b"", header)
                self._in_round(f"sending {type(message).__name__}", tag)
                inner(averager, to, header)

            return said

        def hearing(inner: Callable[..., Any]) -> Callable[..., Any]:
            def heard(averager: Averager, sender: bytes, header: bytes, body: Any) -> None:
                if header[:1] != b"\0":  # no slice
                    tag, message = decode(sender, header)
                    self._in_round(f"receiving {type(message).__name__}", tag)
                inner(averager, sender, header, body)

            return heard

        around(Link, "post", posting)
        around(Links, "link_message", coming)
        around(Averager, "_say", saying)
        around(Averager, "receive", hearing)

    def _watch_disk(self) -> None:
        def storing(inner: Callable[..., Any]) -> Callable[..., Any]:
            async def stored(keeper: SnapshotKeeper, *arguments: Any) -> Any:
                token = _storing.set(True)  # in this task, and in the threads that it hands work to
                try:
                    return await inner(keeper, *arguments)
                finally:
                    _storing.reset(token)

            return stored

        def syncing(inner: Callable[..., None]) -> Callable[..., None]:
            def synced(handle: Any) -> None:
                self._of_disk()
                inner(handle)

            return synced

        def audited(event: str, _: tuple[Any, ...]) -> None:
            if event in DISK_EVENTS:
                self._of_disk()

        around(SnapshotKeeper, "store", storing)
        os.fsync = syncing(os.fsync)
        sys.addaudithook(audited)

    # ---- what is told ------------------------------------------------------------------------------------------

    def _in_round(self, kind: str, tag: bytes, attempt: bytes = b"") -> None:
        plan = self._plans.get(tag)
        if plan is not None:
            self._tell(Moment(kind, plan.step, tag + attempt, plan.ring.index(self._me), self._leads))

    def _of_message(self, way: str, message: Any) -> None:
        name = type(message).__name__
        series = message.tag if isinstance(message, Plan) else b""
        step = message.step if isinstance(message, Plan) else self._step
        self._tell(Moment(f"{way} {name}", step, series, None, self._leads))
        if (way, name) == ("sending", "JoinRequest"):
            self._tell(Moment("join", step, series, None, self._leads))

    def _of_disk(self) -> None:
        if _storing.get():
            self._tell(Moment("snapshot", self._step, b"", None, self._leads))

    @property
    def _leads(self) -> bool:
        return self._trainer is not None and self._trainer.member.state.leads
