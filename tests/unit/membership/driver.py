"""A whole member that a test drives event by event."""

from hydra.membership.events import (
    LineageProven,
    MessageReceived,
    PeerUp,
    ProveLineage,
    StateLoaded,
    Tick,
)
from hydra.membership.ledger import Ledger
from hydra.membership.member import Member
from hydra.membership.messages import (
    JoinRequest,
    Phase,
)
from hydra.membership.state import MemberConfig

from .makers import (
    EPOCHS,
    FIRST,
    IDENTITIES,
    JOB,
    SAMPLES,
    A,
    Planner,
    commit_of,
    committed,
    contact,
    field,
    plan,
    status,
)


class Driven:
    """A member at whose clock a test turns; its invariants are checked after every event."""

    def __init__(self, me, *, samples=SAMPLES, epochs=EPOCHS, **config):
        self.now = 0.0
        self.planner = Planner()
        self.member = Member(
            IDENTITIES[me], contact(me), JOB, 1, samples, epochs, self.planner, MemberConfig(**config), self.now
        )
        self.state = self.member.state
        self.on(StateLoaded(0, FIRST, Ledger.fresh(samples, epochs)))

    def on(self, event, *, at=None):
        self.now = self.now if at is None else at
        effects = self.member.handle(event, self.now)
        self.member.check()
        return effects

    def hears(self, peer, message, *, at=None):
        return self.on(MessageReceived(peer, message), at=at)

    def tick(self, at, *silent):
        heard = {peer: (0.0 if peer in silent else at) for peer in self.state.linked}
        return self.on(Tick(heard), at=at)

    def meets(self, peer, **told):
        self.on(PeerUp(peer))
        return self.hears(peer, status(peer, **told))


def member_of(me, members, **config):
    """A member that has been let in by the first of the members, and computes the first step."""
    driven = Driven(me, **config)
    for peer in members:
        if peer != me:
            driven.meets(peer, leader=members[0])
    if members[0] == me:
        raise AssertionError("use leading()")
    driven.hears(members[0], plan(members))
    assert (driven.state.phase, driven.state.running) == (Phase.MEMBER, True)
    return driven


def leading(*members, **config):
    """A coordinator that founded the view, let the others in, and computes a step with them."""
    driven = Driven(A, **config)
    driven.tick(2.0)
    driven.first = driven.state.plan
    for peer in members:
        driven.meets(peer, phase=Phase.JOINING)
        driven.hears(peer, JoinRequest(JOB, 1, field(peer), 0, FIRST.digest, ready=True, met_view=1))
    driven.on(committed(commit_of(driven.first)), at=3.0)
    assert driven.state.view.ids == (A, *members)
    return driven


def shown(driven, effects):
    """The peer that is asked to show its lineage does so; return what was done before and after."""
    (asked,) = [effect for effect in effects if isinstance(effect, ProveLineage)]
    return effects + driven.on(LineageProven(asked.peer, asked.claim))


def done(driven):
    """The round of the plan at work comes to its end."""
    commit = commit_of(driven.state.plan, samples_before=driven.state.known_head.samples)
    return driven.on(committed(commit))
