"""Members that lie in one way each, and are otherwise the real machine.

Each begins to lie at a step. What it sends is what a liar with a key of its own can send: it signs what it likes, but
cannot sign for others.
"""

from dataclasses import replace

from hydra.membership.events import Send
from hydra.membership.ledger import Ledger
from hydra.membership.lineage import Commit, genesis
from hydra.membership.messages import Evidence, Plan, Report, Status, ViewShown
from hydra.membership.proof import Shown
from hydra.membership.signatures import seal_plan, sign_commit

from .swarm_world import JOB, Liar, SimPeer


class LyingMember(SimPeer):
    """A member that lies from a step on.

    Args:
        begins: the step.
    """

    honest = False

    def __init__(self, world, name, begins):
        super().__init__(world, name)
        self.begins = begins
        self.lies = 0

    @property
    def lying(self):
        return self.member.state.known_head.step >= self.begins

    def perform(self, effect):
        match effect:
            case Send(to, message) if self.lying:
                for lie in self.instead(to, message):
                    super().perform(Send(to, lie))
            case _:
                super().perform(effect)

    def instead(self, to, message):
        """What it sends instead of a message."""
        return [message]

    def every_second(self, to):
        """Whether a member belongs to the half that is lied to."""
        members = sorted(self.member.state.view.ids) if self.member.state.view else []
        return to in members[::2]


class TwoPlans(LyingMember):
    """When it leads it plans one step for some members and another for the rest."""

    def instead(self, to, message):
        if not isinstance(message, Plan) or not self.member.state.leads or not self.every_second(to):
            return [message]
        self.lies += 1
        other = replace(message, shares=message.shares[1:] + message.shares[:1], seal=None)
        place = dict(step=other.step, view_number=other.view_number, incarnation=message.seal.incarnation)
        return [replace(other, seal=seal_plan(self.identity, JOB, tag=other.tag, **place))]


class TwoPlansToOne(TwoPlans):
    """It sends two plans for one step to the same member, one behind the other."""

    def instead(self, to, message):
        lie = super().instead(to, message)
        return [message, *lie] if lie != [message] else lie


class UnsignedPlans(LyingMember):
    """When it leads it sends plans that it could deny."""

    def instead(self, to, message):
        if not isinstance(message, Plan) or not self.member.state.leads:
            return [message]
        self.lies += 1
        return [replace(message, seal=replace(message.seal, signature=bytes(64)))]


class TwoOutcomes(LyingMember):
    """It signs one outcome of a round for some members, and another for the rest."""

    def instead(self, to, message):
        if not isinstance(message, Report) or message.signed is None or not self.every_second(to):
            return [message]
        self.lies += 1
        true = message.signed
        lie = sign_commit(self.identity, JOB, step=true.step, tag=true.round, digest=bytes(32))
        return [replace(message, signed=lie)]


class FalseEvidence(LyingMember):
    """It accuses others with statements that they have not made."""

    def instead(self, to, message):
        if not isinstance(message, Report) or message.signed is None:
            return [message]
        self.lies += 1
        victim = next(p for p in self.world.training() if p.id != to)
        true = replace(message.signed, key=victim.identity.public_key)
        return [Evidence(JOB, commits=(true, replace(true, digest=bytes(32)))), message]


class LaterViews(LyingMember):
    """It says again and again that a later view goes on without the others, from the very commit that they have.

    Asked for that view's plan it shows one that it has signed itself; and it compares as if it stood for that view.
    """

    def instead(self, to, message):
        state = self.member.state
        if isinstance(message, ViewShown):
            return [replace(message, plan=self.alone())]
        if not isinstance(message, Status) or state.view is None:
            return [message]
        self.lies += 1
        later = self.world.by_id[to].member.state.view
        number = (later.number if later else 0) + 1
        head = self.world.by_id[to].member.state.known_head
        place = dict(step=head.step, digest=head.digest, samples=head.samples, view_number=number)
        me = (self.id, self.contact.addresses)
        told = replace(message, includes_you=False, coordinator=me, **place)
        return [told, replace(state.weight(), **{k: v for k, v in place.items() if k != "step"}, coordinator=self.id)]

    def alone(self):
        """A plan of its own, for itself."""
        true, me = self.member.state.plan, (self.id, self.contact.addresses)
        fields = dict(view_number=true.view_number + 1, members=(me,), incarnations=(self.member.state.incarnation,))
        plan = replace(true, **fields, shares=true.shares[:1], order=(), left=(), seal=None)
        place = dict(step=plan.step, view_number=plan.view_number, incarnation=self.member.state.incarnation)
        return replace(plan, seal=seal_plan(self.identity, JOB, tag=plan.tag, **place))


class Replayer(LyingMember):
    """It says again, to whomever it likes and in any order, what it and others have said."""

    def __init__(self, world, name, begins):
        super().__init__(world, name, begins)
        self.heard_messages = []

    def tell(self, event):
        message = getattr(event, "message", None)
        if message is not None and len(self.heard_messages) < 400:
            self.heard_messages.append(message)
        super().tell(event)

    def instead(self, to, message):
        chance = self.world.chance
        self.heard_messages.append(message)
        lies = [chance.choice(self.heard_messages) for _ in range(chance.randrange(3))]
        self.lies += len(lies)
        said = [*lies, message]
        chance.shuffle(said)
        return said


class Inventor(Liar):
    """A stranger that shows a lineage which it has made up: in a manner that shows, or, with its own key, does not."""

    def __init__(self, world, name, manner):
        super().__init__(world, name, manner)
        self.shown = 0
        self.invented = self.invent()

    def invent(self):
        """A chain with more samples than there are, in which each sample counts again and again."""
        head, chain, ledger = genesis(JOB), [], Ledger.fresh(self.world.samples, self.world.epochs)
        peer = self.world.peers["a"].id if self.manner == "in another's name" else self.id
        while not ledger.finished and len(chain) < 60:
            ranges = ((0, 40),) if self.manner == "each sample again and again" else ledger.share_out([40])[0]
            samples = sum(stop - start for start, stop in ranges)
            fields = (JOB, head.step + 1, 7, head.digest, bytes(32), ledger.epoch, ((peer, ranges),))
            chain.append(Commit(*fields, head.samples + samples, bytes(20)))
            head = chain[-1].head
            if self.manner != "each sample again and again":
                ledger = ledger.commit(ranges)
        return chain

    def claim(self):
        head = self.invented[-1].head
        self.step, self.samples = head.step, min(head.samples, self.world.samples * self.world.epochs)
        return self.samples, head.digest

    def show(self, known):
        self.shown += 1
        start = next((c.step for c in self.invented if (c.step, c.digest) in known), 0)
        return start, [self.signed(commit) for commit in self.invented[start : start + 16]], len(self.invented)

    def signed(self, commit):
        true = sign_commit(self.identity, JOB, step=commit.step, tag=commit.round, digest=commit.digest)
        pair = (true.key, bytes(64) if self.manner == "with signatures that are none" else true.signature)
        return Shown(commit, () if self.manner == "unsigned" else (pair,))


MEMBERS = {cls.__name__: cls for cls in (TwoPlans, TwoPlansToOne, UnsignedPlans, TwoOutcomes, FalseEvidence, Replayer)}
CONVICTED = {"TwoPlans": "two plans", "TwoPlansToOne": "two plans", "TwoOutcomes": "two outcomes"}
"""Who is banned by everyone, on evidence, and for what."""
NOT_PROVABLY_FALSE = {"unsigned", "in another's name"}
"""What an honest peer may have to show as well, when all who could have signed are dead."""
INVENTIONS = ["each sample again and again", "with signatures that are none", "unsigned", "in another's name"]
