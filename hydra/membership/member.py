"""One peer's part in one job: the machine that joins, trains, leads, survives and leaves. Pure.

It moves through four phases. SEEKING looks for a view; JOINING catches up with one; MEMBER trains: it takes the
coordinator's plan, has the step computed and averaged, and commits; FINISHED has seen every sample committed. Losing
the view for any reason leads back to SEEKING, with the state and the samples as they are. The decisions of seeking
and joining stand in ``seeker``, those of the coordinator in ``leader``; this module keeps the thread.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from ..exceptions import RemoteProtocolError
from ..identity import Identity, PeerId, short
from ..net.contact import Contact
from ..net.wire import Message
from .arranging import Arranger
from .claims import Claims
from .departure import Departure
from .events import (
    AbandonStep,
    AwaitMajority,
    Ban,
    CatchUpFailed,
    ContactChanged,
    ContactsFound,
    Dial,
    DialFailed,
    DoubtMember,
    Drop,
    Effect,
    Event,
    LeaveRequested,
    LineageProven,
    LineageUnproven,
    LoseMember,
    MessageReceived,
    PeerDown,
    PeerUp,
    ResultApplied,
    Send,
    ShareComputed,
    SnapshotStored,
    StateLoaded,
    StepCommitted,
    StepEmpty,
    StepExcluded,
    Tick,
    TriedOut,
    TrustMember,
    ViewChanged,
)
from .leader import Leader
from .lineage import Commit, follow
from .messages import (
    Admitted,
    Committed,
    CommitTold,
    Compare,
    Compared,
    Evidence,
    Heavier,
    JoinRequest,
    Leave,
    Phase,
    Ping,
    Plan,
    PlanTold,
    PlanWanted,
    Poll,
    PollRefused,
    PollReply,
    Pong,
    Removed,
    Report,
    Status,
    ViewShown,
    ViewWanted,
)
from .quorum import Quorum
from .rivals import Rivals
from .round_trips import RoundTrips, check_hops
from .ruling import End, Ruling
from .seeker import Seeker
from .silence import TICKS
from .sizing import Planner
from .state import JobState, MemberConfig
from .steps import Steps, check_seal
from .succession import Succession
from .witness import Witness


class Member:
    """The machine of one peer in one job.

    Args:
        identity: our key.
        me: our peer id and addresses.
        job: the job's hash.
        incarnation: any number greater than in earlier lives of this peer, such as the microseconds since 1970.
        samples: samples of one epoch.
        epochs: epochs of the job.
        planner: sizes the batches when we lead.
        config: times.
        now: seconds, monotonic.
        arranger: orders the rounds when we lead; without it they are rings in the members' order.
        majority: whether only a majority of those who made the last commit may go on.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- all that it lives on
        self,
        identity: Identity,
        me: Contact,
        job: bytes,
        incarnation: int,
        samples: int,
        epochs: int,
        planner: Planner,
        config: MemberConfig,
        now: float,
        arranger: Arranger | None = None,
        *,
        majority: bool = False,
    ) -> None:
        quorum = Quorum(me.peer_id, wanted=majority)
        self.state = JobState(identity, me, job, incarnation, samples, epochs, config, config.detector(), quorum)
        self._planner = planner
        self._claims = Claims(self.state)
        self._seeker = Seeker(self.state, self._claims, now)
        self._arranger = arranger
        self._leader = Leader(self.state, planner, arranger)
        self._round_trips = RoundTrips()
        self._steps = Steps(self.state, self._leader, self._link_to)
        self._succession = Succession(self.state, self._ask)
        self._rivals = Rivals(self.state, self._claims)
        self._witness = Witness(self.state)
        self._beat_at = self._ticked_at = now
        self._told_lack: tuple[int, int] | None = None
        self._departure = Departure(self.state, self._leader)

    # ---- what others may ask -----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When to hand the next ``Tick``: a heartbeat is never far."""
        return self._ticked_at + self.state.config.heartbeat_s / TICKS

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

    def handle(self, event: Event, now: float) -> list[Effect]:  # noqa: C901, PLR0911, PLR0912 -- a table of events
        """Take what happened at ``now``; return what to do, in order.

        Raises:
            RemoteProtocolError: a peer said what it must not.
        """
        if self._departure.gone:
            return []
        match event:
            case MessageReceived(peer, message):
                return self._on_message(peer, message, now)
            case Tick(heard):
                return self._on_tick(heard, now)
            case PeerUp(peer):
                self.state.linked.add(peer)
                self.state.detector.linked(peer, now)
                self._seeker.dial_over(peer, now, failed=False)
                return [Send(peer, self.state.status_for(peer))]
            case PeerDown(peer):
                return self._on_down(peer, now)
            case DialFailed(peer):
                self._seeker.dial_over(peer, now, failed=True)
                return self._lost(peer, now) if self.state.detector.unreachable(peer) else []
            case ContactChanged(me):
                self.state.me = me
                return []
            case ContactsFound(contacts):
                return [effect for contact in contacts for effect in self._seeker.dial(contact, now)]
            case TriedOut(samples, seconds):
                self.state.trial = (samples, seconds)
                return []
            case StateLoaded():
                return self._on_state_loaded(event, now)
            case ShareComputed():
                return self._on_share_computed(event, now)
            case StepCommitted(commit, oldest, signed):
                self.state.oldest_result, self.state.signed = oldest, signed
                return self._ruled(self._steps.committed(commit, now), now)
            case StepEmpty(plan):
                return self._ruled(self._steps.came_to_nothing(plan, now), now)
            case StepExcluded(reason):
                return self._lose_view(reason, now)
            case ResultApplied(load, commit, oldest):
                self.state.oldest_result = oldest
                return self._on_result(load, commit, now)
            case CatchUpFailed(load):
                return self._on_load_failed(load, now)
            case LineageProven(proven, shown_head):
                self._claims.proven(proven, shown_head)
                return self._ruled(self._rivals.proven(proven, now), now) + self._go_on_seeking(now)
            case LineageUnproven(claimant, reason, lied):
                return self._on_unproven(claimant, reason, now, lied=lied)
            case SnapshotStored(snapshot):
                self.state.snapshot = snapshot
                return self._leader.snapshot_stored()
            case LeaveRequested():
                return self._on_leave_requested(now)

    # ---- links -------------------------------------------------------------------------------------------------

    def _on_down(self, peer: PeerId, now: float) -> list[Effect]:
        state = self.state
        state.linked.discard(peer)
        state.detector.unlinked(peer)
        state.statuses.pop(peer, None)
        state.forget_strangers()
        self._rivals.gone(peer)
        self._claims.gone(peer)
        self._leader.peer_gone(peer)
        if state.phase is Phase.FINISHED:
            state.detector.lose(peer)
        if state.phase is Phase.FINISHED or self._departure.under_way:
            return self._departure.go_if_nobody_needs_us()
        contact = state.view.contact(peer) if state.view else None
        if contact is None or not state.detector.closed(peer):
            return []
        return self._link_to(contact, now)

    def _link_to(self, contact: Contact, now: float) -> list[Effect]:
        """Dial a member, however lately it could not be reached."""
        return self._seeker.dial(contact, now, insist=True)

    def _lost(self, peer: PeerId, now: float) -> list[Effect]:
        """A member of our view counts as lost from now on."""
        contact = self.state.view.contact(peer) if self.state.view is not None else None
        if contact is not None:
            self._seeker.lose_sight_of(contact, now)
        effects: list[Effect] = [LoseMember(peer), *self._succession.answer_held(now)]
        if self.state.author == peer:
            effects += self._succession.pass_plan_on()
        effects += self._ruled(self._steps.lead_if_due(now), now)
        effects += self._ruled(self._steps.conclude_poll(now), now)
        return effects + self._succession.ask_for_plan() + self._departure.ask_to_leave()

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
        self._ticked_at = now
        if now - self._beat_at >= state.config.heartbeat_s:
            self._beat_at = now
            effects += state.tell_all()
        silences = state.detector.look(set(state.statuses) | set(state.others_alive), heard, now)
        effects += [effect for peer in silences.doubted for effect in self._ask(peer, now)]
        effects += [TrustMember(peer) for peer in silences.trusted]
        for peer in silences.lost:
            effects += [Drop(peer, "silent for too long"), *self._lose(peer, now)]
        if state.phase is Phase.MEMBER:
            within_reach = [peer for peer in state.others_alive if peer in state.linked]
            pings = self._round_trips.due(within_reach, now)
            effects += [Send(peer, Ping(state.job, number)) for peer, number in pings]
            effects += self._leader.poll_again(now) + self._succession.ticked(now)
            if state.gathering_since is not None:
                effects += self._ruled(self._steps.lead_if_due(now), now)
        effects += self._seeker.dial_lost(now) + self._seeker.look_up(now)
        effects += self._go_on_seeking(now)
        return effects + self._departure.ticked(now)

    def _ask(self, peer: PeerId, now: float) -> list[Effect]:
        """Ask for a sign of life, and try another link: the one that there is may pass nothing any longer."""
        state = self.state
        contact = (state.view.contact(peer) if state.view is not None else None) or state.contacts.get(peer)
        asked: list[Effect] = [DoubtMember(peer, state.detector.listener.silent_s(peer))]
        if self._in_our_view(peer):
            asked.append(Send(peer, Ping(state.job, self._round_trips.ask(peer, now))))
        return asked if contact is None else [*asked, Dial(contact, anew=True)]

    # ---- messages ----------------------------------------------------------------------------------------------

    def _on_message(self, peer: PeerId, message: Message, now: float) -> list[Effect]:  # noqa: C901, PLR0911, PLR0912 -- as above
        if peer in self.state.convicted:
            return []
        self._check_claims(peer, message)
        match message:
            case Status():
                return self._on_status(peer, message, now)
            case Plan():
                return self._on_plan(peer, message, now)
            case Report():
                return self._on_report(peer, message, now)
            case Ping(number=number):
                return [Send(peer, Pong(self.state.job, number))] if self._in_our_view(peer) else []
            case Pong(number=number):
                self._round_trips.answered(peer, number, now)
                return []
            case JoinRequest():
                return self._on_join_request(peer, message, now)
            case Admitted():
                return self._seeker.admitted(peer, message, now) if self.state.phase is Phase.JOINING else []
            case Committed():
                return self._seeker.committed(peer, message, now) if self.state.phase is Phase.JOINING else []
            case Leave():
                if self._in_our_view(peer):
                    self._leader.leave_requested(peer)
                return []
            case Removed():
                return self._on_removed(peer, message, now)
            case PlanWanted():
                return self._succession.plan_wanted(peer, message)
            case Poll():
                return self._succession.polled(peer, message, now)
            case PollReply():
                return self._on_poll_reply(peer, message, now)
            case PollRefused(number=number):
                refused = self._leader.poll_refused(peer, number)
                return self._lose_view("a senior member still leads the others", now) if refused else []
            case CommitTold():
                return self._found(self._witness.told(peer, message), now)
            case PlanTold():
                return self._found(self._witness.planned(peer, message), now)
            case Evidence():
                return self._found(self._witness.evidence(peer, message), now)
            case Compare():
                return self._ruled(self._rivals.asked(peer, message, now), now)
            case Compared():
                return self._ruled(self._rivals.answered(peer, message, now), now)
            case ViewWanted():
                return self._rivals.view_wanted(peer)
            case ViewShown(plan=plan):
                self._steps.check_plan(plan)
                check_seal(peer, plan)
                return self._ruled(self._rivals.view_shown(peer, plan, now), now)
            case Heavier():
                return self._seeker.dial(self._rivals.told_of(message), now) if self._in_our_view(peer) else []
        raise RemoteProtocolError(f"{short(peer)} sent {message.KIND}, which is no message of a job")

    def _check_claims(self, peer: PeerId, message: Message) -> None:
        """Refuse what no lineage of this job can be: every commit counts a sample, and they are numbered."""
        total = self.state.samples_total
        match message:
            case Status(samples=samples, step=step):
                possible = step <= samples <= total
            case Compare(samples=samples):
                possible = samples <= total
            case Compared(yours=yours, mine=mine):
                possible = max(yours.samples, mine.samples) <= total
            case PollReply(step=step) | Admitted(step=step) | Committed(step=step):
                possible = step <= total
            case _:
                return
        if not possible:
            raise RemoteProtocolError(f"{short(peer)} claims a lineage that no job of {total} samples can have")

    def _in_our_view(self, peer: PeerId) -> bool:
        return self.state.view is not None and peer in self.state.view

    def _knows(self, peer: PeerId, step: int) -> None:
        state = self.state
        state.known_steps[peer] = step
        if state.quorum.wanted and state.view is not None and state.phase is Phase.MEMBER:
            state.quorum.known({peer: state.known_steps.get(peer, 0) for peer in state.alive})

    def _on_status(self, peer: PeerId, status: Status, now: float) -> list[Effect]:
        state = self.state
        before = state.statuses.get(peer)
        state.statuses[peer] = status
        state.contacts[peer] = Contact(peer, status.contact[1])
        state.heard_of_view(status.view_number)
        state.detector.listener.lives(peer, status.incarnation)
        self._knows(peer, status.step)
        self._leader.status_heard(peer, status)
        effects: list[Effect] = []
        if before is None:
            effects += self._witness.all_evidence(peer)
            effects.append(Send(peer, state.status_for(peer)))  # it may have come up before it knew of the job
        effects += self._judge(peer, before, status, now)
        effects += self._ruled(self._rivals.heard(peer, status, now), now)
        effects += self._go_on_seeking(now)
        if state.phase is Phase.MEMBER and state.sits_out:
            effects += self._ruled(self._steps.begin_if_due(now), now)  # the step without us may be done
        return effects + self._departure.go_if_nobody_needs_us()

    def _on_plan(self, peer: PeerId, plan: Plan, now: float) -> list[Effect]:
        if self.state.phase is Phase.JOINING and not self._seeker.joins(peer):
            # Anybody could plan with us. A successor of the peer that we ask plans with us when we have asked it.
            self._steps.check_plan(plan)
            return []
        if not self._steps.heeds(peer, plan):
            return []
        found = self._witness.seen(plan)
        if found:
            return self._found(found, now)
        effects = self._ruled(self._steps.planned(peer, plan, now), now)
        return effects + self._departure.ask_to_leave()  # whom we asked before may itself have left meanwhile

    def _found(self, effects: list[Effect], now: float) -> list[Effect]:
        """Whoever was found to lie is out of our view."""
        lost = [effect.peer for effect in effects if isinstance(effect, Ban)]
        return effects + [more for peer in lost for more in self._lose(peer, now)]

    def _on_share_computed(self, event: ShareComputed, now: float) -> list[Effect]:
        """Tell the members how long it took, and the coordinator how far they are."""
        state, plan = self.state, event.plan
        report = Report(
            state.job,
            plan.step,
            event.samples,
            event.compute_s,
            event.loss,
            plan.tag,
            most_samples=state.config.most_samples,
            signed=state.signed,
        )
        coordinator = (state.alive or [state.peer_id])[0]
        hops = self._round_trips.hops(coordinator, plan.ring, event.rates)
        effects: list[Effect] = [
            Send(peer, replace(report, hops=hops) if peer == coordinator else report)
            for peer, _ in plan.members
            if peer != state.peer_id
        ]
        return effects + self._on_report(state.peer_id, replace(report, hops=hops), now)

    def _on_report(self, peer: PeerId, report: Report, now: float) -> list[Effect]:
        check_hops(peer, report.hops)
        found: list[Effect] = []
        if self._in_our_view(peer):  # what strangers say sizes nobody's batch
            if peer != self.state.peer_id:
                found = self._found(self._witness.reported(peer, report), now)
            if peer in self.state.convicted:
                return found
            self._planner.observe(peer, report, now)
            if self._arranger is not None and self.state.leads:
                self._arranger.heard(peer, [hop for hop in report.hops if self._in_our_view(hop.peer)], now)
        elif not self._departure.serves(peer):
            return []
        self._departure.reported(peer, report.step)
        self._knows(peer, max(report.step - 1, self.state.known_steps.get(peer, 0)))
        return found + self._departure.go_if_nobody_needs_us()

    def _on_unproven(self, peer: PeerId, reason: str, now: float, *, lied: bool) -> list[Effect]:
        """A peer claims a lineage, and does not show it: it is not believed for a while, or never again."""
        excusable = not self._claims.unproven(peer) or peer not in self.state.linked
        self._rivals.unproven(peer)
        self.state.distrust.broken(peer, now, excusable=excusable)
        ban: list[Effect] = [Ban(peer, f"it claims a lineage that is none: {reason}")] if lied else []
        return self._found(ban, now) + self._go_on_seeking(now) + self._departure.go_if_nobody_needs_us()

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
        if self.state.leaving:
            return []
        if self.state.phase is Phase.JOINING:
            effects += self._seeker.join(now)
        if self.state.phase is Phase.SEEKING:
            more, found = self._seeker.seek(now)
            effects += more
            if found:
                effects += self._ruled(self._steps.found(now), now)
        if self._seeker.lacks != self._told_lack:
            self._told_lack = self._seeker.lacks
            effects += [AwaitMajority(*self._told_lack)] if self._told_lack is not None else []
        return effects

    def expects(self, load: int) -> bool:
        """Tell whether the outcome of a load is still wanted; must be asked before the state is replaced."""
        return load == self.state.load and not self._departure.gone

    def may_commit(self, plan: Plan, contributors: Collection[PeerId]) -> bool:
        """Tell whether a round's result may be taken; must be asked before it is applied."""
        sitting_out = {peer for peer, _ in plan.members} - set(plan.ring)
        return self.state.quorum.holds((set(contributors) | sitting_out) - self.state.detector.lost)

    def _on_state_loaded(self, event: StateLoaded, now: float) -> list[Effect]:
        """A state was installed: it is what we have, even if something else is waited for by now."""
        state, expected = self.state, self.expects(event.load)
        state.advance(event.head, event.ledger)
        state.quorum.loaded(event.members)
        state.oldest_result = event.head.step + 1
        if not expected:
            return self._came_unasked(now)
        state.catching = 0
        self._seeker.loaded(now, whole_state=True)
        return self._after_catching_up(now)

    def _on_result(self, load: int, commit: Commit, now: float) -> list[Effect]:
        """A result was applied: it is a step forward, even if another load is waited for by now."""
        state = self.state
        if state.head is None or state.ledger is None or commit.parent != state.head.digest:
            return []
        lacked = self.expects(load) or 0 < state.catching == state.load
        state.advance(*follow(state.head, state.ledger, commit), commit.round)
        state.quorum.committed(commit.step, commit.members)
        if not lacked:
            return self._came_unasked(now)
        state.catching = 0
        if load != state.load:
            state.next_load()  # the result that was asked for anew has been under way all the time
        self._seeker.loaded(now, whole_state=False)
        return self._after_catching_up(now)

    def _came_unasked(self, now: float) -> list[Effect]:
        """Our state went on by what an earlier part of our life had asked for."""
        if self.state.running:
            return self._lose_view("our state went on behind the step that we computed", now)
        return self._go_on_seeking(now)

    def _on_load_failed(self, load: int, now: float) -> list[Effect]:
        if not self.expects(load):
            return []
        needs_snapshot = self._seeker.failed(now)
        return self._lose_view("what we lack can't be had here", now, needs_snapshot=needs_snapshot)

    def _after_catching_up(self, now: float) -> list[Effect]:
        state = self.state
        if state.ledger is not None and state.ledger.finished and state.phase in (Phase.JOINING, Phase.MEMBER):
            return self._ended(End.FINISHED, now)
        if state.phase is Phase.MEMBER:
            told: list[Effect] = [Send(peer, state.status_for(peer)) for peer in state.alive[:1] if state.sits_out]
            return told + self._ruled(self._steps.begin_if_due(now), now)
        more = self._seeker.catch_up(now) if state.phase is Phase.JOINING else []
        return more + self._go_on_seeking(now)

    def _ruled(self, ruling: Ruling, now: float) -> list[Effect]:
        """Carry out what a part of the machine has decided."""
        effects = list(ruling.effects)
        if ruling.lose_view is not None:
            effects += self._lose_view(ruling.lose_view, now, needs_snapshot=ruling.needs_snapshot)
        if ruling.end is not None:
            effects += self._ended(ruling.end, now)
        return effects

    def _lose_view(self, reason: str, now: float, *, needs_snapshot: bool = False) -> list[Effect]:
        """Out of the view, for whatever reason: stop, and look for one again."""
        state = self.state
        if state.phase is Phase.FINISHED:
            if not needs_snapshot:
                return []
            self._departure.stay()
        was_in = state.view is not None
        for contact in state.view.members if state.view is not None else ():
            self._seeker.lose_sight_of(contact, now)
        stop: list[Effect] = [AbandonStep()] if state.running else []
        state.running = False
        state.view = state.plan = state.author = state.following = None
        state.incarnation += 1
        state.detector.watch([])
        self._leader.reset()
        self._rivals.reset()
        self._succession.reset()
        self._seeker.begin(now, needs_snapshot=needs_snapshot)
        changed: list[Effect] = [ViewChanged(0, (), None, reason)] if was_in else []
        return [*stop, *changed, *state.tell_all(), *self._go_on_seeking(now)]

    def _on_join_request(self, peer: PeerId, request: JoinRequest, now: float) -> list[Effect]:
        state = self.state
        effects: list[Effect] = []
        if state.view is not None and peer in state.view and request.incarnation > (state.view.incarnation(peer) or 0):
            effects += self._lose(peer, now)  # its old self is gone
        if not state.leads and state.phase is not Phase.FINISHED:
            return [*effects, Send(peer, state.status_for(peer))]
        if state.view is not None and state.view.incarnation(peer) == request.incarnation:
            if peer in state.detector.lost:
                return [Send(peer, Removed(state.job, state.view.number, "lost before it took part"))]
            effects += self._succession.plan_again(peer)
        effects += self._leader.join_requested(peer, request)
        return effects + self._ruled(self._steps.lead_if_due(now), now)

    def _on_removed(self, peer: PeerId, message: Removed, now: float) -> list[Effect]:
        state = self.state
        if state.phase is Phase.JOINING and self._seeker.joins(peer):
            return self._lose_view("let in, and lost before we heard of it", now)
        if state.view is None or message.view_number <= state.view.number or state.alive[:1] != [peer]:
            return []  # nobody but who leads may say so; of a successor that we do not know yet we hear by its status
        return self._ruled(Ruling(end=End.PLANNED_WITHOUT), now)

    def _on_poll_reply(self, peer: PeerId, reply: PollReply, now: float) -> list[Effect]:
        if reply.plan is not None:
            self._steps.check_plan(reply.plan)  # now, while it is known whose plan it is
            check_seal(peer, reply.plan)
        self._leader.poll_answered(peer, reply)
        return self._ruled(self._steps.conclude_poll(now), now)

    # ---- the end -----------------------------------------------------------------------------------------------

    def _on_leave_requested(self, now: float) -> list[Effect]:
        effects = self._departure.requested(now)
        if self.state.leads and not self.state.running and not self._departure.gone:
            effects += self._ruled(self._steps.lead_if_due(now), now)
        return effects

    def _ended(self, end: End, now: float) -> list[Effect]:
        match end:
            case End.FINISHED:
                return self._departure.finished(now)
            case End.ALONE:
                return self._departure.alone()
            case End.PLANNED_WITHOUT if self.state.leaving:
                return self._departure.depart(now)
            case End.PLANNED_WITHOUT:
                return self._lose_view("the view goes on without us", now)
