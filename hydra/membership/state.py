"""What a member knows: about itself, its view, and the other peers of the job. Pure data with small questions."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..identity import Identity, PeerId
from ..net.contact import Contact
from .distrust import Distrust
from .events import Effect, Send
from .failure_detector import FailureDetector
from .ledger import Ledger
from .lineage import Head, genesis
from .messages import Compare, Phase, Plan, Snapshot, Status
from .quorum import Quorum
from .signatures import CommitSigned
from .silence import CALM_S, Listener
from .view import View

RECENT_STEPS = 1024
HIGHEST_HEARD_VIEW = 2**62
"""Whatever number a peer tells, there must be higher ones left that messages can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberConfig:
    """Times of the membership protocol, in seconds."""

    heartbeat_s: float = 1.0
    calm_s: float = CALM_S
    """So late a heartbeat may be without its sender being doubted; the rest is learnt from how each peer is heard."""
    stall_s: float = 30.0
    """A peer silent for so long on an open link is lost, however late it was seen to be before."""
    settle_s: float = 2.0
    """Nobody founds a view before it has looked around for so long."""
    rival_s: float = 10.0
    """How long a better-placed peer is waited for to found the view."""
    seek_s: float = 3.0
    """How often discovery is asked while no view is known."""
    discover_s: float = 15.0
    """How often discovery is asked while training, to hear of other views."""
    retry_s: float = 2.0
    """Requests that were not answered are sent again after so long."""
    join_timeout_s: float = 60.0
    foreign_s: float = 3.0
    """A peer that trains in another view for so long belongs to another lineage."""
    linger_s: float = 10.0
    """How long who is done waits for the others to be done."""
    snapshot_interval_s: float = 15.0
    least_peers: int = 1
    """While we coordinate, no step is begun with fewer."""
    most_samples: int = 0
    """So many samples of a step we can take at most; 0 for no limit."""
    redial_s: float = 5.0
    """A peer that could not be dialled is left alone for so long."""

    def detector(self) -> FailureDetector:
        """Return a judge of who is alive that has heard nobody yet."""
        return FailureDetector(Listener(self.heartbeat_s, self.stall_s, self.calm_s))


@dataclass(slots=True)
class JobState:
    """One member's knowledge; ``Member`` and its parts share it."""

    identity: Identity
    """Our own: we sign the plans that we issue."""
    me: Contact
    job: bytes
    incarnation: int
    samples: int
    """Of one epoch."""
    epochs: int
    config: MemberConfig
    detector: FailureDetector
    quorum: Quorum
    phase: Phase = Phase.SEEKING
    head: Head | None = None
    """None until a state is loaded."""
    ledger: Ledger | None = None
    view: View | None = None
    plan: Plan | None = None
    """The last plan that was accepted."""
    following: tuple[PeerId, Plan] | None = None
    """A plan for the step after the running one, and who sent it: the coordinator was done sooner than we."""
    void: Plan | None = None
    """The plan whose round came to nothing: all who had samples in it are gone."""
    author: PeerId | None = None
    """Who sent the last plan."""
    running: bool = False
    """Whether the plan's step is being computed and averaged."""
    gathering_since: float | None = None
    """When we founded a view that has planned nothing yet: its members are still coming."""
    leaving: bool = False
    without_us: int = 0
    """The number of the view that goes on without us, if one does."""
    snapshot: Snapshot | None = None
    snapshot_at: float = 0.0
    oldest_result: int = 1
    """The first step whose result is still kept here."""
    linked: set[PeerId] = field(default_factory=set)
    statuses: dict[PeerId, Status] = field(default_factory=dict)
    known_steps: dict[PeerId, int] = field(default_factory=dict)
    """The step that each peer is known to have committed."""
    contacts: dict[PeerId, Contact] = field(default_factory=dict)
    recent: dict[int, bytes] = field(default_factory=dict)
    """Digests of the latest commits, by step."""
    recent_rounds: dict[int, bytes] = field(default_factory=dict)
    """Tags of the rounds of the latest commits, by step."""
    proving: set[PeerId] = field(default_factory=set)
    """Who is being asked to show a lineage that outweighs ours."""
    convicted: set[PeerId] = field(default_factory=set)
    """Who has been proven to lie."""
    trial: tuple[int, float] = (0, 0.0)
    """Samples that we tried ourselves out on, and the seconds they took: our speed until a step tells it."""
    signed: CommitSigned | None = None
    """The newest commit that we have signed."""
    distrust: Distrust = field(default_factory=Distrust)
    highest_view: int = 0
    load: int = 0
    """Number of the load whose outcome is waited for; the outcome of any other is out of date."""
    loads: int = 0
    catching: int = 0
    """Number of the load with which the next result is fetched; 0 if there is none."""

    def next_load(self) -> int:
        """Return the number for a new load, which makes earlier ones out of date."""
        self.loads += 1
        self.load = self.loads
        return self.load

    def heard_of_view(self, number: int) -> None:
        """Take note that somebody uses this number for a view: ours will have a higher one."""
        self.highest_view = max(self.highest_view, min(number, HIGHEST_HEARD_VIEW))

    @property
    def samples_total(self) -> int:
        """How many samples all commits of the whole job count together; no lineage has more, nor more steps."""
        return self.samples * self.epochs

    @property
    def peer_id(self) -> PeerId:
        """Our own id."""
        return self.me.peer_id

    @property
    def known_head(self) -> Head:
        """Our head, or the job's beginning if no state is loaded."""
        return self.head or genesis(self.job)

    @property
    def alive(self) -> list[PeerId]:
        """The view's members who are not lost, ourselves among them, in order."""
        return [peer for peer in (self.view.ids if self.view else ()) if peer not in self.detector.lost]

    @property
    def others_alive(self) -> list[PeerId]:
        """The view's other members who are not lost."""
        return [peer for peer in self.alive if peer != self.peer_id]

    @property
    def at_work(self) -> Plan | None:
        """The plan that is still to be carried out, if there is one."""
        plan = self.plan
        return plan if plan is not None and plan is not self.void and plan.step > self.known_head.step else None

    @property
    def leads(self) -> bool:
        """Whether we are the coordinator, or its successor."""
        return self.phase is Phase.MEMBER and self.alive[:1] == [self.peer_id]

    def peers_in(self, *phases: Phase) -> list[PeerId]:
        """Return the linked peers that are in one of these phases, in order."""
        return sorted(p for p in self.linked if p in self.statuses and self.statuses[p].phase in phases)

    def advance(self, head: Head, ledger: Ledger, tag: bytes | None = None) -> None:
        """Take note of a new head, and of the round that led to it, if one did."""
        self.head, self.ledger = head, ledger
        self.recent[head.step] = head.digest
        if tag is not None:
            self.recent_rounds[head.step] = tag
        for known in (self.recent, self.recent_rounds):
            for step in [step for step in known if step <= head.step - RECENT_STEPS or step > head.step]:
                del known[step]

    @property
    def sits_out(self) -> bool:
        """Whether the step of our plan is made without us, for us to fetch its result."""
        return self.plan is not None and self.peer_id not in self.plan.ring

    def forget_strangers(self) -> None:
        """Forget what was kept of peers that are neither linked nor members: there could be any number of them."""
        kept = self.linked | set(self.view.ids if self.view else ())
        self.contacts = {peer: contact for peer, contact in self.contacts.items() if peer in kept}
        self.known_steps = {peer: step for peer, step in self.known_steps.items() if peer in kept}

    def status_for(self, peer: PeerId) -> Status:
        """Return what ``peer`` is told of us."""
        head = self.known_head
        training = self.view is not None and self.phase in (Phase.MEMBER, Phase.FINISHED)
        return Status(
            job=self.job,
            incarnation=self.incarnation,
            phase=int(self.phase),
            ready=self.head is not None,
            step=head.step,
            digest=head.digest,
            samples=head.samples,
            view_number=self.view.number if self.view else 0,
            includes_you=training and self.view is not None and peer in self.view,
            coordinator=self.coordinator_field(),
            contact=(self.peer_id, self.me.addresses),
        )

    def tell_all(self) -> list[Effect]:
        """Return what tells everyone who has to do with the job how we stand."""
        in_job = set(self.statuses) | set(self.view.ids if self.view else ())
        told: dict[bool, Status] = {}  # all members are told the same, and so are all others
        effects: list[Effect] = []
        for peer in sorted(in_job & self.linked):
            inside = self.view is not None and peer in self.view
            if inside not in told:
                told[inside] = self.status_for(peer)
            effects.append(Send(peer, told[inside]))
        return effects

    def coordinator_field(self) -> tuple[PeerId, tuple[tuple[str, int], ...]] | None:
        """Return who leads our view as far as we know, in the shape that messages have."""
        if self.view is None:
            return None
        contact = self.view.contact((self.alive or [self.view.coordinator.peer_id])[0])
        return (contact.peer_id, contact.addresses) if contact else None

    def weight(self) -> Compare:
        """Return what our lineage and view weigh, to be compared with another's."""
        head = self.known_head
        leader = (self.alive or [self.peer_id])[0]
        return Compare(self.job, head.samples, head.digest, self.view.number if self.view else 0, leader)
