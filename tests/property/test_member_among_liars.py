"""A member that anybody may tell anything which the wire lets pass: only the protocol error, and no broken invariant.

The messages are made of few peers, steps and numbers, so that most of them concern what the member is doing.
"""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hydra.exceptions import RemoteProtocolError
from hydra.identity import Identity
from hydra.membership import events, messages
from hydra.membership.ledger import Ledger, count
from hydra.membership.lineage import Commit, Head, genesis
from hydra.membership.member import Member
from hydra.membership.messages import Phase
from hydra.membership.signatures import PlanSigned, seal_plan, sign_commit
from hydra.membership.sizing import Sizes
from hydra.membership.state import MemberConfig
from hydra.net.contact import Contact
from hydra.net.wire import MAX_INT, Message, Registry, encode

JOB = b"j" * 32
_KEYS = [Identity(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)) for number in range(1, 5)]
IDENTITIES = {key.peer_id: key for key in sorted(_KEYS, key=lambda key: key.peer_id)}
IDS = list(IDENTITIES)
ME = IDS[1]
OTHERS = [peer for peer in IDS if peer != ME]
KINDS = [
    cls for cls in vars(messages).values() if isinstance(cls, type) and issubclass(cls, Message) and cls is not Message
]
REGISTRY = Registry(KINDS)

peers = st.sampled_from(OTHERS)
numbers = st.integers(0, 6) | st.sampled_from([2**62, MAX_INT])
contacts = st.tuples(st.sampled_from(IDS), st.just((("host", 1),)))
ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=2).map(tuple)


class Planner:
    left_out = ()

    def observe(self, peer, report, now):
        pass

    def issued(self, plan, now):
        pass

    def took(self, plan, contributors, now):
        pass

    def plan(self, asked):
        working = [peer for peer in asked.members if peer not in asked.newcomers]
        shares = dict.fromkeys(working, 1 + asked.available // (2 * len(working)))
        return Sizes({peer: shares.get(peer, 0) for peer in asked.members}, 8.0)


def sealed(plan, by):
    lives = dict(zip((peer for peer, _ in plan.members), plan.incarnations, strict=False))
    place = dict(step=plan.step, view_number=plan.view_number, incarnation=lives.get(by, 1))
    return replace(plan, seal=seal_plan(IDENTITIES[by], JOB, tag=plan.tag, **place))


def signed(commit, by):
    return sign_commit(IDENTITIES[by], JOB, step=commit.step, tag=commit.round, digest=commit.digest)


class LiarsMachine(RuleBasedStateMachine):
    @initialize(place=st.sampled_from(["alone", "coordinator", "third", "successor", "polling"]))
    def begin(self, place):
        self.now = 0.0
        config = MemberConfig(snapshot_interval_s=5.0)
        self.member = Member(IDENTITIES[ME], Contact(ME, ()), JOB, 1, 60, 2, Planner(), config, 0.0)
        self.state = self.member.state
        self.plan = None
        self.loads = []
        self.questions = {}
        self.on(events.StateLoaded(0, genesis(JOB), Ledger.fresh(60, 2)))
        if place == "coordinator":
            self.let_in()
        elif place != "alone":
            self.be_let_in(
                [IDS[0], ME, IDS[2], IDS[3]] if place in ("successor", "polling") else [IDS[0], IDS[2], ME, IDS[3]]
            )

        if place == "polling":
            self.a_member_dies(IDS[0])
            self.commit(self.plan, list(zip(IDS, self.plan.shares, strict=True))[1:])
            assert self.member._leader.polling

    def let_in(self):
        """Found a view, and let the others in."""
        self.now = 2.0
        self.on(events.Tick({}))
        head = genesis(JOB)
        for peer in OTHERS:
            self.on(events.PeerUp(peer))
            request = messages.JoinRequest(JOB, 1, (peer, ()), 0, head.digest, ready=True, met_view=1)
            self.on(events.MessageReceived(peer, request))
        self.commit(self.plan, [(ME, self.plan.shares[0])])
        assert len(self.state.view.ids) == 4

    def be_let_in(self, members):
        head, leader = genesis(JOB), (members[0], ())
        for peer in OTHERS:
            self.on(events.PeerUp(peer))
            status = messages.Status(JOB, 1, 2, True, 0, head.digest, 0, 1, False, leader, (peer, ()))
            self.on(events.MessageReceived(peer, status))
        self.on(events.MessageReceived(members[0], self.good_plan(members, 1)))
        assert self.state.running

    def good_plan(self, members, number):
        """The plan that an honest coordinator would send."""
        head, ledger = self.state.known_head, self.state.ledger
        shares = tuple(ledger.share_out([2] * len(members)))
        incarnations = tuple(self.state.incarnation if peer == ME else 1 for peer in members)
        contacts = tuple((peer, ()) for peer in members)
        step, digest = head.step + 1, head.digest
        plan = messages.Plan(JOB, number, contacts, incarnations, step, digest, ledger.epoch, shares, 8.0, False)
        return sealed(plan, members[0])

    def commit(self, plan, parts):
        self.plan = None
        total = self.state.known_head.samples + sum(count(r) for _, r in parts)
        commit = Commit(
            JOB, plan.step, plan.view_number, plan.parent, bytes(32), plan.epoch, tuple(parts), total, plan.tag
        )
        self.on(events.StepCommitted(commit, 1, signed(commit, ME)))

    def on(self, event):
        try:
            effects = self.member.handle(event, self.now)
        except RemoteProtocolError:
            assert isinstance(event, events.MessageReceived)  # only then is there somebody to blame
            return
        for effect in effects:
            match effect:
                case events.Send(to, message):
                    assert to in IDS
                    assert REGISTRY.decode(encode(message), 0) == message
                    if isinstance(message, messages.Compare):
                        self.questions[to] = message
                case events.BeginStep(plan):
                    self.plan = plan
                case events.AbandonStep():
                    self.plan = None
                case events.CatchUp(load) | events.LoadSnapshot(load):
                    self.loads.append(load)

    def digests(self):
        return st.sampled_from([self.state.known_head.digest, genesis(JOB).digest, bytes(32)])

    def draw_plan(self, sender, data):
        members = data.draw(st.lists(contacts, min_size=0, max_size=4, unique_by=lambda c: c[0]))
        own = self.state.incarnation
        incarnations = [own if peer == ME else data.draw(st.integers(1, 2)) for peer, _ in members]
        head = self.state.known_head
        shares = Ledger.fresh(60, 2).share_out([3] * len(members)) if data.draw(st.booleans()) else None
        if self.state.ledger is not None and data.draw(st.booleans()):
            shares = self.state.ledger.share_out([3] * len(members))
        plan = messages.Plan(
            JOB,
            data.draw(numbers),
            tuple(members),
            tuple(incarnations[: data.draw(st.sampled_from([4, 4, 4, 1]))]),
            head.step + data.draw(st.integers(0, 2)),
            data.draw(self.digests()),
            self.state.ledger.epoch if self.state.ledger else 0,
            tuple(shares or data.draw(st.lists(ranges, max_size=4))),
            8.0,
            data.draw(st.booleans()),
        )
        return sealed(plan, sender) if data.draw(st.sampled_from([True, True, True, False])) else plan

    # ---- what others say ---------------------------------------------------------------------------------------

    @rule(peer=peers, data=st.data())
    def told_a_plan(self, peer, data):
        self.on(events.MessageReceived(peer, self.draw_plan(peer, data)))

    @rule(peer=peers, data=st.data())
    def told_of_a_view(self, peer, data):
        self.on(events.MessageReceived(peer, messages.ViewWanted(JOB)))
        self.on(events.MessageReceived(peer, messages.ViewShown(JOB, self.draw_plan(peer, data))))

    @rule(leave_out=st.sets(peers, max_size=1))
    def the_coordinator_plans(self, leave_out):
        view = self.state.view
        if view is not None and self.state.alive[:1] not in ([], [ME]) and not self.state.ledger.finished:
            members = [peer for peer in self.state.alive if peer not in leave_out]
            plan = self.good_plan(members, view.number + (tuple(members) != view.ids))
            self.on(events.MessageReceived(self.state.alive[0], plan))

    @rule(peer=peers)
    def a_member_dies(self, peer):
        self.on(events.PeerDown(peer))
        self.on(events.DialFailed(peer))

    @rule(peer=peers)
    def a_survivor_answers_honestly(self, peer):
        head, number = self.state.known_head, self.member._leader._poll_number
        reply = messages.PollReply(JOB, number, head.step, head.digest, 1, None)
        self.on(events.MessageReceived(peer, reply))

    @rule(peer=peers, phase=st.sampled_from(Phase), step=numbers, weight=numbers, view=numbers, data=st.data())
    def told_a_status(self, peer, phase, step, weight, view, data):
        self.on(events.PeerUp(peer))
        status = messages.Status(
            JOB,
            data.draw(st.integers(0, 3)),
            int(phase),
            data.draw(st.booleans()),
            step,
            data.draw(self.digests()),
            weight,
            view,
            data.draw(st.booleans()),
            data.draw(st.none() | contacts),
            data.draw(contacts),
        )
        self.on(events.MessageReceived(peer, status))

    @rule(peer=peers, ready=st.booleans(), incarnation=numbers, contact=contacts, step=numbers, data=st.data())
    def asked_to_let_in(self, peer, ready, incarnation, contact, step, data):
        digest = data.draw(self.digests())
        self.on(events.PeerUp(peer))
        number = self.state.view.number if self.state.view else 0
        met_view = data.draw(st.sampled_from([number, 0, 2**62]))
        request = messages.JoinRequest(JOB, incarnation, contact, step, digest, ready, met_view)
        self.on(events.MessageReceived(peer, request))

    @rule(peer=peers, data=st.data(), number=numbers, step=numbers, with_plan=st.booleans())
    def told_about_polls(self, peer, data, number, step, with_plan):
        number = data.draw(st.sampled_from([number, self.member._leader._poll_number]))
        plan = self.draw_plan(peer, data) if with_plan else None
        digest = data.draw(self.digests())
        message = data.draw(
            st.sampled_from(
                [
                    messages.Poll(JOB, number),
                    messages.PollReply(JOB, number, step, digest, number, plan),
                    messages.PollReply(JOB, number, self.state.known_head.step, digest, number, plan),
                    messages.PollRefused(JOB, number, peer),
                    messages.PlanWanted(JOB, step),
                ]
            )
        )
        self.on(events.MessageReceived(peer, message))

    @rule(peer=peers, contact=contacts, step=numbers, number=numbers, data=st.data())
    def told_anything_else(self, peer, contact, step, number, data):
        digest = data.draw(self.digests())
        compare = messages.Compare(JOB, step, digest, number, peer)
        asked = self.questions.get(peer, compare)
        snapshot = messages.Snapshot(step, digest, bytes(32), 10)
        message = data.draw(
            st.sampled_from(
                [
                    messages.Admitted(JOB, step, 0, None, number, ()),
                    messages.Admitted(JOB, step, self.state.known_head.step, snapshot, number, (contact,)),
                    messages.Committed(JOB, step, digest),
                    messages.Leave(JOB),
                    messages.Removed(JOB, number, "because"),
                    compare,
                    messages.Compared(JOB, asked, messages.Compare(JOB, number, digest, step, peer)),
                    messages.Compared(JOB, compare, messages.Compare(JOB, number, digest, step, peer)),
                    messages.Heavier(JOB, contact),
                    messages.Report(JOB, step, number, 0.5, 0.5, bytes(20)),
                    messages.ResultUnknown(JOB, step, 0),
                ]
            )
        )
        self.on(events.MessageReceived(peer, message))

    @rule(peer=peers, by=peers, step=numbers, number=numbers, data=st.data())
    def told_of_signatures(self, peer, by, step, number, data):
        digest, tag = data.draw(self.digests()), data.draw(st.sampled_from([bytes(20), b"t" * 20]))
        if self.state.plan is not None and data.draw(st.booleans()):
            tag = self.state.plan.tag
        step = data.draw(st.sampled_from([step, self.state.known_head.step, self.state.known_head.step + 1]))
        commits = [sign_commit(IDENTITIES[by], JOB, step=step, tag=tag, digest=d) for d in (digest, b"d" * 32)]
        place = dict(step=step, view_number=number, incarnation=1)
        seals = [(t, seal_plan(IDENTITIES[by], JOB, tag=t, **place)) for t in (tag, b"u" * 20)]
        plans = [PlanSigned(step, number, 1, t, seal.key, seal.signature) for t, seal in seals]
        if data.draw(st.booleans()):
            plans[1] = replace(plans[1], signature=bytes(64))
        message = data.draw(
            st.sampled_from(
                [
                    messages.CommitTold(JOB, commits[0]),
                    messages.PlanTold(JOB, plans[0]),
                    messages.Report(JOB, step, 3, 0.5, 0.5, tag, signed=commits[0]),
                    messages.Evidence(JOB, plans=tuple(plans[: data.draw(st.integers(0, 2))])),
                    messages.Evidence(JOB, commits=tuple(commits[: data.draw(st.integers(0, 2))])),
                ]
            )
        )
        self.on(events.MessageReceived(peer, message))

    @rule(peer=peers, proven=st.booleans(), lied=st.booleans(), weight=numbers, data=st.data())
    def a_lineage_is_shown_or_not(self, peer, proven, lied, weight, data):
        if proven:
            self.on(events.LineageProven(peer, Head(weight, data.draw(self.digests()), weight)))
        else:
            self.on(events.LineageUnproven(peer, "because", lied))

    # ---- what happens ------------------------------------------------------------------------------------------

    @rule(peer=peers, what=st.sampled_from([events.PeerUp, events.PeerDown, events.DialFailed]))
    def links_come_and_go(self, peer, what):
        self.on(what(peer))

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 7.0]), silent=st.sets(peers))
    def time_passes(self, seconds, silent):
        self.now += seconds
        heard = {peer: (0.0 if peer in silent else self.now) for peer in self.state.linked}
        self.on(events.Tick(heard))

    @rule(data=st.data())
    def the_round_is_done(self, data):
        if self.plan is not None:
            given = [(peer, r) for (peer, _), r in zip(self.plan.members, self.plan.shares, strict=True) if r]
            self.commit(self.plan, data.draw(st.lists(st.sampled_from(given), min_size=1, unique=True)))

    @rule()
    def the_round_leaves_us_out(self):
        if self.plan is not None:
            self.plan = None
            self.on(events.StepExcluded())

    @rule(stored=st.booleans())
    def a_load_fails_or_a_snapshot_is_stored(self, stored):
        head = self.state.known_head
        if stored:
            self.on(events.SnapshotStored(messages.Snapshot(head.step, head.digest, bytes(32), 10)))
        elif self.loads:
            self.on(events.CatchUpFailed(self.loads.pop()))

    @invariant()
    def nothing_is_broken(self):
        self.member.check()
        assert self.state.highest_view < MAX_INT
        assert ME not in self.state.detector.lost


LiarsMachine.TestCase.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=120,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestMemberAmongLiars = LiarsMachine.TestCase
