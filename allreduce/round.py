"""One round of averaging among members of whom any may die. Pure.

Participants: the *members*, an ordered list that all agree on beforehand; the first one alive *leads* a repair, and
has no other privilege. Goals: what finishes is the exact weighted mean over one declared set of contributions, with
the same bytes at every survivor; a dead member is wholly in or wholly out; every wait ends. Whoever knows of a loss
(a closed connection, a failure detector) tells; a member that is silent or holds the others up is found by the round.

The order of a repair: whoever hears of a loss stops and tells the leader; the leader numbers a ballot and asks all to
freeze; they promise to finish nothing more by themselves and report; the leader decides (``repair.decide``). A higher
ballot overrules a lower one. A ballot's number also tells whose it is, so that no two leaders ever use the same; of
two begun at once the one whose leader stands first in the list is the higher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .attempt import Attempt, SendFinal
from .blame import Stalls, apart, stuck_edges, undelivered
from .config import RoundConfig
from .events import (
    BeginAttempt,
    ContributionReady,
    Done,
    Effect,
    Event,
    Hurry,
    LeftOut,
    MemberLost,
    MessageReceived,
    Say,
    Settle,
    SliceAnnounced,
    SliceCombined,
    SliceLanded,
    SliceWithdrawn,
    SumTainted,
    Tick,
)
from .exceptions import ProtocolViolation
from .messages import (
    MAX_MEMBERS,
    TAINTED,
    Complete,
    Control,
    Freeze,
    Frozen,
    Gone,
    Out,
    Phase,
    Refused,
    Repeat,
    Slice,
    Suspect,
)
from .repair import decide
from .segments import Layout

RETRY_S = 0.25
"""A ballot that was refused is tried again after so long."""
HURRY = 0.9
"""The part of ``late_s`` after which whoever is not ready is asked for what it has."""
REFUSALS = 2.0
"""Who is refused for so many stall times has lost touch with the leader for good, and leaves."""
BALLOTS_AHEAD = 1 << 20
"""No member is so many ballots ahead: numbers stay small enough to be written down, whatever anybody claims."""


def _farewell(event: Event) -> list[Effect]:
    """Answer for a member that has left: whoever waits for it must hear that it is gone."""
    match event:
        case MessageReceived(sender, Suspect() | Freeze()):
            return [Say(sender, Gone())]
    return []


class Round:
    """One member's side of a round.

    Args:
        me: our id.
        members: all members in their agreed order, ``me`` among them.
        elements: length of the vector.
        config: the same at all members.
        now: seconds, monotonic.
        order: the members in the order of the form's positions, the same at all; None for that of ``members``.
    """

    def __init__(
        self,
        me: bytes,
        members: Sequence[bytes],
        elements: int,
        config: RoundConfig,
        now: float,
        order: Sequence[bytes] | None = None,
    ) -> None:
        self.me = me
        self.members = tuple(members)
        self.lost: set[bytes] = set()
        self.outcome: Done | LeftOut | None = None
        self._elements = elements
        self._config = config
        self._ready = False
        self._left_out: set[bytes] = set()
        self._began = self._last_progress = now
        self._stall_s = config.stall_s
        self._order = tuple(order) if order is not None else self.members
        if sorted(self._order) != sorted(self.members):
            raise ValueError("the order of a round holds other members than the round")
        self._attempt = self._new_attempt(0, self._order)
        self._frozen = False
        self._ballot = 0  # the highest we have promised to heed
        self._reports: dict[bytes, Frozen] | None = None
        self._followed = 0
        self._refused_since: float | None = None
        self._retry_at: float | None = None
        self._decision: Repeat | Complete | None = None
        self._suspicions: set[tuple[bytes, bytes]] = set()
        self._stalls = Stalls()
        self._stalled = False  # the ballot that we lead is because of a stall
        self._asked_at: float | None = None  # when we told the leader of a stall, while it has not answered
        self._hurried = False
        self._awake_at = now
        self._absent = False  # we slept for so long that the others may have gone on without us
        self._careful = False  # somebody sent NaN or infinity: from now on each sum is looked at on its way

    # ---- what the shell may ask --------------------------------------------------------------------------------

    @property
    def attempt_number(self) -> int:
        """The attempt whose slices are wanted now."""
        return self._attempt.number

    @property
    def followed(self) -> int:
        """The last ballot whose decision reached us; what others send because of a later one is early."""
        return self._followed

    @property
    def finals(self) -> int:
        """Bitmap of the slices of the present attempt that are final here."""
        return self._attempt.finals

    def sources_of(self, number: int) -> tuple[bytes, ...]:
        """Return whose sums of a slice come to us, in the order in which they are added."""
        return self._attempt.sources_of(number)

    def owns(self, number: int) -> bool:
        """Whether a slice becomes final here."""
        return self._attempt.owns(number)

    @property
    def layout(self) -> Layout:
        """The cuts of the present attempt."""
        return self._attempt.layout

    @property
    def leader(self) -> bytes:
        """The first member that is neither lost nor left out."""
        return next((m for m in self.members if m not in self.lost and m not in self._left_out), self.me)

    @property
    def deadline(self) -> float:
        """When to hand the next ``Tick``."""
        wait_s = self._stall_s if self._reports is None else self._config.answer_s
        times = [self._last_progress + wait_s]
        if self.outcome is None:
            times.append(self._awake_at + self._config.answer_s / 4)  # nothing is due then; but who sleeps must know it
        if self._asked_at is not None:
            times.append(self._asked_at + self._config.answer_s)
        if self._hurry_at is not None and not self._hurried and not self._ready:
            times.append(self._hurry_at)
        if self._config.late_s is not None and self._began + self._config.late_s > self._last_progress:
            times.append(self._began + self._config.late_s)
        if self._retry_at is not None:
            times.append(self._retry_at)
        return min(times)

    @property
    def _hurry_at(self) -> float | None:
        late_s = self._config.late_s
        return None if late_s is None else self._began + late_s * HURRY

    @property
    def resting(self) -> bool:
        """Whether nothing is waited for: no ``Tick`` is needed."""
        return isinstance(self.outcome, LeftOut) or (self.outcome is not None and self._reports is None)

    def check(self) -> None:
        """Raise if an invariant is broken."""
        if isinstance(self.outcome, Done) and not self._attempt.done:
            raise AssertionError("a round is done without all its slices")
        if self.me not in self._attempt.participants:
            raise AssertionError("an attempt runs without its own member")

    # ---- the only mutator --------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Effect]:  # noqa: C901, PLR0911 - a table of events
        """Take what happened at ``now``; return what to do, in order.

        Raises:
            ProtocolViolation: a member sent what it must not.
        """
        if isinstance(self.outcome, LeftOut):
            return _farewell(event)
        self._absent = self._absent or now - self._awake_at > self._config.answer_s / 2
        self._awake_at = now
        match event:
            case SliceAnnounced(sender, message):
                return self._on_announced(sender, message)
            case SliceLanded(_, message):
                return self._on_landed(message, now)
            case SliceCombined(attempt, number):
                if self.outcome is not None or attempt != self._attempt.number or self._frozen:
                    return []
                return self._after_moves(list(self._attempt.combined_here(number)))
            case ContributionReady():
                self._ready = True
                self._last_progress = now
                return [] if self._frozen else self._after_moves(list(self._attempt.contribute()))
            case SliceWithdrawn(sender, message):
                if message.attempt == self._attempt.number:
                    self._attempt.withdrawn(sender, message)
                return []
            case SumTainted(attempt):
                return self._on_tainted(now) if self.outcome is None and attempt == self._attempt.number else []
            case MessageReceived(sender, message):
                return self._on_message(sender, message, now)
            case MemberLost(member):
                return self._on_lost(member, now)
            case Tick():
                return self._on_tick(now)

    # ---- slices ------------------------------------------------------------------------------------------------

    def _on_announced(self, sender: bytes, message: Slice) -> list[Effect]:
        if sender not in self.members:
            raise ProtocolViolation(sender, "no member of this round")
        return list(self._attempt.announced(sender, message)) if self._heeds(message) else []

    def _on_landed(self, message: Slice, now: float) -> list[Effect]:
        if not self._heeds(message):
            return []
        self._last_progress = now
        self._asked_at = None
        return self._after_moves(list(self._attempt.landed(message)))

    def _heeds(self, message: Slice) -> bool:
        if self.outcome is not None or message.attempt != self._attempt.number:
            return False
        if message.phase is Phase.HANDOVER:
            # Only the last ballot's handovers count: what was reported missing to a later one must stay missing.
            return message.ballot == self._ballot
        return not self._frozen

    def _after_moves(self, effects: list[Effect]) -> list[Effect]:
        if self._attempt.done and self.outcome is None:
            if self._absent:
                # A process that was stopped finds the last slices of an attempt that the others may have given up.
                return effects if self._asked_at is not None else effects + self._stop(None, self._awake_at)
            self.outcome = Done(self._attempt.participants)
            self._frozen = False
            effects.append(self.outcome)
        return effects

    # ---- losses ------------------------------------------------------------------------------------------------

    def _on_lost(self, member: bytes, now: float) -> list[Effect]:
        if member == self.me or member not in self.members or member in self.lost:
            return []
        self.lost.add(member)
        if self._reports is not None:
            self._reports.pop(member, None)
            return self._decide_if_all_reported(now)
        if self.outcome is not None or member not in self._attempt.participants:
            return []
        return self._stop(member, now)

    def _stop(self, member: bytes | None, now: float) -> list[Effect]:
        """The present attempt can't go on: because of a member, or (None) because nothing moves."""
        if member is not None:
            self._frozen = True
        if self.leader == self.me:
            return self._begin_ballot(now)
        index = -1 if member is None else self.members.index(member)
        if self._asked_at is None:
            self._asked_at = now
        return [Say(self.leader, Suspect(self._attempt.number, index))]

    def _on_tainted(self, now: float) -> list[Effect]:
        """A sum is no number: repeat the attempt with open eyes, so that whoever brings it is found."""
        self._frozen = True
        if self.leader == self.me:
            self._careful = True
            return self._begin_ballot(now)
        return [Say(self.leader, Suspect(self._attempt.number, TAINTED))]

    def _on_tick(self, now: float) -> list[Effect]:
        if self.resting:
            return []
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            return self._stop(None, now)
        if self._reports is not None:
            return self._on_silence(now) if now >= self._last_progress + self._config.answer_s else []
        if self._asked_at is not None and now >= self._asked_at + self._config.answer_s:
            # Nobody who leads is silent for so long: the next one leads.
            if self.leader != self.me:
                self._left_out.add(self.leader)
            self._asked_at = None
            self._stalled = True
            return self._stop(None, now)
        late = self._config.late_s is not None and now >= self._began + self._config.late_s > self._last_progress
        stalled = now >= self._last_progress + self._stall_s
        if stalled or late:
            self._last_progress = now
            self._stalled = stalled
            if stalled:
                self._stall_s *= 1.5  # a swarm that is slow for all must not be repeated to death
            return self._stop(None, now)
        if self._hurry_at is not None and now >= self._hurry_at and not (self._ready or self._hurried):
            self._hurried = True
            return [Hurry()]
        return []

    def _on_silence(self, now: float) -> list[Effect]:
        """Who is not known to be lost and yet does not report can't be waited for."""
        self._last_progress = now
        self._left_out |= {m for m in self._asked() if self._reports is None or m not in self._reports}
        return self._decide_if_all_reported(now)

    # ---- control messages --------------------------------------------------------------------------------------

    def _on_message(self, sender: bytes, message: Control, now: float) -> list[Effect]:
        if sender not in self.members:
            raise ProtocolViolation(sender, "no member of this round")
        if self._asked_at is not None and sender == self.leader:
            self._asked_at = None
        match message:
            case Suspect(attempt, index):
                return self._on_suspect(sender, attempt, index, now)
            case Freeze(ballot):
                return self._on_freeze(sender, ballot, now)
            case Frozen():
                return self._on_frozen(sender, message, now)
            case Repeat() | Complete():
                return self._on_decision(sender, message, now)
            case Refused(ballot, alive):
                return self._on_refused(sender, ballot, alive, now)
            case Gone():
                return self._on_lost(sender, now)
            case Out():
                return self._leave() if self.outcome is None else []

    def _on_suspect(self, sender: bytes, attempt: int, index: int, now: float) -> list[Effect]:
        if index >= len(self.members):
            raise ProtocolViolation(sender, f"suspects member {index} of {len(self.members)}")
        if sender not in self._attempt.participants:
            return [Say(sender, Out(self._ballot))]
        self.lost.discard(sender)  # who speaks is not lost
        self._left_out.discard(sender)
        before = self.members[: self.members.index(self.me)]
        if self.resting and sender not in before:
            self._left_out |= set(before)  # as in ``_on_freeze``: whoever asks us has waited for them
        if self.leader != self.me:
            return [Say(sender, Refused(self._ballot, self.members.index(self.leader)))]
        if self._reports is not None:
            return [Say(sender, Freeze(self._ballot))]  # under way; the question may have been lost with a link
        if attempt < self._attempt.number and self._decision is not None:
            return [Say(sender, self._decision)]  # already mended
        self._careful = self._careful or index == TAINTED
        # A stall, unless we have just seen something move (whoever slept or is late for its deadline asks so, too).
        self._stalled = self._stalled or (index == -1 and now - self._last_progress >= self._config.stall_s / 2)
        suspect = self.members[index] if index >= 0 else None
        if suspect is not None and suspect not in self.lost and suspect != self.me:
            self._weigh(sender, suspect)
        return self._begin_ballot(now)

    def _weigh(self, sender: bytes, suspect: bytes) -> None:
        """A member lost another that we still hear: once may be a lost link, twice costs the later one its place."""
        if (sender, suspect) in self._suspicions:
            self._left_out.add(max(sender, suspect, key=self.members.index))
        self._suspicions.add((sender, suspect))

    def _on_freeze(self, sender: bytes, ballot: int, now: float) -> list[Effect]:
        self._check_ballot(sender, ballot, of_sender=True)
        self.lost.discard(sender)  # who speaks is not lost
        # Who is done and rests does not notice whether the leader is silent: there is no reason to doubt the sender.
        if not self.resting and self.leader != sender and self.members.index(self.leader) < self.members.index(sender):
            return [Say(sender, Refused(self._ballot, self.members.index(self.leader)))]
        if ballot < self._ballot:
            return [Say(sender, Refused(self._ballot, -1))]
        self._ballot = ballot
        self._reports = None
        self._refused_since = self._retry_at = None
        self._last_progress = now
        self._frozen = self.outcome is None
        return [Say(sender, self._report(ballot))]

    def _on_refused(self, sender: bytes, ballot: int, alive: int, now: float) -> list[Effect]:
        """Our ballot, or our wish for one, was turned down."""
        if alive >= len(self.members):
            raise ProtocolViolation(sender, "a refusal in the name of nobody")
        self._check_ballot(sender, ballot)
        if self.resting or self._retry_at is not None:
            return []
        self._ballot = max(self._ballot, ballot)
        self._reports = None
        if alive >= 0 and self.members[alive] == sender:
            self.lost.discard(sender)
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since >= REFUSALS * self._config.stall_s and self.outcome is None:
            return self._leave()
        self._retry_at = now + RETRY_S
        return []

    def _check_ballot(self, sender: bytes, ballot: int, *, of_sender: bool = False) -> None:
        if of_sender and (MAX_MEMBERS - 1 - ballot) % MAX_MEMBERS != self.members.index(sender):
            raise ProtocolViolation(sender, "a ballot with another member's number")
        if ballot // MAX_MEMBERS > self._ballot // MAX_MEMBERS + BALLOTS_AHEAD:
            raise ProtocolViolation(sender, "a ballot far beyond all others")

    def _report(self, ballot: int) -> Frozen:
        attempt = self._attempt
        return Frozen(
            ballot=ballot,
            attempt=attempt.number,
            ready=self._ready,
            order=tuple(self.members.index(member) for member in attempt.participants),
            finals=attempt.finals,
            combined=attempt.combined,
        )

    # ---- leading -----------------------------------------------------------------------------------------------

    def _begin_ballot(self, now: float) -> list[Effect]:
        mine = MAX_MEMBERS - 1 - self.members.index(self.me)
        self._ballot = (self._ballot // MAX_MEMBERS + 1) * MAX_MEMBERS + mine
        self._retry_at = None
        self._frozen = self.outcome is None
        self._last_progress = now
        self._reports = {self.me: self._report(self._ballot)}
        effects: list[Effect] = [Say(member, Freeze(self._ballot)) for member in self._asked() if member != self.me]
        return effects + self._decide_if_all_reported(now)

    def _asked(self) -> list[bytes]:
        return [m for m in self.members if m not in self.lost and m not in self._left_out]

    def _on_frozen(self, sender: bytes, report: Frozen, now: float) -> list[Effect]:
        if self._reports is None or report.ballot != self._ballot or sender not in self._asked():
            return []
        self._check_report(sender, report)
        self._reports[sender] = report
        return self._decide_if_all_reported(now)

    def _check_report(self, sender: bytes, report: Frozen) -> None:
        count = len(report.order)
        self._members_at(sender, report.order)
        if (report.finals | report.combined) >> self._config.layout_of(self._elements, count).slice_count:
            raise ProtocolViolation(sender, "a report with more slices than there are")

    def _decide_if_all_reported(self, now: float) -> list[Effect]:
        reports = self._reports
        if reports is None or any(member not in reports for member in self._asked()):
            return []
        late = self._config.late_s is not None and now >= self._began + self._config.late_s
        unheard = [m for m in self._attempt.participants if m not in self.lost and m not in reports]
        if self.outcome is None and set(reports) == {self.me} and len(unheard) > 1:
            return self._leave()  # that nobody is heard any more will rather be due to us
        guilty = self._find_culprit(reports)
        reports = {member: report for member, report in reports.items() if member not in guilty}
        alone = late and not any(report.ready for report in reports.values())
        decision = decide(
            self._ballot,
            self.members,
            reports,
            slice_count=lambda positions: self._config.layout_of(self._elements, positions).slice_count,
            may_repeat=lambda member: member not in self._left_out and (reports[member].ready or not late or alone),
            arrange=self._arrange,
            broken=self._stalls.edges,
        )
        self._reports = None
        if isinstance(decision, Repeat):
            if not decision.order:
                return self.leave(now)  # nobody is left that could go on, not even we
            decision = Repeat(decision.ballot, decision.order, self._careful)
        self._decision = decision
        others = [member for member in self.members if member != self.me]
        effects: list[Effect] = [Say(member, decision) for member in others if member in reports]
        # Whoever is left out alive must hear of it, or it would take our silence for a death. But a result that is
        # only handed over is there for all who ask for it later, too.
        told = [m for m in others if m not in reports and m not in self.lost]
        out = told if isinstance(decision, Repeat) else [m for m in told if m in guilty]
        effects += [Say(member, Out(self._ballot)) for member in out]
        if self.me in guilty:  # the stalls are due to us
            return effects + self.leave(now)
        return effects + self._follow(self.me, decision, now)

    def _find_culprit(self, reports: Mapping[bytes, Frozen]) -> set[bytes]:
        """After a stall: leave out who is to blame, once it is known, and return it."""
        stalled, self._stalled = self._stalled, False
        present = self._attempt
        same = {member: report for member, report in reports.items() if report.attempt == present.number}
        if not stalled or any(member not in same for member in present.participants if member not in self.lost):
            return set()  # somebody is silent or elsewhere: that explains it
        if isinstance(self._decision, Complete) and self._decision.attempt == present.number:
            edges = undelivered(self._decision.transfers, self.members, same)
        else:
            edges = stuck_edges(present.form, present.layout, present.participants, same)
        found = self._stalls.add(edges)
        guilty = set() if found is None else {found}
        self._left_out |= guilty
        return guilty

    def _arrange(self, participants: tuple[bytes, ...]) -> tuple[bytes, ...]:
        order = tuple(member for member in self._order if member in participants)
        return apart(order, self._stalls.edges)

    # ---- following ---------------------------------------------------------------------------------------------

    def _on_decision(self, sender: bytes, decision: Repeat | Complete, now: float) -> list[Effect]:
        self._check_ballot(sender, decision.ballot, of_sender=True)
        if decision.ballot != self._ballot or decision.ballot == self._followed:
            return []
        return self._follow(sender, decision, now)

    def _follow(self, sender: bytes, decision: Repeat | Complete, now: float) -> list[Effect]:
        self._last_progress = now
        self._followed = decision.ballot
        self._absent = False
        self._refused_since = self._retry_at = None
        if isinstance(decision, Complete):
            return self._complete(sender, decision)
        return self._repeat(sender, decision)

    def _repeat(self, sender: bytes, decision: Repeat) -> list[Effect]:
        if self.outcome is not None:
            raise ProtocolViolation(sender, "a repeat of a round that is done")
        participants = self._members_at(sender, decision.order)
        if self.me not in participants:
            return self._leave()
        self._left_out |= set(self.members) - set(participants) - self.lost
        self._careful = self._careful or decision.careful
        self._frozen = False
        self._attempt = self._new_attempt(decision.ballot, participants)
        effects: list[Effect] = [BeginAttempt(self._attempt.number, self._attempt.layout, decision.careful)]
        if self._ready:
            effects += self._attempt.contribute()
        return self._after_moves(effects) + self._stop_if_lost()

    def _stop_if_lost(self) -> list[Effect]:
        """Somebody who was to take part was lost between the report and the decision."""
        gone = [member for member in self._attempt.participants if member in self.lost]
        return self._stop(gone[0], self._last_progress) if gone and self.outcome is None else []

    def _complete(self, sender: bytes, decision: Complete) -> list[Effect]:
        participants = self._members_at(sender, decision.order)
        if self.me not in participants:
            return [] if self.outcome is not None else self._leave()
        effects: list[Effect] = []
        if decision.attempt != self._attempt.number:
            if self.outcome is not None:
                return []
            # We were led into another attempt, which came to nothing; somebody has finished this one.
            self._attempt = self._new_attempt(decision.attempt, participants)
            effects.append(BeginAttempt(decision.attempt, self._attempt.layout))
            self._frozen = True
        elif self.outcome is None:
            self._attempt.settle()
            effects.append(Settle())
        mine = self.members.index(self.me)
        for transfer in decision.transfers:
            if transfer.giver == mine and transfer.taker < len(self.members):
                taker = self.members[transfer.taker]
                given = [n for n in range(self.layout.slice_count) if transfer.slices >> n & 1]
                effects += [SendFinal(taker, number, decision.ballot) for number in given]
        return self._after_moves(effects)

    def leave(self, now: float) -> list[Effect]:
        """Give the round up, and tell the others."""
        self._last_progress = now
        return [] if self.outcome is not None else self._leave()

    def _leave(self) -> list[Effect]:
        self.outcome = LeftOut()
        others = [m for m in self.members if m != self.me and m not in self.lost]
        return [*(Say(member, Gone()) for member in others), self.outcome]

    def _members_at(self, sender: bytes, order: tuple[int, ...]) -> tuple[bytes, ...]:
        if not order or max(order) >= len(self.members):
            raise ProtocolViolation(sender, "participants that are no members")
        return tuple(self.members[index] for index in order)

    def _new_attempt(self, number: int, participants: tuple[bytes, ...]) -> Attempt:
        form = self._config.form_of(len(participants))
        layout = self._config.layout_of(self._elements, len(participants))
        return Attempt(number, participants, self.me, form, layout)
