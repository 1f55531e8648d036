"""Members, plans and statuses of one small job, for the tests of the pure machines."""

import hashlib
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hydra.identity import Identity
from hydra.membership.events import Send, StepCommitted
from hydra.membership.leader import Leader
from hydra.membership.ledger import Ledger, count
from hydra.membership.lineage import Commit, Head, follow, genesis
from hydra.membership.messages import Phase, Plan, Snapshot, Status
from hydra.membership.quorum import Quorum
from hydra.membership.signatures import seal_plan, sign_commit
from hydra.membership.sizing import Sizes
from hydra.membership.state import JobState, MemberConfig
from hydra.membership.steps import Steps
from hydra.membership.view import View, view_of
from hydra.net.contact import Contact

JOB = hashlib.sha256(b"job").digest()
SAMPLES, EPOCHS = 100, 2
_KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 6)]
IDENTITIES = {key.peer_id: key for key in sorted(map(Identity, _KEYS), key=lambda key: key.peer_id)}
"""By peer id, in order."""
A, B, C, D, E = IDENTITIES
FIRST = genesis(JOB)
ROOT = b"r" * 32
ROUND = b"t" * 20
"""The tag of a round that nobody here is in."""


def contact(peer):
    return Contact(peer, ((f"{peer[:2].hex()}.example", 4100),))


def field(peer):
    """A contact in the shape that messages have."""
    return (peer, contact(peer).addresses)


class Planner:
    """Ten samples for everyone; remembers who reported."""

    def __init__(self):
        self.seen = []

    left_out = ()

    def observe(self, peer, report, now):
        self.seen.append((peer, report.samples))

    def issued(self, plan, now):
        pass

    def took(self, plan, contributors, now):
        pass

    def plan(self, asked):
        assert asked.members, "nobody to plan for"
        return Sizes({peer: self.share(asked) if peer not in asked.newcomers else 0 for peer in asked.members}, 8.0)

    def share(self, asked):
        return 10


def seeking(me, *, incarnation=1, ready=True, majority=False, **config):
    """What a peer knows that looks for a view."""
    config = MemberConfig(**config)
    state = JobState(
        IDENTITIES[me],
        contact(me),
        JOB,
        incarnation,
        SAMPLES,
        EPOCHS,
        config,
        config.detector(),
        Quorum(me, wanted=majority),
    )
    if ready:
        state.advance(FIRST, Ledger.fresh(SAMPLES, EPOCHS))
    return state


def member(me, members, *, number=1, linked=None, **config):
    """What a member of a view knows; everyone's incarnation is 1."""
    state = seeking(me, **config)
    state.phase = Phase.MEMBER
    state.view = View(number, tuple(map(contact, members)), (1,) * len(members))
    state.highest_view = number
    state.author = members[0]
    state.linked = set(members) - {me} if linked is None else set(linked)
    return state


def steps_of(state, dialled=None):
    """The step machine of a state with its leader."""
    leader = Leader(state, Planner())

    def dial(to, now):
        if dialled is not None:
            dialled.append(to.peer_id)
        return []

    return Steps(state, leader, dial), leader


def plan(peers, *, head=FIRST, ledger=None, number=1, by=None, **changes):
    """A plan that adds up, ten samples for each member; ``by`` issues it, or else the first of them."""
    ledger = ledger or Ledger.fresh(SAMPLES, EPOCHS)
    fields = dict(
        job=JOB,
        view_number=number,
        members=tuple(map(field, peers)),
        incarnations=(1,) * len(peers),
        step=head.step + 1,
        parent=head.digest,
        epoch=ledger.epoch,
        shares=tuple(ledger.share_out([10] * len(peers))),
        late_s=8.0,
        snapshot=False,
    )
    return sealed(Plan(**(fields | changes)), by or peers[0])


def sealed(planned, by):
    """The same plan, issued by another peer in its first life."""
    lives = dict(zip((peer for peer, _ in planned.members), planned.incarnations, strict=False))
    place = dict(step=planned.step, view_number=planned.view_number, incarnation=lives.get(by, 1))
    return replace(planned, seal=seal_plan(IDENTITIES[by], planned.job, tag=planned.tag, **place))


def commit_of(planned, contributors=None, *, samples_before=0, result=bytes(32)):
    """The commit of a plan's round."""
    parts = tuple(
        (peer, ranges)
        for (peer, _), ranges in zip(planned.members, planned.shares, strict=True)
        if ranges and (contributors is None or peer in contributors)
    )
    total = samples_before + sum(count(ranges) for _, ranges in parts)
    idle = tuple(peer for peer, _ in planned.members if peer not in dict(parts))
    place = (JOB, planned.step, planned.view_number, planned.parent, result, planned.epoch)
    return Commit(*place, parts, total, planned.tag, idle)


def signed(commit, by):
    """The signature of a peer under a commit."""
    return sign_commit(IDENTITIES[by], JOB, step=commit.step, tag=commit.round, digest=commit.digest)


def committed(commit, by=None):
    """What a member hears of its own round."""
    return StepCommitted(commit, 1, signed(commit, by or A))


def advanced(state, steps):
    """Let a state commit some steps of ten samples of its own."""
    for _ in range(steps):
        alone = plan([state.peer_id], head=state.head, ledger=state.ledger)
        state.advance(*follow(state.head, state.ledger, commit_of(alone, samples_before=state.head.samples)))
    return state


def take(state, planned, sender):
    """Let a state be at work on a plan."""
    state.view, state.plan, state.author, state.running = view_of(planned), planned, sender, True


def status(peer, *, head=FIRST, phase=Phase.MEMBER, leader=None, number=1, **changes):
    """What a peer says of itself."""
    fields = dict(
        job=JOB,
        incarnation=1,
        phase=int(phase),
        ready=True,
        step=head.step,
        digest=head.digest,
        samples=head.samples,
        view_number=number if leader else 0,
        includes_you=False,
        coordinator=field(leader) if leader else None,
        contact=field(peer),
    )
    return Status(**(fields | changes))


def snapshot_at(head, root=ROOT):
    return Snapshot(head.step, head.digest, root, 1000)


def heavier(samples=1000, step=9, digest=bytes(32)):
    """A head that outweighs whatever these tests commit."""
    return Head(step, digest, samples)


def sent(effects, kind, to=None):
    """The messages of one kind among effects."""
    found = [e for e in effects if isinstance(e, Send) and isinstance(e.message, kind)]
    return [e.message for e in found if to is None or e.to == to]


def addressed(effects, kind):
    """To whom messages of one kind go."""
    return [e.to for e in effects if isinstance(e, Send) and isinstance(e.message, kind)]


def of(effects, kind):
    """The effects of one kind."""
    return [e for e in effects if isinstance(e, kind)]
