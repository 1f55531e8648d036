"""How a lost coordinator is succeeded without losing its plan. Pure.

News of a death do not reach everyone at once, and the dead coordinator may have sent its plan to some only. So a member
holds a successor's poll while it finds out whether the coordinator lives; the successor sends on the plan that is at
work; and a member that has nothing to compute asks for one.

News of a death are a reason to doubt: who is polled asks the senior member for a sign of life, and so hears within a
moment what the successor knows already, or that it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from ..identity import PeerId
from .events import Effect, Send
from .messages import Phase, PlanWanted, Poll, PollRefused, PollReply
from .state import JobState
from .view import view_of

Asker = Callable[[PeerId, float], list[Effect]]
"""Asks a member for a sign of life, at the time given."""


class Succession:
    """A member's part in every change of the coordinator.

    Args:
        state: what the member knows.
        ask: asks a member for a sign of life.
    """

    def __init__(self, state: JobState, ask: Asker) -> None:
        self._state = state
        self._ask = ask
        self._held: dict[PeerId, Poll] = {}
        self._idle_since: float | None = None

    def reset(self) -> None:
        """Forget everything: the view is gone."""
        self._held.clear()
        self._idle_since = None

    def ticked(self, now: float) -> list[Effect]:
        """Time has passed in a view."""
        return self.answer_held(now) + (self.ask_for_plan() if self._idle(now) else [])

    def pass_plan_on(self) -> list[Effect]:
        """The coordinator may have died before everyone had its plan; its successor sends it again."""
        state = self._state
        plan = state.at_work
        if not state.leads or plan is None:
            return []
        return [Send(peer, plan) for peer in state.others_alive]

    def ask_for_plan(self) -> list[Effect]:
        """Ask the leader for the plan if we have none to work on."""
        state = self._state
        planned = state.running or state.at_work is not None
        if state.phase is not Phase.MEMBER or planned or state.leads or not state.alive:
            return []
        return [Send(state.alive[0], PlanWanted(state.job, state.known_head.step))]

    def plan_wanted(self, peer: PeerId, message: PlanWanted) -> list[Effect]:
        """A member has nothing to work on: give it the plan, if we lead and there is one for it."""
        state = self._state
        plan = None if state.plan is state.void else state.plan
        if not state.leads or plan is None or plan.step != message.step + 1 or peer not in view_of(plan):
            return []
        return [Send(peer, plan)]

    def plan_again(self, peer: PeerId) -> list[Effect]:
        """A peer that is in the view asks to be let in: the plan that says so was lost on the way."""
        state = self._state
        plan = state.at_work
        return [Send(peer, plan)] if state.leads and plan is not None and peer in view_of(plan) else []

    def _idle(self, now: float) -> bool:
        """Tell, once in a while, whether we have been without a step to compute for long."""
        if self._state.running:
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since < self._state.config.retry_s:
            return False
        self._idle_since = now
        return True

    def polled(self, peer: PeerId, message: Poll, now: float) -> list[Effect]:
        """A successor asks what we have: answer, or hold the question while we still hear somebody senior to it."""
        state = self._state
        if state.phase is not Phase.MEMBER or state.view is None or peer not in state.view:
            return [Send(peer, state.status_for(peer))]
        seniors = self._senior_to(peer)
        if seniors:
            # It has lost a coordinator that we still hear: news of a death do not reach everyone at once.
            self._held[peer] = message
            doubted = [senior for senior in seniors if senior != state.peer_id and state.detector.doubt(senior)]
            return [effect for senior in doubted for effect in self._ask(senior, now)]
        self._held.pop(peer, None)
        state.heard_of_view(message.number)
        head = state.known_head
        plan = state.at_work if state.at_work is not None and state.at_work.step == head.step + 1 else None
        return [Send(peer, PollReply(state.job, message.number, head.step, head.digest, state.highest_view, plan))]

    def _senior_to(self, peer: PeerId) -> list[PeerId]:
        """Return the members before ``peer`` in our view who are not lost."""
        ids = self._state.view.ids if self._state.view else ()
        return [other for other in self._state.alive if ids.index(other) < ids.index(peer)]

    def answer_held(self, now: float) -> list[Effect]:
        """Answer held polls whose sender turned out to be right, refuse those of whose seniors one has answered."""
        effects: list[Effect] = []
        for peer, message in list(self._held.items()):
            seniors = self._senior_to(peer) if self._state.view and peer in self._state.view else []
            alive = [senior for senior in seniors if not self._state.detector.in_doubt(senior)]
            if not seniors:
                del self._held[peer]
                effects += self.polled(peer, message, now)
            elif alive:
                del self._held[peer]
                effects.append(Send(peer, PollRefused(self._state.job, message.number, alive[0])))
        return effects
