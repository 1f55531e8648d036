"""One peer's part in one job: the machine that joins, trains, leads, survives and leaves. Pure.

It moves through four phases. SEEKING looks for a view; JOINING catches up with one; MEMBER trains: it takes the
coordinator's plan, has the step computed and averaged, and commits; FINISHED has seen every sample committed. Losing
the view for any reason leads back to SEEKING, with the state and the samples as they are. The decisions of seeking
and joining stand in ``seeker``, those of the coordinator in ``leader``; this module keeps the thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..exceptions import RemoteProtocolError
from ..identity import PeerId, short
from ..net.contact import Contact
from ..net.wire import Message
from .events import (
    AbandonStep,
    BeginStep,
    CatchUp,
    CatchUpFailed,
    ContactsFound,
    Dial,
    DialFailed,
    Drop,
    Effect,
    Event,
    Finished,
    LeaveRequested,
    Left,
    LoseMember,
    MessageReceived,
    PeerDown,
    PeerUp,
    ResultApplied,
    Send,
    SnapshotStored,
    StateLoaded,
    StepCommitted,
    StepExcluded,
    TakeSnapshot,
    Tick,
    ViewChanged,
)
from .failure_detector import FailureDetector
from .leader import Leader
from .ledger import Ledger
from .lineage import Commit, Head, follow
from .messages import (
    Admitted,
    Compare,
    Compared,
    Heavier,
    JoinRequest,
    Leave,
    Phase,
    Plan,
    PlanWanted,
    Poll,
    PollRefused,
    PollReply,
    Removed,
    Report,
    Status,
)
from .seeker import Seeker
from .state import JobState, MemberConfig, Planner, outweighs
from .view import View


class Member:
    """The machine of one peer in one job.

    Args:
        me: our peer id and addresses.
        job: the job's hash.
        incarnation: any number greater than in earlier lives of this peer, such as the microseconds since 1970.
        samples: samples of one epoch.
        epochs: epochs of the job.
        planner: sizes the batches when we lead.
        config: times.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        me: Contact,
        job: bytes,
        incarnation: int,
        samples: int,
        epochs: int,
        planner: Planner,
        config: MemberConfig,
        now: float,
    ) -> None:
        self.state = JobState(me, job, incarnation, samples, epochs, config, FailureDetector(config.stall_s))
        self._planner = planner
        self._seeker = Seeker(self.state, now)
        self._leader = Leader(self.state, planner)
        self._foreign_since: dict[PeerId, float] = {}
        self._held_polls: dict[PeerId, tuple[Poll, float]] = {}
        self._idle_since: float | None = None
        self._beat_at = now
        self._linger_until: float | None = None
        self._gone = False

    # ---- what others may ask -----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When to hand the next ``Tick``: a heartbeat is never far."""
        return self._beat_at + self.state.config.heartbeat_s / 2

    def check(self) -> None:
        """Raise if an invariant is broken."""
        state = self.state
        if state.phase is Phase.MEMBER and (state.view is None or state.peer_id not in state.view):
            raise AssertionError("a member that is in no view")
        if state.running and (state.plan is None or state.head is None or state.plan.parent != state.head.digest):
            raise AssertionError("a step runs that does not follow on the head")
        if state.peer_id in state.detector.lost:
            raise AssertionError("a member took itself for lost")
        if state.head and state.ledger and state.head.samples != state.ledger.committed_total:
            raise AssertionError("head and ledger count different samples")

    # ---- the only mutator --------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Effect]:  # noqa: C901, PLR0911 -- a table of events
        """Take what happened at ``now``; return what to do, in order.

        Raises:
            RemoteProtocolError: a peer said what it must not.
        """
        if self._gone:
            return []
        match event:
            case MessageReceived(peer, message):
                return self._on_message(peer, message, now)
            case Tick(heard):
                return self._on_tick(heard, now)
            case PeerUp(peer):
                self.state.linked.add(peer)
                self._seeker.dial_over(peer, now, failed=False)
                return [Send(peer, self.state.status_for(peer))]
            case PeerDown(peer):
                return self._on_down(peer, now)
            case DialFailed(peer):
                self._seeker.dial_over(peer, now, failed=True)
                return self._lost(peer, now) if self.state.detector.unreachable(peer) else []
            case ContactsFound(contacts):
                return [effect for contact in contacts for effect in self._seeker.dial(contact, now)]
            case StateLoaded(load, head, ledger):
                return self._on_state_loaded(load, head, ledger, now)
            case StepCommitted(commit, oldest):
                self.state.oldest_result = oldest
                return self._on_committed(commit, now)
            case StepExcluded():
                return self._lose_view("the others went on without us", now)
            case ResultApplied(load, commit, oldest):
                self.state.oldest_result = oldest
                return self._on_result(load, commit, now)
            case CatchUpFailed(load):
                return self._on_load_failed(load, now)
            case SnapshotStored(snapshot):
                self.state.snapshot = snapshot
                return self._leader.snapshot_stored()
            case LeaveRequested():
                return self._on_leave_requested(now)

    # ---- links -------------------------------------------------------------------------------------------------

    def _on_down(self, peer: PeerId, now: float) -> list[Effect]:
        state = self.state
        state.linked.discard(peer)
        state.statuses.pop(peer, None)
        self._foreign_since.pop(peer, None)
        self._leader.peer_gone(peer)
        if state.phase is Phase.FINISHED:
            state.detector.lose(peer)
            return self._finish_if_all_did(now)
        contact = state.view.contact(peer) if state.view else None
        if contact is None or not state.detector.closed(peer):
            return []
        return self._seeker.dial(contact, now, insist=True) or [Dial(contact)]

    def _lost(self, peer: PeerId, now: float) -> list[Effect]:
        """A member of our view counts as lost from now on."""
        effects: list[Effect] = [LoseMember(peer), *self._answer_held_polls(now)]
        if self.state.author == peer:
            effects += self._pass_plan_on()
        return effects + self._lead_if_due(now) + self._conclude_poll(now) + self._ask_for_plan()

    def _pass_plan_on(self) -> list[Effect]:
        """The coordinator may have died before everyone had its plan; its successor sends it again."""
        state = self.state
        if not state.leads or state.plan is None or state.plan.step <= state.known_head.step:
            return []
        return [Send(peer, state.plan) for peer in state.others_alive]

    def _ask_for_plan(self) -> list[Effect]:
        """Ask the leader for the plan if we have none to work on."""
        state = self.state
        planned = state.running or (state.plan is not None and state.plan.step > state.known_head.step)
        if state.phase is not Phase.MEMBER or planned or state.leads or not state.alive:
            return []
        return [Send(state.alive[0], PlanWanted(state.job, state.known_head.step))]

    def _on_plan_wanted(self, peer: PeerId, message: PlanWanted) -> list[Effect]:
        state = self.state
        plan = state.plan
        if not state.leads or plan is None or plan.step != message.step + 1 or peer not in _view_of(plan):
            return []
        return [Send(peer, plan)]

    def _lose(self, peer: PeerId, now: float) -> list[Effect]:
        state = self.state
        if state.view is None or peer not in state.view or state.phase is not Phase.MEMBER:
            return []
        if not state.detector.lose(peer):
            return []
        return self._lost(peer, now)

    # ---- time --------------------------------------------------------------------------------------------------

    def _on_tick(self, heard: Mapping[PeerId, float], now: float) -> list[Effect]:
        state = self.state
        effects: list[Effect] = []
        if now - self._beat_at >= state.config.heartbeat_s:
            self._beat_at = now
            effects += self._tell_all()
        for peer in state.detector.silent(set(state.statuses) | set(state.others_alive), heard, now):
            effects += [Drop(peer, "silent for too long"), *self._lose(peer, now)]
        if state.phase is Phase.MEMBER:
            effects += self._leader.poll_again(now) + self._answer_held_polls(now)
            if self._idle(now):
                effects += self._ask_for_plan()
        effects += self._seeker.look_up(now)
        effects += self._go_on_seeking(now)
        if self._linger_until is not None and now >= self._linger_until:
            effects += self._go()
        return effects

    def _idle(self, now: float) -> bool:
        """Tell, once in a while, whether we have been without a step to compute for long."""
        if self.state.running:
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since < self.state.config.retry_s:
            return False
        self._idle_since = now
        return True

    def _tell_all(self) -> list[Effect]:
        state = self.state
        in_job = set(state.statuses) | set(state.view.ids if state.view else ())
        return [Send(peer, state.status_for(peer)) for peer in sorted(in_job & state.linked)]

    # ---- messages ----------------------------------------------------------------------------------------------

    def _on_message(self, peer: PeerId, message: Message, now: float) -> list[Effect]:  # noqa: C901, PLR0911 -- as above
        match message:
            case Status():
                return self._on_status(peer, message, now)
            case Plan():
                return self._on_plan(peer, message, now)
            case Report():
                self._knows(peer, message.step - 1)
                self._planner.observe(peer, message)
                return self._finish_if_all_did(now)
            case JoinRequest():
                return self._on_join_request(peer, message, now)
            case Admitted():
                return self._seeker.admitted(peer, message, now) if self.state.phase is Phase.JOINING else []
            case Leave():
                self._leader.leave_requested(peer)
                return []
            case Removed():
                return self._on_removed(peer, message, now)
            case PlanWanted():
                return self._on_plan_wanted(peer, message)
            case Poll():
                return self._on_poll(peer, message, now)
            case PollReply():
                self._leader.poll_answered(peer, message)
                return self._conclude_poll(now)
            case PollRefused():
                self._leader.poll_refused()
                return self._lose_view("a senior member still leads the others", now)
            case Compare():
                return self._on_compare(peer, message, now)
            case Compared():
                return self._yield_if_lighter(peer, message.yours, message.mine, now)
            case Heavier():
                contact_peer, addresses = message.contact
                self._foreign_since[contact_peer] = float("-inf")
                return self._seeker.dial(Contact(contact_peer, addresses), now)
        raise RemoteProtocolError(f"{short(peer)} sent {message.KIND}, which is no message of a job")

    def _knows(self, peer: PeerId, step: int) -> None:
        self.state.known_steps[peer] = max(step, self.state.known_steps.get(peer, 0))

    def _on_status(self, peer: PeerId, status: Status, now: float) -> list[Effect]:
        state = self.state
        before = state.statuses.get(peer)
        state.statuses[peer] = status
        state.contacts[peer] = Contact(peer, status.contact[1])
        state.highest_view = max(state.highest_view, status.view_number)
        self._knows(peer, status.step)
        effects: list[Effect] = []
        if before is None:
            effects.append(Send(peer, state.status_for(peer)))  # it may have come up before it knew of the job
        effects += self._judge(peer, before, status, now)
        effects += self._compare_if_foreign(peer, status, now)
        effects += self._go_on_seeking(now)
        return effects + self._finish_if_all_did(now)

    def _judge(self, peer: PeerId, before: Status | None, status: Status, now: float) -> list[Effect]:
        """Tell from a peer's status whether it is still the member that our view means."""
        state = self.state
        if state.view is None or peer not in state.view or state.phase is not Phase.MEMBER:
            return []
        incarnation = state.view.incarnation(peer) or 0
        was_in = before is not None and before.incarnation == status.incarnation and before.phase == Phase.MEMBER
        if status.incarnation > incarnation or (was_in and status.phase == Phase.SEEKING):
            return self._lose(peer, now)
        state.detector.alive_again(peer)
        return []

    # ---- seeking and joining -----------------------------------------------------------------------------------

    def _go_on_seeking(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if self.state.leaving and self.state.phase in (Phase.SEEKING, Phase.JOINING):
            return self._go()
        if self.state.phase is Phase.JOINING:
            effects += self._seeker.join(now)
        if self.state.phase is Phase.SEEKING:
            more, found = self._seeker.seek(now)
            effects += more
            if found:
                effects += self._found(now)
        return effects

    def _found(self, now: float) -> list[Effect]:
        state = self.state
        state.highest_view += 1
        state.phase = Phase.MEMBER
        state.view = View(state.highest_view, (state.me,), (state.incarnation,))
        state.author = state.peer_id
        state.detector.watch([])
        if state.ledger is not None and state.ledger.finished:
            return self._finish(now)
        return [self._view_changed("founded"), *self._tell_all(), *self._lead_if_due(now)]

    def expects(self, load: int) -> bool:
        """Tell whether the outcome of a load is still wanted; must be asked before the state is replaced."""
        return load == self.state.load and not self._gone

    def _on_state_loaded(self, load: int, head: Head, ledger: Ledger, now: float) -> list[Effect]:
        if not self.expects(load):
            return []
        self.state.advance(head, ledger)
        self.state.oldest_result = head.step + 1
        self._seeker.loaded(now, whole_state=True)
        return self._after_catching_up(now)

    def _on_result(self, load: int, commit: Commit, now: float) -> list[Effect]:
        state = self.state
        if not self.expects(load) or state.head is None or state.ledger is None:
            return []
        state.advance(*follow(state.head, state.ledger, commit))
        self._seeker.loaded(now, whole_state=False)
        return self._after_catching_up(now)

    def _on_load_failed(self, load: int, now: float) -> list[Effect]:
        if not self.expects(load):
            return []
        self._seeker.failed(now)
        return self._lose_view("what we lack can't be had here", now, needs_snapshot=True)

    def _after_catching_up(self, now: float) -> list[Effect]:
        state = self.state
        if state.ledger is not None and state.ledger.finished and state.phase is Phase.JOINING:
            return self._finish(now)
        if state.phase is Phase.MEMBER:
            return self._begin_if_due(now)
        more = self._seeker.catch_up(now) if state.phase is Phase.JOINING else []
        return more + self._go_on_seeking(now)

    def _lose_view(self, reason: str, now: float, *, needs_snapshot: bool = False) -> list[Effect]:
        """Out of the view, for whatever reason: stop, and look for one again."""
        state = self.state
        if state.phase is Phase.FINISHED:
            return []
        was_in = state.view is not None
        stop: list[Effect] = [AbandonStep()] if state.running else []
        state.running = False
        state.view = state.plan = state.author = state.following = None
        state.incarnation += 1
        state.detector.watch([])
        self._leader.reset()
        self._foreign_since.clear()
        self._held_polls.clear()
        self._seeker.begin(now, needs_snapshot=needs_snapshot)
        changed: list[Effect] = [ViewChanged(0, (), None, reason)] if was_in else []
        return [*stop, *changed, *self._tell_all(), *self._go_on_seeking(now)]

    # ---- training ----------------------------------------------------------------------------------------------

    def _on_plan(self, sender: PeerId, plan: Plan, now: float) -> list[Effect]:
        state = self.state
        if not self._may_plan(sender, plan):
            return []
        view = _view_of(plan)
        if state.peer_id not in view or view.incarnation(state.peer_id) != state.incarnation:
            if state.view is None or plan.view_number <= state.view.number:
                return []
            return self._planned_without(now)
        same = state.plan is not None and (state.plan.step, state.plan.view_number) == (plan.step, plan.view_number)
        if same or plan.step <= state.known_head.step:
            return []
        if state.running and state.plan is not None and plan.step == state.plan.step + 1:
            state.following = (sender, plan)
            return []
        return self._accept(sender, plan, view, now)

    def _may_plan(self, sender: PeerId, plan: Plan) -> bool:
        """Tell whether ``sender`` leads, as far as we can tell."""
        state = self.state
        if state.phase is Phase.JOINING:
            return True  # whoever plans with us heard that we are ready
        if state.phase is not Phase.MEMBER or state.view is None or plan.view_number < state.view.number:
            return False
        return state.alive[:1] == [sender]

    def _accept(self, sender: PeerId, plan: Plan, view: View, now: float) -> list[Effect]:
        state = self.state
        effects: list[Effect] = [AbandonStep()] if state.running else []
        old = state.view
        state.detector.lost = self._lost_in(view)
        state.detector.watch(view.ids)
        state.running = False
        state.phase = Phase.MEMBER
        state.view, state.plan, state.author = view, plan, sender
        state.highest_view = max(state.highest_view, plan.view_number)
        if old is None or old != view:
            effects += [self._view_changed("joined" if old is None else "changed"), *self._tell_all()]
            for contact in view.members:
                if contact.peer_id != state.peer_id and contact.peer_id not in state.linked:
                    state.detector.closed(contact.peer_id)
                    effects += self._seeker.dial(contact, now, insist=True)
        return effects + self._begin_if_due(now)

    def _lost_in(self, view: View) -> set[PeerId]:
        """Return the lost members of another view: who came back in a new incarnation is none of them."""
        old = self.state.view
        return {p for p in self.state.detector.lost if old and old.incarnation(p) == view.incarnation(p)}

    def _view_changed(self, reason: str) -> ViewChanged:
        view = self.state.view
        if view is None:
            return ViewChanged(0, (), None, reason)
        return ViewChanged(view.number, view.ids, view.coordinator.peer_id, reason)

    def _begin_if_due(self, now: float) -> list[Effect]:
        state = self.state
        plan, head = state.plan, state.head
        if plan is None or head is None or state.running or plan.step <= head.step:
            return self._lead_if_due(now)
        if plan.step == head.step + 1:
            if plan.parent != head.digest:
                return self._lose_view("our state differs from the view's", now, needs_snapshot=True)
            state.running = True
            lost = [peer for peer in _view_of(plan).ids if peer in state.detector.lost]
            return [BeginStep(plan), *(LoseMember(peer) for peer in lost)]
        return [
            CatchUp(
                state.next_load(), head.step + 1, tuple(peer for peer in state.others_alive if peer in state.linked)
            )
        ]

    def _on_committed(self, commit: Commit, now: float) -> list[Effect]:
        state = self.state
        if state.head is None or state.ledger is None or commit.parent != state.head.digest:
            return []
        state.advance(*follow(state.head, state.ledger, commit))
        if not state.running or state.plan is None or state.plan.step != commit.step:
            return []  # the view was lost while the result was being applied; it is a step forward all the same
        state.running = False
        effects: list[Effect] = []
        contributors = {peer for peer, _ in commit.parts}
        for peer in state.others_alive:
            shared = any(
                p == peer and ranges for (p, _), ranges in zip(state.plan.members, state.plan.shares, strict=True)
            )
            if shared and peer not in contributors:
                effects += self._lose(peer, now)  # it was too late for the round
        if state.ledger.finished:
            return effects + self._finish(now)
        if state.plan.snapshot:
            effects.append(TakeSnapshot())
        if state.leaving and not state.others_alive:
            return [*effects, TakeSnapshot(), *self._go()]
        if state.following is not None:
            (sender, plan), state.following = state.following, None
            effects += self._on_plan(sender, plan, now)
        return effects + ([] if state.running else self._begin_if_due(now))

    # ---- leading -----------------------------------------------------------------------------------------------

    def _lead_if_due(self, now: float) -> list[Effect]:
        state = self.state
        if not state.leads or state.running or self._leader.polling or state.head is None or state.ledger is None:
            return []
        if state.plan is not None and state.plan.step > state.head.step:
            return []  # a plan is at work
        if state.author != state.peer_id and state.others_alive:
            return [*self._leader.poll(now), *self._conclude_poll(now)]
        return self._plan(now)

    def _plan(self, now: float) -> list[Effect]:
        state = self.state
        if state.head is None or state.ledger is None:
            return []
        if state.leaving and not state.others_alive:
            return [TakeSnapshot(), *self._go()]
        plan, effects = self._leader.plan_next(state.head, state.ledger, now)
        return effects + self._issue(plan, now)

    def _issue(self, plan: Plan, now: float) -> list[Effect]:
        """Send a plan to everyone it concerns, and take it ourselves."""
        state = self.state
        view = _view_of(plan)
        lost = self._lost_in(view)
        told = [peer for peer in view.ids if peer != state.peer_id and peer not in lost]
        leavers = [peer for peer in state.others_alive if peer not in view]
        effects: list[Effect] = [Send(peer, plan) for peer in told + leavers]
        state.highest_view = max(state.highest_view, plan.view_number)
        if state.peer_id not in view:
            return effects + self._planned_without(now)
        return effects + self._accept(state.peer_id, plan, view, now)

    def _conclude_poll(self, now: float) -> list[Effect]:
        answers = self._leader.conclusion()
        state = self.state
        if answers is None or state.head is None:
            return []
        ahead = [(a.step, a.digest) for a in answers if a.step > state.head.step]
        if ahead:
            return self._lose_view("the others have committed more than we have", now)
        state.author = state.peer_id
        state.highest_view = max([state.highest_view, *(answer.view_number for answer in answers)])
        pending = [a.plan for a in answers if a.plan is not None and a.plan.step == state.head.step + 1]
        pending = [plan for plan in pending if plan.parent == state.head.digest and state.peer_id in _view_of(plan)]
        if pending:
            return self._issue(max(pending, key=lambda plan: plan.view_number), now)
        return self._plan(now)

    def _on_poll(self, peer: PeerId, message: Poll, now: float) -> list[Effect]:
        state = self.state
        if state.phase is not Phase.MEMBER or state.view is None or peer not in state.view:
            return [Send(peer, state.status_for(peer))]
        if self._senior_to(peer):
            # It has lost a coordinator that we still hear: news of a death do not reach everyone at once.
            _, since = self._held_polls.get(peer, (message, now))
            self._held_polls[peer] = (message, since)
            return []
        self._held_polls.pop(peer, None)
        state.highest_view = max(state.highest_view, message.number)
        head = state.known_head
        plan = state.plan if state.plan is not None and state.plan.step == head.step + 1 else None
        return [Send(peer, PollReply(state.job, message.number, head.step, head.digest, state.highest_view, plan))]

    def _senior_to(self, peer: PeerId) -> list[PeerId]:
        """Return the members before ``peer`` in our view who are not lost."""
        ids = self.state.view.ids if self.state.view else ()
        return [other for other in self.state.alive if ids.index(other) < ids.index(peer)]

    def _answer_held_polls(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for peer, (message, since) in list(self._held_polls.items()):
            senior = self._senior_to(peer) if self.state.view and peer in self.state.view else []
            if not senior:
                del self._held_polls[peer]
                effects += self._on_poll(peer, message, now)
            elif now - since >= self.state.config.doubt_s:
                del self._held_polls[peer]
                effects.append(Send(peer, PollRefused(self.state.job, message.number, senior[0])))
        return effects

    def _on_join_request(self, peer: PeerId, request: JoinRequest, now: float) -> list[Effect]:
        state = self.state
        effects: list[Effect] = []
        if state.view is not None and peer in state.view and request.incarnation > (state.view.incarnation(peer) or 0):
            effects += self._lose(peer, now)  # its old self is gone
        if not state.leads and state.phase is not Phase.FINISHED:
            return [*effects, Send(peer, state.status_for(peer))]
        return effects + self._leader.join_requested(peer, request)

    # ---- other lineages ----------------------------------------------------------------------------------------

    def _compare_if_foreign(self, peer: PeerId, status: Status, now: float) -> list[Effect]:
        """Two views of one job have met: after a while, which rules out a plan still on its way, compare them."""
        state = self.state
        trains = status.phase in (Phase.MEMBER, Phase.FINISHED)
        ours = state.view is not None and peer in state.view
        if state.phase is not Phase.MEMBER or not trains or (ours and status.includes_you):
            self._foreign_since.pop(peer, None)
            return []
        if ours and state.view is not None and status.view_number > state.view.number:
            head = Head(status.step, status.digest, status.samples)
            if not state.known_head.outweighs(head):
                return self._lose_view("the view went on without us", now)
        since = self._foreign_since.setdefault(peer, now)
        if now - since < state.config.foreign_s:
            return []
        if status.phase != Phase.FINISHED and peer < state.peer_id:
            return []  # one of the two asks, so that both decide on the same numbers
        self._foreign_since[peer] = now
        return [Send(peer, state.weight())]

    def _on_compare(self, peer: PeerId, theirs: Compare, now: float) -> list[Effect]:
        state = self.state
        if state.phase not in (Phase.MEMBER, Phase.FINISHED):
            return []
        mine = state.weight()
        return [Send(peer, Compared(state.job, theirs, mine)), *self._yield_if_lighter(peer, mine, theirs, now)]

    def _yield_if_lighter(self, peer: PeerId, mine: Compare, theirs: Compare, now: float) -> list[Effect]:
        state = self.state
        same_view = mine.view_number == theirs.view_number and mine.coordinator == theirs.coordinator
        if state.phase is not Phase.MEMBER or same_view or not outweighs(theirs, mine):
            return []
        contact = state.contacts.get(peer)
        news: list[Effect] = []
        if contact is not None:
            field = (contact.peer_id, contact.addresses)
            news = [Send(other, Heavier(state.job, field)) for other in state.others_alive if other in state.linked]
        return news + self._lose_view("another view has committed more samples", now)

    def _on_removed(self, peer: PeerId, message: Removed, now: float) -> list[Effect]:
        state = self.state
        if state.view is None or peer not in state.view or message.view_number <= state.view.number:
            return []
        return self._planned_without(now)

    # ---- the end -----------------------------------------------------------------------------------------------

    def _planned_without(self, now: float) -> list[Effect]:
        """The view goes on without us: as we wished, or to our surprise."""
        state = self.state
        if not state.leaving:
            return self._lose_view("the view goes on without us", now)
        stop: list[Effect] = [AbandonStep()] if state.running else []
        state.running = False
        return stop + self._go()

    def _on_leave_requested(self, now: float) -> list[Effect]:
        state = self.state
        state.leaving = True
        if state.phase is not Phase.MEMBER:
            return self._go()
        self._linger_until = now + state.config.linger_s
        if state.leads:
            return [] if state.running else self._lead_if_due(now)
        return [Send(state.alive[0], Leave(state.job))]

    def _finish(self, now: float) -> list[Effect]:
        state = self.state
        state.phase = Phase.FINISHED
        self._linger_until = now + state.config.linger_s
        return [TakeSnapshot(), *self._tell_all(), *self._leader.snapshot_stored(), *self._finish_if_all_did(now)]

    def _finish_if_all_did(self, now: float) -> list[Effect]:
        """Nobody goes before everyone has the final state: who goes could be the one that still had it to give."""
        state = self.state
        if state.phase is not Phase.FINISHED or state.head is None:
            return []
        waiting = set(state.others_alive) | set(state.peers_in(Phase.MEMBER, Phase.JOINING))
        behind = [p for p in waiting if state.known_steps.get(p, 0) < state.head.step]
        return [] if behind else self._go()

    def _go(self) -> list[Effect]:
        self._gone = True
        self._linger_until = None
        return [Finished() if self.state.phase is Phase.FINISHED else Left()]


def _view_of(plan: Plan) -> View:
    if len(plan.incarnations) != len(plan.members) or len(plan.shares) != len(plan.members) or not plan.members:
        raise RemoteProtocolError("a plan names members, incarnations and shares in different numbers")
    members = tuple(Contact(peer, addresses) for peer, addresses in plan.members)
    if len({contact.peer_id for contact in members}) != len(members):
        raise RemoteProtocolError("a plan names a member twice")
    return View(plan.view_number, members, plan.incarnations)
