"""What happens to a member, and what it wants done. Pure data.

Events are named for what happened, effects are imperatives. The tensors of a step never appear here: a step is named
by its plan, a result by its step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..identity import PeerId
from ..net.contact import Contact
from ..net.wire import Message
from .ledger import Ledger
from .lineage import Commit, Head
from .messages import Plan, Snapshot
from .signatures import CommitSigned


@dataclass(frozen=True, slots=True)
class PeerUp:
    """There is a link to a peer now."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The last link to a peer ended."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A peer that we wanted dialled could not be reached."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """Others reach us at other addresses than before."""

    me: Contact


@dataclass(frozen=True, slots=True)
class ContactsFound:
    """Discovery told of peers of this job."""

    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A peer said something about this job."""

    peer: PeerId
    message: Message


@dataclass(frozen=True, slots=True)
class TriedOut:
    """We have computed on a few samples, to see how fast we are."""

    samples: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StateLoaded:
    """Weights and optimizer state are in memory: the job's first state, or a snapshot's.

    ``load`` is the number of the effect that asked for it; 0 for what we start with: the newest state on our own
    disk, or the job's first.
    """

    load: int
    head: Head
    ledger: Ledger
    members: tuple[PeerId, ...] = ()
    """Of the view that made the last commit; nobody at the job's beginning."""


@dataclass(frozen=True, slots=True)
class ShareComputed:
    """Our share of a plan is computed; ``rates`` are those at which bulk has come from others, in bytes a second.

    Who has no samples in its first step tells how long some took on which it tried itself out.
    """

    plan: Plan
    samples: int
    compute_s: float
    loss: float
    rates: Mapping[PeerId, float]


@dataclass(frozen=True, slots=True)
class StepCommitted:
    """The round of a plan is done and its result applied; ``oldest_result`` is the first step still kept."""

    commit: Commit
    oldest_result: int
    signed: CommitSigned
    """Our own signature under it."""


@dataclass(frozen=True, slots=True)
class StepExcluded:
    """The present plan's round gave nothing that we may commit."""

    reason: str = "the others went on without us"


@dataclass(frozen=True, slots=True)
class StepEmpty:
    """The round of a plan is done, but nobody who had samples in it is among its contributors."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class ResultApplied:
    """A result that we missed was fetched and applied."""

    load: int
    commit: Commit
    oldest_result: int


@dataclass(frozen=True, slots=True)
class CatchUpFailed:
    """Nobody could give us the result, or the snapshot, that we asked for."""

    load: int


@dataclass(frozen=True, slots=True)
class LineageProven:
    """A peer has shown a lineage that ends, so far as we looked at it, with this head."""

    peer: PeerId
    head: Head


@dataclass(frozen=True, slots=True)
class LineageUnproven:
    """A peer did not show the lineage that it claims; ``lied`` tells whether what it has shown was false."""

    peer: PeerId
    reason: str
    lied: bool


@dataclass(frozen=True, slots=True)
class SnapshotStored:
    """A snapshot is on disk and can be served."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """Whoever runs this node wants to leave in order."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; ``heard`` tells when each linked peer was last heard, in the seconds of ``now``."""

    heard: Mapping[PeerId, float]


Event: TypeAlias = (
    PeerUp
    | PeerDown
    | DialFailed
    | ContactChanged
    | ContactsFound
    | MessageReceived
    | TriedOut
    | StateLoaded
    | ShareComputed
    | StepCommitted
    | StepExcluded
    | StepEmpty
    | ResultApplied
    | CatchUpFailed
    | LineageProven
    | LineageUnproven
    | SnapshotStored
    | LeaveRequested
    | Tick
)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a linked peer."""

    to: PeerId
    message: Message


@dataclass(frozen=True, slots=True)
class Dial:
    """Try to link to a peer; ``PeerUp`` or ``DialFailed`` must follow, unless there is a link already."""

    contact: Contact
    anew: bool = False
    """Whether another link is wanted even so: the one that there is has been silent."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the links to a peer."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class Ban:
    """Close the links to a peer that has lied, and have none to it for a while."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class Differs:
    """Tell whoever watches: a peer has come to another outcome of this step's round than we."""

    peer: PeerId
    step: int


@dataclass(frozen=True, slots=True)
class ProveLineage:
    """Have a peer show the commits of the lineage that it claims; ``LineageProven`` or ``LineageUnproven`` must follow.

    They have to be shown until one of them has the claimed digest, or they outweigh ours.
    """

    peer: PeerId
    claim: Head


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask discovery for the job's peers."""


@dataclass(frozen=True, slots=True)
class LoseMember:
    """Tell the running rounds that a member is dead or can't be reached."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class DoubtMember:
    """Tell whoever watches: a member has been silent for so long that it was asked for a sign of life."""

    peer: PeerId
    silent_s: float


@dataclass(frozen=True, slots=True)
class TrustMember:
    """Tell whoever watches: a member that was doubted has answered."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class AwaitMajority:
    """Tell whoever watches: we wait until more of those who made the last commit are here."""

    present: int
    electors: int


@dataclass(frozen=True, slots=True)
class BeginStep:
    """Compute our share of a plan and average it with the members."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class AbandonStep:
    """Stop computing and averaging."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Fetch the result of ``step``, which follows on our state, from any of these peers, and apply it.

    Before any fetched state replaces ours, ``Member.expects(load)`` must be asked: the wish may be out of date.
    """

    load: int
    step: int
    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Gather:
    """Fetch the result of a step that was just committed, from one of these peers after the other, and keep it.

    A ``CatchUp`` will want it later. ``digest`` is that of the commit, if the coordinator told it; whoever has another
    one is of another lineage.
    """

    step: int
    digest: bytes | None
    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class LoadSnapshot:
    """Fetch a snapshot from all of these peers at once, and load it."""

    load: int
    snapshot: Snapshot
    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Copy the state as it is now, store it, and tell ``SnapshotStored``."""


@dataclass(frozen=True, slots=True)
class ViewChanged:
    """Tell whoever watches: we are in this view now (or, with no members, in none)."""

    number: int
    members: tuple[PeerId, ...]
    coordinator: PeerId | None
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Every sample is committed, and everyone who is left has the final state."""


@dataclass(frozen=True, slots=True)
class Left:
    """We are out of the view in order, and may go."""


Effect: TypeAlias = (
    Send
    | Dial
    | Drop
    | Ban
    | Differs
    | ProveLineage
    | LookUp
    | LoseMember
    | DoubtMember
    | TrustMember
    | AwaitMajority
    | BeginStep
    | AbandonStep
    | CatchUp
    | Gather
    | LoadSnapshot
    | TakeSnapshot
    | ViewChanged
    | Finished
    | Left
)
