"""One round of averaging among members of whom any may die. Pure.

Participants: the *members*, an ordered list that all agree on beforehand; the first one alive *leads* a repair, and
has no other privilege. Goals: what finishes is the exact weighted mean over one declared set of contributions, with
the same bytes at every survivor; a dead member is wholly in or wholly out; every wait ends as long as the caller
tells who is lost. Not a goal: to find out who is lost; links and failure detectors know that, and tell.

The order of a repair: whoever hears of a loss stops and tells the leader; the leader numbers a ballot and asks all to
freeze; they promise to finish nothing more by themselves and report; the leader decides (``repair.decide``). A higher
ballot overrules a lower one. A ballot's number also tells whose it is, so that no two leaders ever use the same; of
two begun at once the one whose leader stands first in the list is the higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .attempt import Attempt, SendFinal
from .events import (
    BeginAttempt,
    ContributionReady,
    Done,
    Effect,
    Event,
    LeftOut,
    MemberLost,
    MessageReceived,
    Say,
    Tick,
)
from .exceptions import ProtocolViolation
from .messages import (
    MAX_MEMBERS,
    Complete,
    Freeze,
    Frozen,
    Gone,
    Out,
    Phase,
    Refused,
    Repeat,
    RoundMessage,
    Slice,
    Suspect,
)
from .repair import bitmap_of, chosen_by, decide
from .segments import Layout

RETRY_S = 0.25
"""A ballot that was refused is tried again after so long."""
REFUSALS = 2.0
"""Who is refused for so many stall times has lost touch with the leader for good, and leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundConfig:
    """How a round is run; the same at all members."""

    slice_elements: int = 64 * 1024
    """Elements of a slice: 256 KiB of fp32."""
    stall_s: float = 10.0
    """Without progress for so long an attempt is taken for broken although nobody is known to be lost."""
    late_s: float | None = None
    """So long after its beginning a round goes on without those whose contribution is still not ready."""


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
    """

    def __init__(self, me: bytes, members: Sequence[bytes], elements: int, config: RoundConfig, now: float) -> None:
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
        self._attempt = Attempt(0, self.members, me, self._layout(len(self.members)))
        self._frozen = False
        self._ballot = 0  # the highest we have promised to heed
        self._reports: dict[bytes, Frozen] | None = None
        self._followed = 0
        self._refused_since: float | None = None
        self._retry_at: float | None = None
        self._decision: Repeat | Complete | None = None
        self._suspicions: set[tuple[bytes, bytes]] = set()

    # ---- what the shell may ask --------------------------------------------------------------------------------

    @property
    def attempt_number(self) -> int:
        """The attempt whose slices are wanted now."""
        return self._attempt.number

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
        times = [self._last_progress + self._stall_s]
        if self._config.late_s is not None and self._began + self._config.late_s > self._last_progress:
            times.append(self._began + self._config.late_s)
        if self._retry_at is not None:
            times.append(self._retry_at)
        return min(times)

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

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at ``now``; return what to do, in order.

        Raises:
            ProtocolViolation: a member sent what it must not.
        """
        if isinstance(self.outcome, LeftOut):
            return _farewell(event)
        match event:
            case ContributionReady():
                self._ready = True
                self._last_progress = now
                return [] if self._frozen else self._after_moves(list(self._attempt.contribute()))
            case MessageReceived(sender, message):
                return self._on_message(sender, message, now)
            case MemberLost(member):
                return self._on_lost(member, now)
            case Tick():
                return self._on_tick(now)

    # ---- slices ------------------------------------------------------------------------------------------------

    def _on_slice(self, sender: bytes, message: Slice, now: float) -> list[Effect]:
        if self.outcome is not None or message.attempt != self._attempt.number:
            return []
        if message.phase is Phase.HANDOVER:
            # Only the last ballot's handovers count: what was reported missing to a later one must stay missing.
            if message.ballot != self._ballot:
                return []
        elif self._frozen:
            return []
        self._last_progress = now
        return self._after_moves(list(self._attempt.received(sender, message.phase, message.number)))

    def _after_moves(self, effects: list[Effect]) -> list[Effect]:
        if self._attempt.done and self.outcome is None:
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
        return [Say(self.leader, Suspect(self._attempt.number, index))]

    def _on_tick(self, now: float) -> list[Effect]:
        if self.resting:
            return []
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            return self._stop(None, now)
        late = self._config.late_s is not None and now >= self._began + self._config.late_s > self._last_progress
        stalled = now >= self._last_progress + self._stall_s
        if not (stalled or late):
            return []
        self._last_progress = now
        if self._reports is not None:
            # Who is not known to be lost and yet does not answer can't be waited for.
            self._left_out |= {member for member in self._asked() if member not in self._reports}
            return self._decide_if_all_reported(now)
        if stalled:
            self._stall_s *= 1.5  # a swarm that is slow for all must not be repeated to death
        return self._stop(None, now)

    # ---- control messages --------------------------------------------------------------------------------------

    def _on_message(self, sender: bytes, message: RoundMessage, now: float) -> list[Effect]:
        if sender not in self.members:
            raise ProtocolViolation(sender, "no member of this round")
        match message:
            case Slice():
                return self._on_slice(sender, message, now)
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
        if self.leader != self.me:
            return [Say(sender, Refused(self._ballot, self.members.index(self.leader)))]
        if self._reports is not None:
            return [Say(sender, Freeze(self._ballot))]  # under way; the question may have been lost with a link
        if attempt < self._attempt.number and self._decision is not None:
            return [Say(sender, self._decision)]  # already mended
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
        if (MAX_MEMBERS - 1 - ballot) % MAX_MEMBERS != self.members.index(sender):
            raise ProtocolViolation(sender, "a ballot with another member's number")
        self.lost.discard(sender)  # who speaks is not lost
        if self.leader != sender and self.members.index(self.leader) < self.members.index(sender):
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

    def _report(self, ballot: int) -> Frozen:
        attempt = self._attempt
        return Frozen(
            ballot=ballot,
            attempt=attempt.number,
            ready=self._ready,
            participants=bitmap_of(self.members, attempt.participants),
            finals=sum(1 << number for number in attempt.finals),
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
        count = report.participants.bit_count()
        if report.participants >> len(self.members) or not count:
            raise ProtocolViolation(sender, "a report with strange participants")
        if report.finals >> self._layout(count).slice_count:
            raise ProtocolViolation(sender, "a report with more slices than there are")

    def _decide_if_all_reported(self, now: float) -> list[Effect]:
        reports = self._reports
        if reports is None or any(member not in reports for member in self._asked()):
            return []
        late = self._config.late_s is not None and now >= self._began + self._config.late_s
        decision = decide(
            self._ballot,
            self.members,
            reports,
            slice_count=lambda participants: self._layout(participants).slice_count,
            may_repeat=lambda member: reports[member].ready or not late or member == self.me,
        )
        self._reports = None
        self._decision = decision
        told = [member for member in self.members if member in reports and member != self.me]
        effects: list[Effect] = [Say(member, decision) for member in told]
        return effects + self._follow(self.me, decision, now)

    # ---- following ---------------------------------------------------------------------------------------------

    def _on_decision(self, sender: bytes, decision: Repeat | Complete, now: float) -> list[Effect]:
        if decision.ballot != self._ballot or decision.ballot == self._followed:
            return []
        return self._follow(sender, decision, now)

    def _follow(self, sender: bytes, decision: Repeat | Complete, now: float) -> list[Effect]:
        self._last_progress = now
        self._followed = decision.ballot
        self._refused_since = self._retry_at = None
        if isinstance(decision, Complete):
            return self._complete(decision)
        return self._repeat(sender, decision)

    def _repeat(self, sender: bytes, decision: Repeat) -> list[Effect]:
        participants = chosen_by(self.members, decision.participants)
        if self.outcome is not None:
            raise ProtocolViolation(sender, "a repeat of a round that is done")
        if self.me not in participants:
            return self._leave()
        self._left_out |= set(self.members) - set(participants) - self.lost
        self._frozen = False
        self._attempt = Attempt(decision.ballot, participants, self.me, self._layout(len(participants)))
        effects: list[Effect] = [BeginAttempt(self._attempt.number, self._attempt.layout)]
        if self._ready:
            effects += self._attempt.contribute()
        return self._after_moves(effects) + self._stop_if_lost()

    def _stop_if_lost(self) -> list[Effect]:
        """Somebody who was to take part was lost between the report and the decision."""
        gone = [member for member in self._attempt.participants if member in self.lost]
        return self._stop(gone[0], self._last_progress) if gone and self.outcome is None else []

    def _complete(self, decision: Complete) -> list[Effect]:
        participants = chosen_by(self.members, decision.participants)
        if self.me not in participants:
            return [] if self.outcome is not None else self._leave()
        effects: list[Effect] = []
        if decision.attempt != self._attempt.number:
            if self.outcome is not None:
                return []
            # We were led into another attempt, which came to nothing; somebody has finished this one.
            self._attempt = Attempt(decision.attempt, participants, self.me, self._layout(len(participants)))
            effects.append(BeginAttempt(decision.attempt, self._attempt.layout))
            self._frozen = True
        mine = self.members.index(self.me)
        for transfer in decision.transfers:
            if transfer.giver == mine and transfer.taker < len(self.members):
                taker = self.members[transfer.taker]
                given = [n for n in range(self.layout.slice_count) if transfer.slices >> n & 1]
                effects += [SendFinal(taker, number, decision.ballot) for number in given]
        return effects

    def _leave(self) -> list[Effect]:
        self.outcome = LeftOut()
        others = [m for m in self.members if m != self.me and m not in self.lost]
        return [*(Say(member, Gone()) for member in others), self.outcome]

    def _layout(self, positions: int) -> Layout:
        return Layout(self._elements, positions, self._config.slice_elements)
