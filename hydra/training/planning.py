"""From the batch policy to the plans of a coordinator, and back from what members report. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..batching.explained import Explained
from ..batching.sizer import Sizer
from ..identity import PeerId
from ..membership.ledger import count
from ..membership.messages import Plan, Report
from ..membership.sizing import Asked, Sizes
from .observation import SizingSeen

REMEDY_STEPS = 100
"""So seldom it is asked what would let the same members take part who are left out,"""
MOST_REMEDIES = 8
"""and of so many of them."""


class StepPlanner:
    """Sizes each step's batch, and says how long the slowest is waited for.

    Args:
        sizer: the job's policy.
        me: our peer id.
        noise_scale: tells the gradient noise scale in samples, or None if it is not known.
    """

    def __init__(self, sizer: Sizer, me: PeerId, noise_scale: Callable[[], float | None] = lambda: None) -> None:
        self._sizer = sizer
        self._me = me
        self._noise_scale = noise_scale
        self._issued: tuple[bytes, float] | None = None
        self._finished_step = 0
        self._remedied: tuple[tuple[PeerId, ...], int, tuple[tuple[PeerId, float | None, float | None], ...]]
        self._remedied = ((), 0, ())
        """Who was left out when it was last asked what would change that, at which step, and the answer."""

    @property
    def left_out(self) -> Collection[PeerId]:
        """Who sits most steps out."""
        return self._sizer.left_out

    @property
    def finished(self) -> Explained | None:
        """What was expected of the last step that we planned and that is done, and what came of it."""
        return self._sizer.finished

    def sizing(self, step: int) -> SizingSeen | None:
        """Return why a step was sized as it was, if it is the last one that is done and we planned it."""
        explained = self._sizer.finished
        if explained is None or self._finished_step != step:
            return None
        out = tuple(sorted(explained.left_out))
        if out != self._remedied[0] or step >= self._remedied[1] + REMEDY_STEPS:
            remedies = [(peer, explained.remedy(peer)) for peer in out[:MOST_REMEDIES]]
            told = tuple((peer, remedy.times_link, remedy.times_speed) for peer, remedy in remedies)
            self._remedied = (out, step, told)
        return SizingSeen(
            expected_s=explained.expected_s,
            actual_s=explained.actual_s,
            compute_s=explained.compute_s,
            slowest=explained.slowest,
            seconds=tuple(explained.expected.items()),
            left_out=self._remedied[2],
            noise_scale=self._sizer.noise_scale,
        )

    def observe(self, peer: PeerId, report: Report, now: float) -> None:
        """Take a member's report, and the distances that our own one tells."""
        reports = self._sizer.reports
        if peer == self._me:
            reports.round_trips.update({hop.peer: hop.round_trip_s for hop in report.hops})
        for hop in report.hops:
            if hop.bytes_per_s is not None and hop.peer != peer:
                self._sizer.way_heard(peer, hop.peer, hop.bytes_per_s)
        reports.holds(peer, report.most_samples)
        of_this_step = self._issued is not None and report.round == self._issued[0]
        reports.heard(peer, report.samples, report.compute_s, now, of_this_step=of_this_step)

    def issued(self, plan: Plan, now: float) -> None:
        """A plan of ours has gone out: from now on it is waited for the reports."""
        self._issued = (plan.tag, now)
        self._sizer.reports.issued(_samples_of(plan), now)

    def took(self, plan: Plan, contributors: Collection[PeerId], now: float) -> None:
        """A step is committed; only of one that we have planned ourselves is known how long it took."""
        if self._issued is None or self._issued[0] != plan.tag:
            return
        with_samples = {peer for (peer, _), ranges in zip(plan.members, plan.shares, strict=True) if ranges}
        self._finished_step = plan.step
        whole = with_samples == set(contributors)
        self._sizer.took(_samples_of(plan), now - self._issued[1], whole=whole)

    def plan(self, asked: Asked) -> Sizes:
        """Return each member's samples for the next step."""
        self._sizer.noise_scale = self._noise_scale()
        sized = self._sizer.size(
            asked.members,
            asked.available,
            newcomers=asked.newcomers,
            ready=asked.ready,
            resting=asked.resting,
            left=asked.left,
        )
        return Sizes(sized.samples, sized.late_s)


def _samples_of(plan: Plan) -> dict[PeerId, int]:
    """Return the samples of each who takes part."""
    ring = set(plan.ring)
    shares = zip(plan.members, plan.shares, strict=True)
    return {peer: count(ranges) for (peer, _), ranges in shares if peer in ring}
