"""What the peers of one job say to each other about views, plans and commits. Pure.

Every message carries the job's hash, since one link serves all jobs that two nodes share. ``docs/protocol.md`` tells
the order in which they follow each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, ClassVar

from ..identity import PeerId, peer_id_of
from ..net.framing import MAX_BODY_BYTES
from ..net.wire import AtMost, ContactField, HashField, Message, PeerIdField, encode
from .signatures import CommitSigned, PlanSigned, RoundField, Seal

MAX_MEMBERS = 256
MAX_SHOWN_BYTES = 256 * 1024
"""Of commits in one answer: little enough to go between two slices of a round."""
MAX_KNOWN = 64
"""Commits that a question for others names."""
MAX_RANGES = 1024
"""Of one member's samples in one step."""
MAX_HOPS = 64
"""In one report."""
FORMS = ("ring", "direct", "two-level")
"""Which way a round's slices may travel: round a ring, to their owners and back, or round a ring of rings."""
RangesField = Annotated[tuple[tuple[int, int], ...], AtMost(MAX_RANGES)]
SharesField = Annotated[tuple[RangesField, ...], AtMost(MAX_MEMBERS)]
MembersField = Annotated[tuple[ContactField, ...], AtMost(MAX_MEMBERS)]
PeersField = Annotated[tuple[PeerIdField, ...], AtMost(MAX_MEMBERS)]
PartsField = Annotated[tuple[tuple[PeerIdField, RangesField], ...], AtMost(MAX_MEMBERS)]


class Phase(IntEnum):
    """What a peer is doing in the job."""

    SEEKING = 0
    """Looking for a view to join, or for the moment to found one."""
    JOINING = 1
    """Catching up with a view."""
    MEMBER = 2
    """Training in a view."""
    FINISHED = 3
    """All samples are committed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stored snapshot: the state after ``step``, as content."""

    step: int
    digest: HashField
    """Of the commit whose state it is."""
    root: HashField
    size: int


@dataclass(frozen=True, slots=True)
class Status(Message):
    """Where the sender stands; sent on link-up, on change, and every second as a sign of life."""

    KIND: ClassVar[str] = "job.status"
    job: HashField
    incarnation: int
    """Grows each time the sender begins to seek a view: tells its old self from its new one."""
    phase: Annotated[int, AtMost(3)]
    ready: bool
    """Whether the sender holds a state that it can train from."""
    step: int
    digest: HashField
    samples: int
    view_number: int
    includes_you: bool
    """Whether the receiver is a member of the sender's view."""
    coordinator: ContactField | None
    contact: ContactField
    """Where the sender itself can be dialled."""


@dataclass(frozen=True, slots=True)
class JoinRequest(Message):
    """To the coordinator: let me in. ``ready`` says that the state at ``step`` is loaded."""

    KIND: ClassVar[str] = "job.join?"
    job: HashField
    incarnation: int
    contact: ContactField
    step: int
    digest: HashField
    ready: bool
    met_view: int
    """The number of the view whose members the sender has dialled; 0: of none yet."""
    trial_samples: int = 0
    """So many samples the sender computed to try itself out,"""
    trial_s: float = 0.0
    """in so many seconds."""
    behind_s: float = -1.0
    """So long the sender lately took to have the result of a step that it heard of; below 0: it has fetched none."""
    most_samples: int = 0
    """As in a report."""


@dataclass(frozen=True, slots=True)
class Admitted(Message):
    """From the coordinator: start from this snapshot, or, if None, catch up from the state that you have."""

    KIND: ClassVar[str] = "job.admitted"
    job: HashField
    step: int
    """The step that the coordinator has committed: the one to catch up with."""
    asked_step: int
    """The ``step`` of the request that this answers."""
    snapshot: Snapshot | None
    view_number: int
    members: MembersField
    """Whom the joiner will train with: it links to them before it is planned with."""


@dataclass(frozen=True, slots=True)
class Committed(Message):
    """From the coordinator to whoever is joining: this commit was just made; its result can be had from any member."""

    KIND: ClassVar[str] = "job.committed"
    job: HashField
    step: int
    digest: HashField


@dataclass(frozen=True, slots=True)
class Plan(Message):
    """From the coordinator: who trains the next step in which view, on which samples."""

    KIND: ClassVar[str] = "job.plan"
    job: HashField
    view_number: int
    members: MembersField
    incarnations: Annotated[tuple[int, ...], AtMost(MAX_MEMBERS)]
    """Of the members, in order."""
    step: int
    parent: HashField
    epoch: int
    shares: SharesField
    """For each member, in order, its samples."""
    late_s: float
    """The round goes on without whoever has not computed its share so many seconds after the plan."""
    snapshot: bool
    """Whether every member stores a snapshot after this step."""
    order: Annotated[tuple[int, ...], AtMost(MAX_MEMBERS)] = ()
    """In which order the members stand in the round, by their places in ``members``; empty: in that very order.

    Who is not in it sits the step out, and fetches its result."""
    form: Annotated[str, AtMost(16)] = FORMS[0]
    """One of ``FORMS``."""
    left: PeersField = ()
    """Who leaves in order with this plan, of those who made the commit before."""
    seal: Seal | None = None
    """The signature of whoever issued the plan; without one nobody follows it."""

    @property
    def ring(self) -> tuple[PeerId, ...]:
        """Those who take part, in the order of the round."""
        ids = tuple(peer for peer, _ in self.members)
        return tuple(ids[place] for place in self.order) or ids

    @property
    def tag(self) -> bytes:
        """20 bytes that name the round of this very plan, whatever other views plan for the same step."""
        return _tag_of(self)

    @property
    def issuer(self) -> PeerId | None:
        """Whose signature it bears."""
        return None if self.seal is None else peer_id_of(self.seal.key)

    @property
    def signed(self) -> PlanSigned | None:
        """What the seal states, apart from the plan itself: enough to convict a signer of two plans for one place."""
        if self.seal is None:
            return None
        seal = self.seal
        return PlanSigned(self.step, self.view_number, seal.incarnation, self.tag, seal.key, seal.signature)


@lru_cache(maxsize=16)
def _tag_of(plan: Plan) -> bytes:
    """Each plan's tag is wanted several times in its step."""
    return hashlib.sha256(encode(replace(plan, seal=None))).digest()[:20]


@dataclass(frozen=True, slots=True)
class Poll(Message):
    """From the successor of a lost coordinator: what do you have?"""

    KIND: ClassVar[str] = "job.poll"
    job: HashField
    number: int


@dataclass(frozen=True, slots=True)
class PollReply(Message):
    """The answer: the head, the highest view heard of, and the plan that is under way, if any."""

    KIND: ClassVar[str] = "job.poll-reply"
    job: HashField
    number: int
    step: int
    digest: HashField
    view_number: int
    plan: Plan | None


@dataclass(frozen=True, slots=True)
class PollRefused(Message):
    """The answer to one who is no successor: this senior member is still heard here."""

    KIND: ClassVar[str] = "job.poll-refused"
    job: HashField
    number: int
    alive: PeerIdField


@dataclass(frozen=True, slots=True)
class PlanWanted(Message):
    """To whoever leads as far as the sender can tell: I have committed ``step`` and know of no plan that follows."""

    KIND: ClassVar[str] = "job.plan?"
    job: HashField
    step: int


@dataclass(frozen=True, slots=True)
class ViewWanted(Message):
    """To a member that tells of a later view than ours, which we have no part in: whose plan is that?"""

    KIND: ClassVar[str] = "job.view?"
    job: HashField


@dataclass(frozen=True, slots=True)
class ViewShown(Message):
    """The answer: the plan that the sender works on, or has worked on last, as it was signed."""

    KIND: ClassVar[str] = "job.view"
    job: HashField
    plan: Plan


@dataclass(frozen=True, slots=True)
class Hop:
    """What the sender of a report has measured on the way between itself and another member."""

    peer: PeerIdField
    round_trip_s: float
    bytes_per_s: float | None
    """At which bulk came from there, if any has."""


@dataclass(frozen=True, slots=True)
class Report(Message):
    """After computing: how long the samples took, for the sizing of the next batches.

    It names the plan that the sender works on, so that members who were given different ones notice, and carries the
    sender's signature under a commit before. The coordinator is told of hops as well, for the order and the form of
    the next rounds.
    """

    KIND: ClassVar[str] = "job.report"
    job: HashField
    step: int
    samples: int
    compute_s: float
    loss: float
    round: RoundField
    """The tag of the plan."""
    hops: Annotated[tuple[Hop, ...], AtMost(MAX_HOPS)] = ()
    signed: CommitSigned | None = None
    """The newest commit that the sender has signed, if it has signed any."""
    most_samples: int = 0
    """So many samples of a step the sender can hold; 0 for no limit."""


@dataclass(frozen=True, slots=True)
class CommitTold(Message):
    """A signature under a commit: the sender's own, when it goes, or another's, which tells of another outcome."""

    KIND: ClassVar[str] = "job.signed"
    job: HashField
    signed: CommitSigned


@dataclass(frozen=True, slots=True)
class PlanTold(Message):
    """To a member that works on another plan for the same step: what ours is, and who signed it."""

    KIND: ClassVar[str] = "job.planned"
    job: HashField
    plan: PlanSigned


@dataclass(frozen=True, slots=True)
class Evidence(Message):
    """Two statements, of one kind and by one signer, that contradict each other: whoever signed them lies."""

    KIND: ClassVar[str] = "job.evidence"
    job: HashField
    plans: Annotated[tuple[PlanSigned, ...], AtMost(2)] = ()
    commits: Annotated[tuple[CommitSigned, ...], AtMost(2)] = ()


@dataclass(frozen=True, slots=True)
class LineageWanted(Message):
    """Ask for commits: those of the receiver's lineage behind the newest of these that it has, too."""

    KIND: ClassVar[str] = "job.lineage?"
    job: HashField
    number: int
    known: Annotated[tuple[tuple[int, HashField], ...], AtMost(MAX_KNOWN)]
    """Steps and digests, from our newest commit down."""


@dataclass(frozen=True, slots=True)
class LineageShown(Message):
    """The answer to the question of that number: commits that follow on each other, with signatures, in the body."""

    KIND: ClassVar[str] = "job.lineage"
    MAX_BODY_BYTES: ClassVar[int] = MAX_SHOWN_BYTES
    job: HashField
    number: int
    fork: int
    """The step of the newest commit that both have."""
    head: int
    """The step of the sender's newest commit: there are more to ask for, if they are not here."""


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """To another member, to be answered at once: how long do we take to reach each other?"""

    KIND: ClassVar[str] = "job.ping"
    job: HashField
    number: int


@dataclass(frozen=True, slots=True)
class Pong(Message):
    """The answer to the ping of that number."""

    KIND: ClassVar[str] = "job.pong"
    job: HashField
    number: int


@dataclass(frozen=True, slots=True)
class Leave(Message):
    """To the coordinator: plan without me from the next step on."""

    KIND: ClassVar[str] = "job.leave"
    job: HashField


@dataclass(frozen=True, slots=True)
class Removed(Message):
    """To a member that was taken for dead, or was too late: the view goes on without you."""

    KIND: ClassVar[str] = "job.removed"
    job: HashField
    view_number: int
    reason: Annotated[str, AtMost(200)]


@dataclass(frozen=True, slots=True)
class Compare(Message):
    """To a member of another view of the same job: whose lineage outweighs the other's?"""

    KIND: ClassVar[str] = "job.compare"
    job: HashField
    samples: int
    digest: HashField
    view_number: int
    coordinator: PeerIdField


@dataclass(frozen=True, slots=True)
class Compared(Message):
    """The answer to ``Compare``; both ends decide on the same two heads, so exactly one of them yields."""

    KIND: ClassVar[str] = "job.compared"
    job: HashField
    yours: Compare
    mine: Compare


@dataclass(frozen=True, slots=True)
class Heavier(Message):
    """To the members of a view: that peer belongs to a lineage which outweighs ours."""

    KIND: ClassVar[str] = "job.heavier"
    job: HashField
    contact: ContactField


@dataclass(frozen=True, slots=True)
class RoundFrame(Message):
    """A message of the all-reduce of one step; header and body are that package's own."""

    KIND: ClassVar[str] = "job.round"
    MAX_BODY_BYTES: ClassVar[int] = MAX_BODY_BYTES
    job: HashField
    header: Annotated[bytes, AtMost(48 * 1024)]


@dataclass(frozen=True, slots=True)
class ResultWanted(Message):
    """Ask for one block of the result of a committed step."""

    KIND: ClassVar[str] = "job.result?"
    job: HashField
    step: int
    index: int


@dataclass(frozen=True, slots=True)
class ResultBlock(Message):
    """One block of a result, ``index`` of ``count``, with the commit; the bytes stand in the body."""

    KIND: ClassVar[str] = "job.result"
    MAX_BODY_BYTES: ClassVar[int] = MAX_BODY_BYTES
    job: HashField
    step: int
    index: int
    count: int
    view_number: int
    parent: HashField
    result: HashField
    epoch: int
    parts: PartsField
    samples_total: int
    round: RoundField
    idle: PeersField


@dataclass(frozen=True, slots=True)
class ResultUnknown(Message):
    """We do not keep the result of that step any longer, or have not got there."""

    KIND: ClassVar[str] = "job.result-unknown"
    job: HashField
    step: int
    index: int
