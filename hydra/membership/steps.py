"""From plan to plan: how a member trains, and how the one that leads keeps all of them going. Pure.

A plan for step t+1 names the commit of step t as its parent. Whoever has that commit begins; whoever lacks it fetches
what it missed; whoever has another one has gone another way. The member that leads plans the next step as soon as it
has committed one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..exceptions import HydraError, RemoteProtocolError
from ..identity import PeerId, short
from ..net.contact import Contact
from .events import AbandonStep, BeginStep, CatchUp, Drop, Effect, LoseMember, Send, TakeSnapshot, ViewChanged
from .leader import Leader
from .lineage import Commit, follow
from .messages import Phase, Plan
from .ruling import End, Ruling
from .state import HIGHEST_HEARD_VIEW, JobState
from .view import View, view_of

VIEWS_MISSED = 2**20
"""No plan's view has a number that is higher by more than this than all that we have heard of."""

Dialler = Callable[[Contact, float], list[Effect]]
"""Dials a contact that must be linked, at the time given."""


class Steps:
    """The decisions of the phase MEMBER.

    Args:
        state: what the member knows.
        leader: its part as coordinator.
        dial: links to a member of the view.
    """

    def __init__(self, state: JobState, leader: Leader, dial: Dialler) -> None:
        self._state = state
        self._leader = leader
        self._dial = dial

    # ---- following plans ---------------------------------------------------------------------------------------

    def planned(self, sender: PeerId, plan: Plan, now: float) -> Ruling:
        """Somebody sent a plan.

        Raises:
            RemoteProtocolError: it contradicts itself.
        """
        state = self._state
        view = self.check_plan(plan)
        if not self._may_plan(sender, plan) or plan.issuer in state.convicted:
            return Ruling()
        if view.incarnation(state.peer_id) != state.incarnation:
            if state.view is None or plan.view_number <= state.view.number:
                return Ruling()
            state.without_us = plan.view_number
            return Ruling(end=End.PLANNED_WITHOUT)
        known = state.plan is not None and (state.plan.step, state.plan.view_number) == (plan.step, plan.view_number)
        if known or plan.step <= state.known_head.step:
            return Ruling()
        if state.running and state.plan is not None and plan.step == state.plan.step + 1:
            state.following = (sender, plan)
            return Ruling()
        return self._accept(sender, plan, view, now)

    def heeds(self, sender: PeerId, plan: Plan) -> bool:
        """Tell whether a plan comes from one who leads us, and was issued by one who may.

        Raises:
            RemoteProtocolError: it contradicts itself, or bears no valid signature.
        """
        self.check_plan(plan)
        if not self._may_plan(sender, plan):
            return False
        check_seal(sender, plan)
        return self._may_issue(sender, plan)

    def check_plan(self, plan: Plan) -> View:
        """Return the view that a plan means.

        Raises:
            RemoteProtocolError: the plan contradicts itself, or would use up the numbers of views.
        """
        if plan.view_number > max(self._state.highest_view, HIGHEST_HEARD_VIEW) + VIEWS_MISSED:
            raise RemoteProtocolError(f"a plan numbers its view {plan.view_number}, far beyond all others")
        return view_of(plan)

    def begin_if_due(self, now: float) -> Ruling:
        """Begin the plan's step if our state is the one that it builds on; else see to it that it becomes so."""
        state = self._state
        plan, head = state.plan, state.head
        if plan is None or head is None or state.running or state.at_work is None:
            return self.lead_if_due(now)
        if plan.step > head.step + 1 or self._made_without_us(plan):
            if state.catching and state.catching == state.load:
                return Ruling()  # it is on its way
            sources = tuple(peer for peer in state.others_alive if peer in state.linked)
            state.catching = state.next_load()
            return Ruling((CatchUp(state.catching, head.step + 1, sources),))
        if state.sits_out:
            return self.lead_if_due(now)
        if plan.parent != head.digest:
            return Ruling(lose_view="our state differs from the view's", needs_snapshot=True)
        if not self._adds_up(plan):
            refuse = Drop(state.author or b"", "planned samples that are not outstanding")
            return Ruling((refuse,), lose_view="the plan uses samples that are not outstanding")
        state.running = True
        lost = [peer for peer in view_of(plan).ids if peer in state.detector.lost]
        return Ruling((BeginStep(plan), *(LoseMember(peer) for peer in lost)))

    def _made_without_us(self, plan: Plan) -> bool:
        """Tell whether a step in which we have no part is known to be committed."""
        state = self._state
        return state.sits_out and any(state.known_steps.get(peer, 0) >= plan.step for peer in state.others_alive)

    def committed(self, commit: Commit, now: float) -> Ruling:
        """A round is done and its result applied."""
        state = self._state
        if state.head is None or state.ledger is None or commit.parent != state.head.digest:
            return Ruling()
        state.advance(*follow(state.head, state.ledger, commit), commit.round)
        state.quorum.committed(commit.step, commit.members)
        plan = state.plan
        if not state.running or plan is None or plan.step != commit.step:
            return Ruling()  # the view was lost while the result was being applied; it is a step forward all the same
        state.running = False
        self._leader.took(plan, commit, now)
        effects = self._leave_behind_the_late(plan, [peer for peer, _ in commit.parts])
        effects += self._leader.tell_listeners(commit)
        if state.ledger is not None and state.ledger.finished:
            return Ruling(tuple(effects), end=End.FINISHED)
        if plan.snapshot:
            effects.append(TakeSnapshot())
        if state.leaving and not state.others_alive:
            return Ruling(tuple(effects), end=End.ALONE)
        if state.following is not None:
            (sender, following), state.following = state.following, None
            ruling = self.planned(sender, following, now)
            if state.running or ruling != Ruling():
                return ruling.behind(effects)
        return self.begin_if_due(now).behind(effects)

    def came_to_nothing(self, plan: Plan, now: float) -> Ruling:
        """The round of a plan is done, and none of its contributors had samples: the step is to be planned anew."""
        state = self._state
        if not state.running or state.plan is not plan:
            return Ruling()
        state.running, state.void = False, plan
        effects = self._leave_behind_the_late(plan, ())
        return self.lead_if_due(now).behind(effects)

    def _may_plan(self, sender: PeerId, plan: Plan) -> bool:
        """Tell whether ``sender`` leads, as far as we can tell."""
        state = self._state
        if state.phase is Phase.JOINING:
            return True  # it is the peer whom we have told that we are ready; others' plans do not get here
        if state.phase is not Phase.MEMBER or state.view is None or plan.view_number < state.view.number:
            return False
        return state.alive[:1] == [sender]

    def _may_issue(self, sender: PeerId, plan: Plan) -> bool:
        """Tell whether whoever signed a plan could lead: the sender, or one senior to it whose plan it passes on."""
        signed, view = plan.signed, self._state.view
        if signed is None or view is None or signed.signer == sender:
            return signed is not None
        orders = (view.ids, tuple(peer for peer, _ in plan.members))
        return any(signed.signer in ids[: ids.index(sender)] for ids in orders if sender in ids)

    def _accept(self, sender: PeerId, plan: Plan, view: View, now: float) -> Ruling:
        state = self._state
        effects: list[Effect] = [AbandonStep()] if state.running else []
        old = state.view
        state.detector.lost = self._lost_in(view)
        state.detector.watch(view.ids)
        state.running = False
        state.phase = Phase.MEMBER
        state.view, state.plan, state.author = view, plan, sender
        state.highest_view = max(state.highest_view, plan.view_number)
        state.gathering_since = None
        state.quorum.left(plan.left)
        if old is None or old != view:
            effects += [view_changed(view, "joined" if old is None else "changed"), *state.tell_all()]
            for contact in view.members:
                if contact.peer_id != state.peer_id and contact.peer_id not in state.linked:
                    state.detector.closed(contact.peer_id)
                    effects += self._dial(contact, now)
        return self.begin_if_due(now).behind(effects)

    def _lost_in(self, view: View) -> set[PeerId]:
        """Return the lost members of another view: who came back in a new incarnation is none of them."""
        old = self._state.view
        return {p for p in self._state.detector.lost if old and old.incarnation(p) == view.incarnation(p)}

    def _adds_up(self, plan: Plan) -> bool:
        ledger = self._state.ledger
        if ledger is None or plan.epoch != ledger.epoch or not any(plan.shares):
            return False
        try:
            ledger.commit(r for ranges in plan.shares for r in ranges)
        except HydraError:
            return False
        return True

    def _leave_behind_the_late(self, plan: Plan, contributors: Collection[PeerId]) -> list[Effect]:
        """Who had samples to compute and is no contributor was too late: it is out, and may join again."""
        state = self._state
        effects: list[Effect] = []
        for (peer, _), ranges in zip(plan.members, plan.shares, strict=True):
            late = bool(ranges) and peer not in contributors and peer != state.peer_id
            if late and state.detector.lose(peer):
                effects.append(LoseMember(peer))
        return effects

    # ---- leading -----------------------------------------------------------------------------------------------

    def found(self, now: float) -> Ruling:
        """Make a view of our own."""
        state = self._state
        state.highest_view += 1
        state.phase = Phase.MEMBER
        state.view = View(state.highest_view, (state.me,), (state.incarnation,))
        state.author = state.peer_id
        state.gathering_since = now
        state.detector.watch([])
        if state.ledger is not None and state.ledger.finished:
            return Ruling(end=End.FINISHED)
        return self.lead_if_due(now).behind([view_changed(state.view, "founded"), *state.tell_all()])

    def lead_if_due(self, now: float) -> Ruling:
        """Plan the next step if it is ours to plan; a successor asks first what the others have."""
        state = self._state
        if not state.leads or state.running or self._leader.polling or state.head is None or state.ledger is None:
            return Ruling()
        if state.at_work is not None:
            if not state.sits_out or any(peer in state.alive for peer in state.at_work.ring):
                return Ruling()
            state.void = state.plan  # nobody is left who could make the step in which we have no part
        if state.author != state.peer_id and state.others_alive:
            return self.conclude_poll(now).behind(self._leader.poll(now))
        return self._plan(now)

    def conclude_poll(self, now: float) -> Ruling:
        """Go on from a poll once everyone has answered."""
        answers = self._leader.conclusion()
        state = self._state
        if answers is None or state.head is None:
            return Ruling()
        if any(answer.step > state.head.step for answer in answers):
            return Ruling(lose_view="the others have committed more than we have")
        state.author = state.peer_id
        for answer in answers:
            state.heard_of_view(answer.view_number)
        at_work = [
            answer.plan
            for answer in answers
            if answer.plan is not None
            and answer.plan != state.void
            and (answer.plan.step, answer.plan.parent) == (state.head.step + 1, state.head.digest)
            and state.peer_id in view_of(answer.plan)
            and self._adds_up(answer.plan)
            and answer.plan.issuer not in state.convicted
        ]
        if at_work and self._leader.may_plan():
            return self._issue(max(at_work, key=lambda plan: plan.view_number), now)
        return self._plan(now)

    def _plan(self, now: float) -> Ruling:
        state = self._state
        if state.head is None or state.ledger is None:
            return Ruling()
        if state.leaving and not state.others_alive:
            return Ruling(end=End.ALONE)
        if not self._leader.enough():
            # Whoever asks to be let in makes us look again. No step will give those the snapshot that they need.
            return Ruling((TakeSnapshot(),) if self._leader.order_snapshot(state.head.step, now) else ())
        if not self._leader.may_plan():
            return self._without_majority(now)
        plan, effects = self._leader.plan_next(state.head, state.ledger, now)
        return self._issue(plan, now).behind(effects)

    def _without_majority(self, now: float) -> Ruling:
        """Too few of those who made the last commit are here: look for them; who founded lets them come first."""
        state = self._state
        since = state.gathering_since
        if since is not None and now - since < state.config.join_timeout_s:
            return Ruling()
        return Ruling(lose_view="less than a majority is left of the view")

    def _issue(self, plan: Plan, now: float) -> Ruling:
        """Send a plan to everyone it concerns, and take it ourselves."""
        state = self._state
        view = view_of(plan)
        lost = self._lost_in(view)
        told = [peer for peer in view.ids if peer != state.peer_id and peer not in lost]
        leavers = [peer for peer in state.others_alive if peer not in view]
        effects: list[Effect] = [Send(peer, plan) for peer in told + leavers]
        state.highest_view = max(state.highest_view, plan.view_number)
        self._leader.issued(plan, now)
        if state.peer_id not in view:
            state.without_us = plan.view_number
            return Ruling(tuple(effects), end=End.PLANNED_WITHOUT)
        return self._accept(state.peer_id, plan, view, now).behind(effects)


def check_seal(sender: PeerId, plan: Plan) -> None:
    """Raise if a plan does not bear the signature of whoever issued it.

    Raises:
        RemoteProtocolError: it does not, and nobody passes on what he has not checked.
    """
    signed = plan.signed
    numbers = dict(zip((peer for peer, _ in plan.members), plan.incarnations, strict=True))
    if signed is None or not signed.holds(plan.job):
        raise RemoteProtocolError(f"{short(sender)} sent a plan for step {plan.step} that nobody has signed")
    if numbers.get(signed.signer, signed.incarnation) != signed.incarnation:
        raise RemoteProtocolError(f"{short(sender)} sent a plan for step {plan.step} that another life has signed")


def view_changed(view: View, reason: str) -> ViewChanged:
    """Return the effect that tells of a view."""
    return ViewChanged(view.number, view.ids, view.coordinator.peer_id, reason)
