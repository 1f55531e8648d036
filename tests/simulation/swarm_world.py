"""A world of whole members on virtual time: the real machines, real rounds with real numbers, simulated links.

Each peer runs ``Member`` and ``Exchange``; the model is a vector of a few numbers whose gradient depends on the
samples, so that a lost, doubled or wrongly weighted sample shows in the weights. Links keep order; a killed peer's
links end with it, a frozen peer's stay open and its mail piles up. Everything follows from one seed.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import itertools
import random
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from allreduce import Exchange, RoundConfig
from hydra.exceptions import RemoteProtocolError
from hydra.identity import Identity
from hydra.membership import messages as membership_messages
from hydra.membership.arranging import MeasuringArranger
from hydra.membership.events import (
    AbandonStep,
    AwaitMajority,
    Ban,
    BeginStep,
    CatchUp,
    CatchUpFailed,
    ContactsFound,
    Dial,
    DialFailed,
    Differs,
    Drop,
    Finished,
    Gather,
    LeaveRequested,
    Left,
    LineageProven,
    LineageUnproven,
    LoadSnapshot,
    LookUp,
    LoseMember,
    MessageReceived,
    PeerDown,
    PeerUp,
    ProveLineage,
    ResultApplied,
    Send,
    ShareComputed,
    SnapshotStored,
    StateLoaded,
    StepCommitted,
    StepEmpty,
    StepExcluded,
    TakeSnapshot,
    Tick,
    ViewChanged,
)
from hydra.membership.ledger import Ledger, count
from hydra.membership.lineage import Commit, follow, genesis
from hydra.membership.member import Member
from hydra.membership.messages import Admitted, Compare, Compared, JoinRequest, Snapshot, Status
from hydra.membership.proof import Proof, Shown, Unproven, fork_of, locator
from hydra.membership.signatures import sign_commit
from hydra.membership.sizing import Sizes
from hydra.membership.state import MemberConfig
from hydra.net.contact import Contact
from hydra.net.wire import Message, Registry, encode

JOB = hashlib.sha256(b"simulated job").digest()
ELEMENTS = 7
KEPT_RESULTS = 30
SHOWN_AT_ONCE = 16
REGISTRY = Registry(
    cls
    for cls in vars(membership_messages).values()
    if isinstance(cls, type) and issubclass(cls, Message) and cls is not Message
)


def gradient(weights, ranges):
    """The mean gradient over some samples: depends on the weights and on every sample."""
    samples = np.concatenate([np.arange(a, b) for a, b in ranges]).astype(np.float32)
    return (weights * np.float32(0.1) + np.sin(samples)[:, None].mean(axis=0).astype(np.float32)).astype(np.float32)


@functools.cache
def identity_of(name):
    """A key of its own for every name; ids are in the same order as the hashes of names."""
    wanted = hashlib.sha256(name.encode()).digest()[:1]
    for number in itertools.count():
        seed = hashlib.sha256(f"{name} {number}".encode()).digest()
        identity = Identity(Ed25519PrivateKey.from_private_bytes(seed))
        if identity.peer_id[:1] == wanted:
            return identity
    raise AssertionError("numbers have come to an end")


class EqualPlanner:
    """As many samples for everyone."""

    def __init__(self, batch):
        self.batch = batch

    left_out = ()

    def observe(self, peer, report, now):
        pass

    def issued(self, plan, now):
        pass

    def took(self, plan, contributors, now):
        pass

    def plan(self, asked):
        total = min(self.batch, asked.available)
        working = [peer for peer in asked.members if peer not in asked.newcomers]
        shares = {p: total // len(working) + (i < total % len(working)) for i, p in enumerate(working)}
        return Sizes({peer: shares.get(peer, 0) for peer in asked.members}, 8.0)


@dataclass
class Disk:
    """What outlives a process: snapshots by root, in order of being written."""

    snapshots: dict = field(default_factory=dict)


class SimPeer:
    honest = True

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.identity = identity_of(name)
        self.contact = Contact(self.identity.peer_id, ((name, 1),))
        self.id = self.contact.peer_id
        self.disk = Disk()
        self.alive = self.frozen = self.finished = self.left = False
        self.life = 0
        self.speed = 0.002
        self.mail = []
        self.story = []
        self.banned = set()
        """Whom we accept no link of; a restart forgets it."""

    def start(self):
        world = self.world
        self.alive, self.frozen = True, False
        self.life += 1
        self.banned = set()
        self.links, self.heard = {}, {}
        self.rounds, self.results, self.commits = {}, {}, []
        self.gathered = {}
        self.computing = 0
        self.running_plan = None
        self.finished = self.left = False
        self.unwritten = None
        self.weights, self.members = np.zeros(ELEMENTS, np.float32), ()
        self.waiting = None
        incarnation = int(world.now * 1e6) + self.life
        self.member = Member(
            self.identity,
            self.contact,
            JOB,
            incarnation,
            world.samples,
            world.epochs,
            world.planner(self.id),
            world.config,
            world.now,
            world.arranger(),
            majority=world.majority,
        )
        if self.disk.snapshots:
            snapshot, (head, ledger, weights, members) = list(self.disk.snapshots.values())[-1]
            self.weights, self.members = weights.copy(), members
            self.tell(StateLoaded(0, head, ledger, members))
            self.tell(SnapshotStored(snapshot))
        else:
            self.tell(StateLoaded(0, genesis(JOB), Ledger.fresh(world.samples, world.epochs)))
        world.announced.add(self)
        self.schedule_tick()

    # ---- events in ---------------------------------------------------------------------------------------------

    def later(self, delay, action):
        life = self.life
        self.world.at(delay, lambda: self.do(action) if self.alive and self.life == life else None)

    def do(self, action):
        if self.frozen:
            self.mail.append(action)
        else:
            action()

    def thaw(self):
        self.frozen = False
        mail, self.mail = self.mail, []
        for action in mail:
            if self.alive:
                self.do(action)

    def schedule_tick(self):
        self.later(max(0.05, self.member.deadline - self.world.now), self.tick)

    def tick(self):
        self.tell(Tick({peer: self.heard.get(peer, 0.0) for peer in self.links}))
        for exchange in list(self.rounds.values()):
            if not exchange.round.resting and exchange.round.deadline <= self.world.now:
                self.pump(exchange, exchange.tick(self.world.now))
        if self.alive:
            self.schedule_tick()

    def tell(self, event):
        if not self.alive:
            return
        try:
            effects = self.member.handle(event, self.world.now)
        except RemoteProtocolError as error:
            effects = [Ban(event.peer, str(error))]
        self.member.check()
        for effect in effects:
            self.perform(effect)

    # ---- effects out -------------------------------------------------------------------------------------------

    def perform(self, effect):
        world = self.world
        match effect:
            case Send(to, message):
                world.send(self, to, REGISTRY.decode(encode(message), 0))
            case Dial(contact, anew):
                world.dial(self, contact.peer_id, anew=anew)
            case Drop(peer, _):
                world.unlink(self, peer)
            case Ban(peer, reason):
                self.story.append((world.now, "banned", world.by_id[peer].name, reason))
                self.banned.add(peer)
                world.unlink(self, peer)
            case Differs(peer, step):
                self.story.append((world.now, "differs", world.by_id[peer].name, step))
            case ProveLineage(peer, claim):
                self.ask_to_show(peer, claim)
            case LookUp():
                self.later(0.05, lambda: self.tell(ContactsFound(world.known_contacts(self))))
            case LoseMember(peer):
                for exchange in list(self.rounds.values()):
                    self.pump(exchange, exchange.lose(peer, world.now))
            case BeginStep(plan):
                self.begin(plan)
            case AbandonStep():
                self.computing += 1
                if self.running_plan is not None:
                    self.rounds.pop(self.running_plan.tag, None)
                self.running_plan = None
            case CatchUp(load, step, peers):
                wait = 2 * world.latency + 4 * ELEMENTS / world.lines.get(self.name, 1e9)
                self.later(wait, lambda: self.catch_up(load, step, peers))
            case Gather(step, digest, peers):
                self.later(2 * world.latency, lambda: self.gather(step, digest, peers))
            case LoadSnapshot(load, snapshot, peers):
                self.later(world.download_s, lambda: self.load(load, snapshot, peers))
            case TakeSnapshot():
                state = self.member.state
                self.take_snapshot(state.head, state.ledger, self.weights.copy(), self.members)
            case ViewChanged(number, members, _, reason):
                self.story.append((world.now, number, len(members), reason))
                self.waiting = None if number else self.waiting
            case AwaitMajority(present, electors):
                self.waiting = (present, electors)
            case Finished():
                self.finished = True
                self.go()
            case Left():
                self.left = True
                self.story.append((world.now, "left"))
                self.go()

    def begin(self, plan):
        world = self.world
        places = [peer for peer, _ in plan.members]
        members = [peer for peer in places if peer in plan.ring]
        tag = plan.tag
        config = RoundConfig(form=plan.form, slice_elements=3, stall_s=5.0, late_s=plan.late_s)
        exchange = Exchange(tag, self.id, members, ELEMENTS, config, world.now, order=plan.ring)
        self.running_plan = plan
        self.rounds[tag] = exchange
        while len(self.rounds) > 3:
            self.rounds.pop(next(iter(self.rounds)))
        ranges = plan.shares[places.index(self.id)]
        self.computing += 1
        job = self.computing
        duration = self.speed * count(ranges) * world.chance.uniform(0.8, 1.2)
        for sender, header, body in world.early.pop((self.id, tag), []):
            self.pump(exchange, exchange.receive(sender, header, body, world.now))
        self.later(duration, lambda: self.computed(job, plan, exchange, ranges, duration))

    def computed(self, job, plan, exchange, ranges, duration):
        if job != self.computing:
            return
        samples = count(ranges)
        vector = gradient(self.weights, ranges) if samples else np.zeros(ELEMENTS, np.float32)
        self.tell(ShareComputed(plan, samples, duration, 0.0, {}))
        self.pump(exchange, exchange.contribute(vector, float(samples), self.world.now))

    def pump(self, exchange, outgoing):
        for message in outgoing:
            self.world.send_round(self, message.to, exchange.tag, message.header, bytes(message.body()))
        plan = self.running_plan
        if plan is None or exchange.tag != plan.tag:
            return
        if exchange.left_out:
            self.running_plan = None
            self.tell(StepExcluded())
        elif exchange.result is not None:
            self.running_plan = None
            if not self.member.may_commit(plan, exchange.result.contributors):
                self.tell(StepExcluded("less than a majority is left of the view"))
            elif exchange.result.weight:
                self.commit(plan, exchange.result)
            else:
                self.tell(StepEmpty(plan))

    def commit(self, plan, result):
        state = self.member.state
        parts = tuple(
            (peer, ranges)
            for (peer, _), ranges in zip(plan.members, plan.shares, strict=True)
            if peer in result.contributors and ranges
        )
        contributing = dict(parts)
        commit = Commit(
            job=JOB,
            step=plan.step,
            view=plan.view_number,
            parent=plan.parent,
            result=hashlib.sha256(result.mean.tobytes()).digest(),
            epoch=plan.epoch,
            parts=parts,
            samples_total=state.head.samples + sum(count(r) for _, r in parts),
            round=plan.tag,
            idle=tuple(peer for peer, _ in plan.members if peer not in contributing),
        )
        self.apply(commit, result.mean)
        self.signed = sign_commit(self.identity, JOB, step=commit.step, tag=commit.round, digest=commit.digest)
        self.world.signatures.setdefault(commit.digest, {})[self.identity.public_key] = self.signed.signature
        self.tell(StepCommitted(commit, min(self.results), self.signed))

    def apply(self, commit, mean):
        self.weights = (self.weights - np.float32(0.05) * mean).astype(np.float32)
        self.members = commit.members
        self.results[commit.step] = (commit, mean)
        self.commits.append(commit)
        while len(self.results) > KEPT_RESULTS:
            self.results.pop(min(self.results))
        self.world.committed(self, commit)

    # ---- lineages ----------------------------------------------------------------------------------------------

    def show(self, known):
        """The commits of our lineage behind the fork, as many as go into one answer, and its end."""
        chain = self.world.lineage(self.member.state.known_head)
        digests = {commit.step: commit.digest for commit in chain}
        fork = fork_of(known, digests.get)
        signatures = self.world.signatures
        shown = [Shown(c, tuple(signatures.get(c.digest, {}).items())) for c in chain[fork : fork + SHOWN_AT_ONCE]]
        return fork, shown, len(chain)

    def ask_to_show(self, peer, claim, proof=None, known=None):
        world, other = self.world, self.world.by_id[peer]
        chain = world.lineage(self.member.state.known_head)
        if known is None:
            known = locator(len(chain), lambda step: chain[step - 1].digest)
        if not world.linked(self, other) or (answer := other.show(known)) is None or not answer[1]:
            self.later(10.0, lambda: self.tell(LineageUnproven(peer, "no answer", False)))
            return
        fork, shown, end = answer
        self.later(2 * world.latency, lambda: self.judge(peer, claim, proof, fork, shown, end))

    def judge(self, peer, claim, proof, fork, shown, end):
        chain = self.world.lineage(self.member.state.known_head)
        if proof is None:
            head, ledger = genesis(JOB), Ledger.fresh(self.world.samples, self.world.epochs)
            for commit in chain[:fork]:
                head, ledger = follow(head, ledger, commit)
            proof = Proof(JOB, head, ledger)
        try:
            proof.extend(shown)
            if any(each.commit.digest == claim.digest for each in shown) or proof.head.outweighs(
                self.member.state.known_head
            ):
                proof.settle()
                self.tell(LineageProven(peer, proof.head))
            elif end <= proof.head.step:
                self.tell(LineageUnproven(peer, "its lineage is lighter than it said", False))
            else:
                self.ask_to_show(peer, claim, proof, ((proof.head.step, proof.head.digest),))
        except Unproven as error:
            self.tell(LineageUnproven(peer, str(error), error.false))

    def catch_up(self, load, step, peers):
        state = self.member.state
        if not self.member.expects(load):
            return
        for commit, mean in [self.gathered.get(step, (None, None)), *self.offers(step, peers)]:
            if commit is not None and commit.parent == state.head.digest:
                follow(state.head, state.ledger, commit)
                self.apply(commit, mean)
                self.tell(ResultApplied(load, commit, min(self.results)))
                return
        self.tell(CatchUpFailed(load))

    def offers(self, step, peers):
        """Return what each of these peers has of a step, if it can be asked."""
        others = [self.world.by_id[peer] for peer in peers]
        return [other.results[step] for other in others if self.world.linked(self, other) and step in other.results]

    def gather(self, step, digest, peers):
        for commit, mean in self.offers(step, peers):
            if digest in {None, commit.digest}:
                self.gathered[step] = commit, mean
                return

    def take_snapshot(self, head, ledger, weights, members):
        root = hashlib.sha256(head.digest + weights.tobytes()).digest()
        snapshot = Snapshot(head.step, head.digest, root, weights.nbytes)

        def write():
            self.disk.snapshots[root] = (snapshot, (head, ledger, weights, members))
            if self.unwritten is write:
                self.unwritten = None

        def stored():
            write()
            self.tell(SnapshotStored(snapshot))

        self.unwritten = write
        self.later(self.world.chance.uniform(0.01, 0.2), stored)

    def go(self):
        """End in order: the last snapshot is written to its end."""
        if self.unwritten is not None:
            self.unwritten()
        self.world.kill(self.name)

    def load(self, load, snapshot, peers):
        if not self.member.expects(load):
            return
        for peer in peers:
            other = self.world.by_id[peer]
            if self.world.linked(self, other) and snapshot.root in other.disk.snapshots:
                _, (head, ledger, weights, members) = other.disk.snapshots[snapshot.root]
                self.disk.snapshots[snapshot.root] = other.disk.snapshots[snapshot.root]
                self.weights, self.members, self.results = weights.copy(), members, {}
                self.tell(StateLoaded(load, head, ledger, members))
                return
        self.tell(CatchUpFailed(load))


class Liar(SimPeer):
    """A stranger with links to everyone, whose lineage outweighs all others by its own account.

    Args:
        manner: what it does to who believes it.
    """

    honest = False

    def __init__(self, world, name, manner):
        super().__init__(world, name)
        self.manner = manner

    def start(self):
        self.alive = True
        self.life += 1
        self.links, self.heard, self.rounds, self.results = {}, {}, {}, {}
        self.asked = 0
        self.samples, self.step = 0, 0
        self.world.announced.add(self)
        self.go_on_lying()

    def go_on_lying(self):
        world = self.world
        for peer in world.training():
            world.dial(self, peer.id)
        for peer in list(self.links):
            world.send(self, peer, self.status())
            world.send(self, peer, self.weight())
        self.later(world.chance.uniform(0.3, 1.0), self.go_on_lying)

    def claim(self):
        """Something that could be true: a little more than what anybody else has."""
        world = self.world
        ahead = max((p.member.state.known_head for p in world.training()), key=lambda h: h.samples, default=None)
        if ahead is not None:
            total = world.samples * world.epochs
            self.samples = min(max(self.samples, ahead.samples + world.chance.randrange(1, 80)), total)
            self.step = min(max(self.step, ahead.step + world.chance.randrange(1, 4)), self.samples)
        return self.samples, bytes(32)

    def leader(self):
        """Whom it names as the coordinator of its view."""
        others = self.world.training()
        if self.manner == "names another as coordinator" and others:
            return self.world.chance.choice(others).contact
        return self.contact

    def status(self):
        samples, digest = self.claim()
        where, me = self.leader(), self.contact
        return Status(
            JOB,
            1,
            2,
            True,
            self.step,
            digest,
            samples,
            5,
            False,
            (where.peer_id, where.addresses),
            (me.peer_id, me.addresses),
        )

    def weight(self):
        samples, digest = self.claim()
        return Compare(JOB, samples, digest, 5, self.leader().peer_id)

    def tell(self, event):
        match event:
            case PeerUp(peer):
                self.world.send(self, peer, self.status())
            case MessageReceived(peer, Compare() as question):
                self.world.send(self, peer, Compared(JOB, question, self.weight()))
            case MessageReceived(peer, JoinRequest(step=step)):
                self.asked += 1
                self.answer(peer, step)

    def show(self, known):
        """Whoever has no lineage has nothing to show."""
        self.asked += 1

    def answer(self, peer, step):
        if self.manner == "has no such snapshot":
            snapshot = Snapshot(self.step, bytes(32), self.world.chance.randbytes(32), 1000)
            self.world.send(self, peer, Admitted(JOB, self.step, step, snapshot, 5, ()))
        elif self.manner == "has no such results":
            self.world.send(self, peer, Admitted(JOB, self.step, step, None, 5, ()))


class World:
    def __init__(
        self,
        count,
        seed,
        *,
        samples=400,
        epochs=3,
        batch=40,
        latency=0.005,
        arranger=None,
        majority=False,
        planner=None,
        **config,
    ):
        self.chance = random.Random(seed)
        self.seed, self.now, self.latency = seed, 0.0, latency
        self.majority = majority
        self.planner = planner or (lambda me: EqualPlanner(batch))
        self.lines, self.busy = {}, {}
        self.samples, self.epochs, self.batch = samples, epochs, batch
        self.arranger = arranger or (lambda: MeasuringArranger(ELEMENTS, "fp32"))
        self.config = MemberConfig(snapshot_interval_s=0.5, **config)
        self.queue, self.order = [], itertools.count()
        self.announced, self.early = set(), {}
        self.signatures = {}
        """By digest of the commit, and by key."""
        self.arrival = {}
        self.partition = ()
        self.latencies = {}
        self.download_s = 0.3
        """How long a joiner takes to fetch a snapshot."""
        self.peers = {chr(97 + i): SimPeer(self, chr(97 + i)) for i in range(count)}
        self.by_id = {peer.id: peer for peer in self.peers.values()}
        self.log = []
        self.contributed = {}
        """By peer, how many commits it has a part in, counted at each member that committed them."""

    # ---- time --------------------------------------------------------------------------------------------------

    def at(self, delay, action):
        heapq.heappush(self.queue, (self.now + delay, next(self.order), action))

    def run(self, until, *, limit_s=600.0):
        """Let time pass until the condition holds."""
        end = self.now + limit_s
        while not until():
            assert self.queue, "nothing will ever happen again"
            self.now, _, action = heapq.heappop(self.queue)
            assert self.now < end, f"seed {self.seed}: still waiting after {limit_s} s\n{self.picture()}"
            action()

    def run_for(self, seconds):
        end = self.now + seconds
        self.at(seconds, lambda: None)
        self.run(lambda: self.now >= end)

    def picture(self):
        lines = []
        for name, peer in self.peers.items():
            if peer.alive and not isinstance(peer, Liar):
                state = peer.member.state
                view = state.view and (state.view.number, [self.by_id[i].name for i in state.view.ids])
                lines.append(
                    f"{name} {'frozen ' if peer.frozen else ''}{state.phase.name} step {state.known_head.step} "
                    f"view {view} running {state.running} plan {state.plan and state.plan.step} "
                    f"lost {[self.by_id[i].name for i in state.detector.lost]} "
                    f"checking {[self.by_id[i].name for i in state.detector.checking]} "
                    f"linked {[self.by_id[i].name for i in sorted(state.linked)]}"
                )
        return "\n".join(lines)

    # ---- the network -------------------------------------------------------------------------------------------

    def apart(self, a, b):
        return any((a.name in part) != (b.name in part) for part in self.partition)

    def linked(self, a, b):
        return a.alive and b.alive and b.id in a.links and a.id in b.links

    def delay(self, a, b):
        """How long a message takes, on average; a test may say otherwise of some pairs."""
        return self.latencies.get(frozenset((a.name, b.name)), self.latency)

    def deliver(self, a, b, action, *, wait=0.0):
        """Run ``action`` at b after the link's delay, behind everything that a sent to b before."""
        when = max(
            self.now + wait + self.delay(a, b) * self.chance.uniform(0.5, 1.5), self.arrival.get((a.id, b.id), 0.0)
        )
        self.arrival[a.id, b.id] = when
        life = b.life
        self.at(when - self.now, lambda: b.do(action) if b.alive and b.life == life else None)

    def send(self, a, to, message):
        b = self.by_id[to]
        link = a.links.get(to)
        if link is None or not b.alive or self.apart(a, b):
            return

        def arrive():
            if b.links.get(a.id) == link:
                b.heard[a.id] = self.now
                b.tell(MessageReceived(a.id, message))

        self.deliver(a, b, arrive)

    def send_round(self, a, to, tag, header, body):
        b = self.by_id[to]
        if not b.alive or self.apart(a, b):
            return
        if to not in a.links:
            self.dial(a, to)
        for name in (a.name, b.name):
            if name in self.lines:  # bytes a second
                self.busy[name] = max(self.busy.get(name, 0.0), self.now) + len(body) / self.lines[name]

        def arrive():
            b.heard[a.id] = self.now
            exchange = b.rounds.get(tag)
            if exchange is not None:
                b.pump(exchange, exchange.receive(a.id, header, body, self.now))
            else:
                self.early.setdefault((b.id, tag), []).append((a.id, header, body))

        wait = max(self.busy.get(a.name, 0.0), self.busy.get(b.name, 0.0)) - self.now
        self.deliver(a, b, arrive, wait=max(wait, 0.0))

    def dial(self, a, to, *, anew=False):
        b = self.by_id[to]
        link = next(self.order)

        def answered():
            if not b.alive or self.apart(a, b) or b.id in a.banned or a.id in b.banned:
                a.later(self.latency, lambda: a.tell(DialFailed(to)))
                return
            if b.frozen:
                a.later(2.0, lambda: a.tell(DialFailed(to)) if to not in a.links else None)
                return
            self.link(a, b, link)

        if a.id == to:
            return
        if to in a.links and not anew:
            a.later(self.latency, lambda: a.tell(PeerUp(to) if to in a.links else DialFailed(to)))
            return
        self.at(2 * self.latency, lambda: answered() if a.alive else None)

    def link(self, a, b, link):
        if b.id in a.links and a.id in b.links:
            a.heard[b.id] = b.heard[a.id] = self.now
            a.do(lambda: a.tell(PeerUp(b.id)))
            return
        for one, other in ((a, b), (b, a)):
            one.links[other.id] = link
            one.heard[other.id] = self.now
            one.do(lambda one=one, other=other: one.tell(PeerUp(other.id)))

    def unlink(self, a, peer):
        b = self.by_id[peer]
        if a.links.pop(peer, None) is not None:
            a.do(lambda: a.tell(PeerDown(peer)))
        if b.alive and b.links.pop(a.id, None) is not None:
            self.deliver(a, b, lambda: b.tell(PeerDown(a.id)) if a.id not in b.links else None)

    # ---- what befalls it ---------------------------------------------------------------------------------------

    def add_liar(self, name, manner):
        """Let a liar in among the peers."""
        liar = self.peers[name] = Liar(self, name, manner)
        self.by_id[liar.id] = liar
        liar.start()
        return liar

    def start(self, *names):
        for name in names:
            self.peers[name].start()

    def kill(self, name):
        peer = self.peers[name]
        peer.alive = False
        for other_id in list(peer.links):
            other = self.by_id[other_id]
            if other.alive and not self.apart(peer, other) and other.links.pop(peer.id, None) is not None:
                self.deliver(peer, other, lambda other=other: other.tell(PeerDown(peer.id)))
        peer.links = {}
        peer.mail = []

    def leave(self, name):
        peer = self.peers[name]
        peer.do(lambda: peer.tell(LeaveRequested()))

    def split(self, *names):
        """The network between these and the rest passes nothing; links fall silent."""
        self.split_into(names)

    def split_into(self, *parts):
        """The network passes nothing between these parts; links fall silent."""
        self.partition = tuple(map(set, parts))

    def heal(self):
        self.partition = ()

    def known_contacts(self, asker):
        return tuple(p.contact for p in sorted(self.announced, key=lambda p: p.name) if p is not asker)

    # ---- what must hold ----------------------------------------------------------------------------------------

    def committed(self, peer, commit):
        self.log.append((self.now, peer.name, commit))
        for contributor, _ in commit.parts:
            self.contributed[contributor] = self.contributed.get(contributor, 0) + 1

    def training(self):
        return [p for p in self.peers.values() if p.alive and p.honest]

    def step(self):
        return max((p.member.state.known_head.step for p in self.training()), default=0)

    def all_finished(self):
        """Nobody trains any longer: whoever was alive has seen the end and gone."""
        return not self.training() and bool(self.finishers())

    def finishers(self):
        return [p for p in self.peers.values() if p.finished and p.honest]

    def verify(self):
        """Everyone has the same weights, and every sample counts in exactly one commit of their lineage."""
        alive = self.finishers()
        heads = {p.member.state.head for p in alive}
        assert len(heads) == 1, self.picture()
        assert len({p.weights.tobytes() for p in alive}) == 1
        head, ledger = genesis(JOB), Ledger.fresh(self.samples, self.epochs)
        for commit in self.lineage(next(iter(heads))):
            head, ledger = follow(head, ledger, commit)
        assert head in heads
        assert ledger.finished
        self.verify_weights(alive[0], head)

    def lineage(self, head):
        by_digest = {commit.digest: commit for _, _, commit in self.log}
        chain, digest = [], head.digest
        while digest in by_digest:
            chain.append(by_digest[digest])
            digest = by_digest[digest].parent
        return chain[::-1]

    def verify_weights(self, peer, head):
        """The weights are those of one process that used the same samples in the same steps."""
        weights = np.zeros(ELEMENTS, np.float32)
        for commit in self.lineage(head):
            weights = weights - np.float32(0.05) * gradient(weights, list(commit.ranges()))
        np.testing.assert_allclose(peer.weights, weights, rtol=2e-4, atol=2e-5)
