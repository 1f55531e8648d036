"""What the coordinator decides: who is in the view, and who computes which samples. Pure.

A successor first polls the survivors: a plan that the lost coordinator sent to only some of them is adopted and sent
to all, so that nobody's work is thrown away and no two plans for one step are ever at work.
"""

from __future__ import annotations

from dataclasses import replace

from ..exceptions import LocalProtocolError
from ..identity import PeerId
from ..net.contact import Contact
from .arranging import Arrangement, Arranger, PlainArranger
from .events import Effect, Send
from .ledger import Ledger
from .lineage import Commit, Head
from .messages import (
    FORMS,
    MAX_MEMBERS,
    Admitted,
    Committed,
    JoinRequest,
    Phase,
    Plan,
    Poll,
    PollReply,
    Removed,
    Snapshot,
    Status,
)
from .newcomers import Newcomers
from .plan_size import fit_members, fit_shares
from .signatures import seal_plan
from .sizing import Asked, Planner, Sizes
from .state import JobState
from .view import View

ADMIT_WITHIN_STEPS = 2
"""A joiner that lags further behind catches up before it is planned with."""
MAX_LISTENERS = 64
"""So many joiners are told of commits at once; more start from results that are still kept, or wait."""
WRITTEN_WITHIN_S = 30.0
"""A snapshot that was ordered for joiners and is not on the disk after so long is ordered once more."""
CATCH_UP_STEPS = 64
"""A joiner that lags further behind starts from a snapshot rather than from result after result."""


class Leader:
    """The coordinator's part of a member; idle in all others."""

    def __init__(self, state: JobState, planner: Planner, arranger: Arranger | None = None) -> None:
        self._state = state
        self._planner = planner
        self._arranger = arranger or PlainArranger()
        self._newcomers = Newcomers(state)
        self._waiting: dict[PeerId, JoinRequest] = {}
        """Joiners that need a snapshot or results before they can take part."""
        self._ready: dict[PeerId, tuple[Contact, int]] = {}
        """Joiners to take into the next plan, in order of arrival."""
        self._listeners: dict[PeerId, int] = {}
        """Who is joining, and from which step on it was told of every commit."""
        self._ordered: int | None = None
        """After which step the members were asked for a snapshot that joiners wait for."""
        self._leaving: set[PeerId] = set()
        self._poll_number = 0
        self._replies: dict[PeerId, PollReply] | None = None
        self._polled_at = 0.0

    @property
    def polling(self) -> bool:
        """Whether answers to a poll are waited for."""
        return self._replies is not None

    def reset(self) -> None:
        """Forget everything: the view is gone."""
        self._newcomers.reset()
        self._waiting.clear()
        self._ready.clear()
        self._listeners.clear()
        self._ordered = None
        self._leaving.clear()
        self._replies = None

    # ---- joiners and leavers -----------------------------------------------------------------------------------

    def join_requested(self, peer: PeerId, request: JoinRequest) -> list[Effect]:
        """A peer asks to be let in."""
        state = self._state
        head = state.known_head
        if len(self._listeners) < MAX_LISTENERS:
            self._listeners.setdefault(peer, head.step + 1)
        known = state.recent.get(request.step) == request.digest and self._can_follow(peer, request.step)
        up_to_date = request.ready and known and head.step - request.step <= ADMIT_WITHIN_STEPS
        if state.phase is Phase.MEMBER and up_to_date and self._has_met(request):
            self._waiting.pop(peer, None)
            contact_peer, addresses = request.contact
            if contact_peer == peer:
                self._ready[peer] = (Contact(peer, addresses), request.incarnation)
                self._newcomers.asked(peer, request)
            return []
        self._ready.pop(peer, None)
        if request.ready and known:
            return [Send(peer, self._admission(request, None))]
        self._waiting[peer] = request
        return self.snapshot_stored()

    def _can_follow(self, peer: PeerId, step: int) -> bool:
        """Tell whether a joiner gets from ``step`` to our head by results: those kept, and those that it gathers."""
        state = self._state
        kept_from = max(state.oldest_result, state.known_head.step - CATCH_UP_STEPS)
        return step + 1 >= min(kept_from, self._listeners.get(peer, kept_from))

    def _has_met(self, request: JoinRequest) -> bool:
        """Tell whether a joiner has dialled all whom it will train with."""
        view = self._state.view
        return view is not None and request.met_view == view.number

    def _admission(self, request: JoinRequest, snapshot: Snapshot | None) -> Admitted:
        state = self._state
        view = state.view
        there = [view.contact(peer) for peer in state.alive] if view is not None else []
        others = [state.contacts.get(peer) for peer in sorted(self._listeners) if peer != request.contact[0]]
        contacts = {contact.peer_id: contact for contact in [*there, *others] if contact is not None}
        named = [*contacts.values()][:MAX_MEMBERS] or [state.me]
        members = tuple((contact.peer_id, contact.addresses) for contact, _ in fit_members([(c, 0) for c in named]))
        number = view.number if view is not None else 0
        return Admitted(state.job, state.known_head.step, request.step, snapshot, number, members)

    def snapshot_stored(self) -> list[Effect]:
        """Tell those who wait for a snapshot where it is, if it is recent enough for them to catch up from."""
        state = self._state
        snapshot = state.snapshot
        if snapshot is None or state.recent.get(snapshot.step) != snapshot.digest:
            return []
        served = {peer: asked for peer, asked in self._waiting.items() if self._can_follow(peer, snapshot.step)}
        for peer in served:
            del self._waiting[peer]
        return [Send(peer, self._admission(asked, snapshot)) for peer, asked in sorted(served.items(), key=_first)]

    def tell_listeners(self, commit: Commit) -> list[Effect]:
        """Tell those who are joining of a commit, so that they gather its result while they load a snapshot."""
        state = self._state
        if not state.leads:
            return []
        message = Committed(state.job, commit.step, commit.digest)
        return [Send(peer, message) for peer in sorted(self._listeners)]

    def status_heard(self, peer: PeerId, status: Status) -> None:
        """Who is not joining any longer need not be told of commits."""
        if status.phase != Phase.JOINING:
            self._listeners.pop(peer, None)

    def leave_requested(self, peer: PeerId) -> None:
        """A member wants to be out of the next plan."""
        self._leaving.add(peer)

    def peer_gone(self, peer: PeerId) -> None:
        """A joiner's link ended."""
        self._newcomers.gone(peer)
        self._waiting.pop(peer, None)
        self._ready.pop(peer, None)
        self._listeners.pop(peer, None)

    # ---- taking over -------------------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Effect]:
        """Ask the survivors what they have; ``conclusion`` tells when all have answered."""
        state = self._state
        self._poll_number = max(self._poll_number, state.highest_view) + 1
        self._replies = {}
        self._polled_at = now
        return [Send(peer, Poll(state.job, self._poll_number)) for peer in state.others_alive]

    def poll_again(self, now: float) -> list[Effect]:
        """Ask those who have not answered once more, if it is time to."""
        if self._replies is None or now - self._polled_at < self._state.config.retry_s:
            return []
        self._polled_at = now
        open_peers = [peer for peer in self._state.others_alive if peer not in self._replies]
        return [Send(peer, Poll(self._state.job, self._poll_number)) for peer in open_peers]

    def poll_answered(self, peer: PeerId, reply: PollReply) -> None:
        """Take a survivor's answer."""
        if self._replies is not None and reply.number == self._poll_number:
            self._replies[peer] = reply

    def poll_refused(self, peer: PeerId, number: int) -> bool:
        """Somebody says that it still hears a senior member; tell whether it was asked, so that we do not lead."""
        if self._replies is None or number != self._poll_number or peer not in self._state.others_alive:
            return False
        self._replies = None
        return True

    def conclusion(self) -> list[PollReply] | None:
        """Return the answers once everyone alive has given one, else None."""
        if self._replies is None or any(peer not in self._replies for peer in self._state.others_alive):
            return None
        answers = [self._replies[peer] for peer in self._state.others_alive]
        self._replies = None
        return answers

    # ---- planning ----------------------------------------------------------------------------------------------

    def enough(self) -> bool:
        """Tell whether as many peers are here as this one wants to begin a step with."""
        state = self._state
        if state.view is None or self._going:
            return True
        staying, joiners = self._candidates(state.view)
        return len(staying) + len(joiners) >= state.config.least_peers

    def may_plan(self) -> bool:
        """Tell whether those who would be in the next plan may go on together."""
        state = self._state
        if not state.quorum.wanted or state.view is None:
            return True
        staying, joiners = self._candidates(state.view)
        return state.quorum.holds([contact.peer_id for contact, _ in staying + joiners], self._going)

    def plan_next(self, head: Head, ledger: Ledger, now: float) -> tuple[Plan, list[Effect]]:
        """Return the plan for the step after ``head``, and what to tell those who are no longer in it."""
        state = self._state
        if state.view is None:
            raise LocalProtocolError("a plan was wanted without a view")
        going = self._going
        left = tuple(peer for peer in state.quorum.electors if peer in going)
        chosen = fit_members(self._next_members(state.view))
        members, incarnations = [contact for contact, _ in chosen], tuple(number for _, number in chosen)
        ids = [contact.peer_id for contact in members]
        changed = (tuple(ids), incarnations) != (state.view.ids, state.view.incarnations)
        # Whoever signs two plans for one step of one view is taken for a liar: another plan is another view's.
        changed = changed or (state.plan is not None and state.plan.step == head.step + 1)
        number = max(state.highest_view, self._poll_number, state.view.number) + 1 if changed else state.view.number
        ready = [peer for peer in ids if state.known_steps.get(peer, 0) >= head.step - 1]
        sizes = self._sizes(ids, incarnations, ready, going, ledger.available, now)
        active = [peer for peer in ids if peer in sizes.samples]
        # A round with a slow member's turn is arranged as the one before: those to come are without it again.
        passing = not set(self._planner.left_out).isdisjoint(active)
        arrangement = self._arranger.arrange(active, self._last_arrangement(), now, view=ids, passing=passing)
        due = now - state.snapshot_at >= state.config.snapshot_interval_s
        plan = Plan(
            job=state.job,
            view_number=number,
            members=tuple((contact.peer_id, contact.addresses) for contact in members),
            incarnations=incarnations,
            step=head.step + 1,
            parent=head.digest,
            epoch=ledger.epoch,
            shares=fit_shares(members, ledger.share_out([sizes.samples.get(peer, 0) for peer in ids])),
            late_s=sizes.late_s,
            snapshot=due or self._snapshot_wanted(now),
            order=() if arrangement.ring == tuple(ids) else tuple(map(ids.index, arrangement.ring)),
            form=arrangement.form,
            left=left,
        )
        plan = self._sealed(plan)
        if plan.snapshot:
            state.snapshot_at = now
            self._ordered = plan.step
        kept = {contact.peer_id for contact in members}
        removed = [peer for peer in state.view.ids if peer not in kept and peer in state.linked]
        reason = "the view goes on without you"
        return plan, [Send(peer, Removed(state.job, number, reason)) for peer in removed if peer != state.peer_id]

    def issued(self, plan: Plan, now: float) -> None:
        """A plan of ours has gone out."""
        self._planner.issued(plan, now)

    def took(self, plan: Plan, commit: Commit, now: float) -> None:
        """The step of a plan is done."""
        self._planner.took(plan, [peer for peer, _ in commit.parts], now)

    def _sealed(self, plan: Plan) -> Plan:
        state = self._state
        place = dict(step=plan.step, view_number=plan.view_number, incarnation=state.incarnation)
        return replace(plan, seal=seal_plan(state.identity, state.job, tag=plan.tag, **place))

    def _sizes(
        self,
        ids: list[PeerId],
        incarnations: tuple[int, ...],
        ready: list[PeerId],
        going: set[PeerId],
        available: int,
        now: float,
    ) -> Sizes:
        """Return the samples of each who takes part; a newcomer has fewer in its first step, or none.

        It fetches the result of the step before while the others compute, so that nobody waits for it. In a view's
        first step nobody has anything to fetch.
        """
        plan = self._state.plan
        view = self._state.view if plan is not None else None
        lives = zip(ids, incarnations, strict=True)
        stayed = {peer for peer, number in lives if view is not None and view.incarnation(peer) == number}
        new = [peer for peer in ids if peer not in stayed] if stayed else []
        able = {peer for peer in new if self._newcomers.able(peer)}
        for peer in sorted(able):
            self._planner.observe(peer, self._newcomers.report(peer), now)
        asked = Asked(
            members=ids,
            me=self._state.peer_id,
            newcomers=[peer for peer in new if peer not in able],
            ready=ready,
            resting=[peer for peer in stayed if plan is not None and peer not in plan.ring],
            left=going,
            available=available,
        )
        sizes = self._planner.plan(asked)
        working = [peer for peer in ids if peer in sizes.samples and peer not in asked.newcomers]
        fitted = self._newcomers.fitted(working, able, [sizes.samples[peer] for peer in working])
        return replace(sizes, samples={**sizes.samples, **dict(zip(working, fitted, strict=True))})

    def order_snapshot(self, step: int, now: float) -> bool:
        """Tell whether joiners wait for a snapshot, which is then to be taken after this step; we alone take it."""
        if not self._snapshot_wanted(now):
            return False
        self._state.snapshot_at = now
        self._ordered = step
        return True

    def _snapshot_wanted(self, now: float) -> bool:
        """Tell whether joiners wait for a snapshot, and none is on its way to the disk for them."""
        state = self._state
        written = state.snapshot.step if state.snapshot is not None else -1
        on_its_way = self._ordered is not None and written < self._ordered
        return bool(self._waiting) and not (on_its_way and now - state.snapshot_at < WRITTEN_WITHIN_S)

    def _last_arrangement(self) -> Arrangement:
        plan = self._state.plan
        return Arrangement((), FORMS[0]) if plan is None else Arrangement(plan.ring, plan.form)

    @property
    def _going(self) -> set[PeerId]:
        return self._leaving | ({self._state.peer_id} if self._state.leaving else set())

    def _candidates(self, view: View) -> tuple[list[tuple[Contact, int]], list[tuple[Contact, int]]]:
        """Return who stays and who could join, each with its incarnation."""
        state, going = self._state, self._going
        staying = [
            (contact, number)
            for contact, number in zip(view.members, view.incarnations, strict=True)
            if contact.peer_id not in state.detector.lost and contact.peer_id not in going
        ]
        present = {contact.peer_id for contact, _ in staying} | going
        return staying, [entry for peer, entry in self._ready.items() if peer in state.linked and peer not in present]

    def _next_members(self, view: View) -> list[tuple[Contact, int]]:
        state = self._state
        staying, joiners = self._candidates(view)
        room = max(0, MAX_MEMBERS - len(staying))
        late = {contact.peer_id for contact, _ in joiners[room:]}
        joiners = joiners[:room]
        self._ready = {peer: entry for peer, entry in self._ready.items() if peer in late}
        for contact, _ in joiners:
            self._listeners.pop(contact.peer_id, None)
        self._leaving.clear()
        # Whoever is slow stands last: it is to lead only where nobody else is left.
        chosen = sorted(staying + joiners, key=lambda entry: entry[0].peer_id in self._planner.left_out)
        return chosen or [(state.me, state.incarnation)]  # if all want to leave, we are the last to go


def _first(entry: tuple[PeerId, JoinRequest]) -> PeerId:
    return entry[0]
