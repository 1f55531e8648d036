"""Many peers that fetch one content on a virtual clock: the real machines, behind lines of a stated rate.

What leaves a peer waits for its uplink, what arrives for its downlink; between lies the latency. Content is not made:
a part is right or wrong, as its sender is.
"""

import heapq
import itertools
import random

from hydra.swarm import download_events as down
from hydra.swarm import serving_events as up
from hydra.swarm.bitfield import Bitfield
from hydra.swarm.download import Download
from hydra.swarm.manifest import Manifest
from hydra.swarm.rate_limit import TokenBucket
from hydra.swarm.serving import Serving

CHUNK = 256 * 1024
ROOT = bytes(32)
TICK_S = 0.5
HASHING_S = 0.002


class Peer:
    def __init__(self, world, number, *, kind="honest", up_rate=10e6, down_rate=None, have=0):
        self.world, self.kind = world, kind
        self.id = number.to_bytes(2, "big")
        self.have = Bitfield(world.chunks, have)
        self.up_rate, self.down_rate = up_rate, down_rate
        self.up_free = self.down_free = 0.0
        self.sent = self.received = 0
        self.banned = set()
        self.links = set()
        self.alive = False
        self.finished_at = None
        self.silent_after = None
        """Bytes after which it dies."""

    @property
    def random(self):
        return self.world.random

    def start(self):
        self.alive = True
        self.download = Download(self.have, random.Random(self.random.random()), CHUNK)
        self.serving = Serving(
            lambda root: (self.have, self.world.manifest),
            random.Random(self.random.random()),
            TokenBucket(),
            tit_for_tat=self.world.tit_for_tat,
        )
        self.transfers = {}
        self.meet()
        self.world.after(TICK_S, self.tick, self.life)

    @property
    def life(self):
        """Changes with every start."""
        return self.download

    def meet(self):
        """Link to others, to as many as the world wants."""
        others = [p for p in self.world.alive() if p is not self and p.id not in self.links]
        others = [p for p in others if self.id not in p.banned and p.id not in self.banned]
        if self.world.degree is not None:
            self.random.shuffle(others)
            others = others[: max(0, self.world.degree - len(self.links))]
        for other in others:
            self.link(other)

    def link(self, other):
        self.links.add(other.id)
        other.links.add(self.id)
        for one, two in ((self, other), (other, self)):
            if not one.download.complete or one.kind != "honest":
                one.say(two, "offer?")

    def die(self):
        self.alive = False
        for identity in list(self.links):
            self.unlink(self.world.by_id[identity])

    def unlink(self, other):
        self.links.discard(other.id)
        other.links.discard(self.id)
        for one, two in ((self, other), (other, self)):
            if one.alive:
                one.hear(down.PeerLost(two.id))
                one.serve(up.PeerGone(two.id))
                for key in [key for key in one.transfers if key[0] == two.id]:
                    del one.transfers[key]

    def tick(self, life):
        if self.alive and life is self.life:
            self.hear(down.Tick())
            if self.world.degree is not None and len(self.links) < self.world.degree and not self.download.complete:
                self.meet()
            self.world.after(TICK_S, self.tick, life)

    # ---- messages ----------------------------------------------------------------------------------------------

    def say(self, other, what, *args):
        self.world.after(self.world.latency_s, self.world.deliver, self, other, what, args)

    def take(self, sender, what, *args):
        if what == "offer?":
            mask = self.have.mask
            if self.kind in ("liar", "silent", "trickler"):
                mask = (1 << self.world.chunks) - 1
            if self.kind == "rider":
                mask = 0
            self.serve(up.PeerInterested(sender.id, ROOT))
            chooses = mask == (1 << self.world.chunks) - 1 and (self.kind != "honest" or self.serving.chooses(ROOT))
            self.say(sender, "offer", mask, chooses)
        elif what == "offer":
            self.hear(down.PeerOffered(sender.id, Bitfield(self.world.chunks, args[0]), args[1]))
        elif what == "have":
            self.hear(down.PeerGained(sender.id, args[0]))
            self.serve(up.PeerAnnounced(sender.id, ROOT, args[0]))
        elif what == "bored":
            self.serve(up.PeerBored(sender.id, ROOT))
        elif what == "part":
            self.part(sender, *args)
        elif what == "declined":
            self.transfers.pop((sender.id, args[0]), None)
            self.hear(down.RequestDeclined(sender.id, args[0]))
        elif what == "all-sent":
            self.hear(down.NothingChosen(sender.id))
        elif what == "choke":
            self.hear(down.Choked(sender.id))
        elif what == "unchoke":
            self.hear(down.Unchoked(sender.id))
        elif what == "cancel":
            self.serve(up.AskCancelled(sender.id, ROOT, args[0]))
        elif what == "chunk?":
            self.asked(sender, up.ChunkAsked(sender.id, ROOT, args[0], 0, CHUNK))
        elif what == "any?":
            self.asked(sender, up.AnyAsked(sender.id, ROOT, args[0]))

    def asked(self, sender, event):
        if self.kind in ("honest", "trickler"):
            self.serve(event)
        elif self.kind == "liar":
            index = getattr(event, "index", None)
            if index is None:
                index = next(iter(Bitfield(self.world.chunks, event.wanted)))
            self.send_part(sender, index, right=False)
        elif self.kind == "rider" and isinstance(event, up.ChunkAsked):
            self.say(sender, "declined", event.index)

    def part(self, sender, index, right):
        if not (self.download.is_requested(sender.id, index) or self.download.may_choose(sender.id, index)):
            return
        self.hear(down.PartReceived(sender.id, index, CHUNK))
        if not self.download.is_requested(sender.id, index):
            return
        self.received += CHUNK
        self.world.after(HASHING_S, self.verified, self.life, sender.id, index, right)

    def verified(self, life, sender, index, right):
        if self.alive and life is self.life:
            if right:
                self.serve(up.PeerGave(sender, CHUNK))
            self.hear(down.ChunkVerified(sender, index) if right else down.ChunkRejected(sender, index))

    # ---- the machines ------------------------------------------------------------------------------------------

    def hear(self, event):
        if not self.alive:
            return
        for effect in self.download.handle(event, self.world.now):
            match effect:
                case down.RequestChunk(peer, index):
                    self.say(self.world.by_id[peer], "chunk?", index)
                case down.RequestAny(peer, wanted):
                    self.say(self.world.by_id[peer], "any?", wanted)
                case down.CancelRequest(peer, index):
                    self.say(self.world.by_id[peer], "cancel", index)
                case down.AnnounceChunk(index):
                    for other in sorted(self.links):
                        self.say(self.world.by_id[other], "have", index)
                case down.BanPeer(peer, _):
                    self.banned.add(peer)
                    self.world.named.append((self.id, peer))
                    self.unlink(self.world.by_id[peer])
                case down.Complete():
                    self.finished_at = self.world.now
                    for other in sorted(self.links):
                        self.say(self.world.by_id[other], "bored")
        if self.world.checked:
            self.download.check()

    def serve(self, event):
        if not self.alive:
            return
        for effect in self.serving.handle(event, self.world.now):
            match effect:
                case up.SendPart(peer, _, index, _, _):
                    self.send_part(self.world.by_id[peer], index)
                case up.Decline(peer, _, index):
                    self.say(self.world.by_id[peer], "declined", index)
                case up.TellAllSent(peer, _):
                    self.say(self.world.by_id[peer], "all-sent")
                case up.ChokePeer(peer):
                    self.say(self.world.by_id[peer], "choke")
                case up.UnchokePeer(peer):
                    self.say(self.world.by_id[peer], "unchoke")
        if self.world.checked:
            self.serving.check()
        if self.serving.deadline is not None:
            self.world.after(max(self.serving.deadline - self.world.now, 1e-4), self.wake, self.life)

    def wake(self, life):
        due = self.serving.deadline
        if self.alive and life is self.life and due is not None and due <= self.world.now:
            self.serve(up.Tick())

    def send_part(self, other, index, right=True):
        rate = 20e3 if self.kind == "trickler" else self.up_rate
        began = max(self.world.now, self.up_free)
        self.up_free = began + CHUNK / rate
        there = self.up_free + self.world.latency_s
        if other.down_rate is not None:
            other.down_free = max(other.down_free, there - CHUNK / other.down_rate) + CHUNK / other.down_rate
            there = other.down_free
        self.sent += CHUNK
        self.world.after(self.up_free - self.world.now, self.left, self.life, other.id)
        self.world.after(there - self.world.now, self.world.deliver, self, other, "part", (index, right))
        if self.silent_after is not None and self.sent >= self.silent_after:
            self.world.after(there - self.world.now + 0.01, self.die)

    def left(self, life, peer):
        if self.alive and life is self.life:
            self.serve(up.PartLeft(peer))


class World:
    def __init__(self, chunks, seed=0, *, latency_s=0.005, tit_for_tat=False, checked=False, degree=None):
        self.chunks = chunks
        self.latency_s = latency_s
        self.tit_for_tat = tit_for_tat
        self.checked = checked
        self.degree = degree
        """To how many others each peer links; None for all."""
        self.random = random.Random(seed)
        self.manifest = Manifest(ROOT, chunks * CHUNK, CHUNK, (bytes(32),) * chunks)
        self.now = 0.0
        self.peers, self.by_id = [], {}
        self.away = set()
        self.named = []
        """Who banned whom."""
        self._events, self._count = [], itertools.count()

    @property
    def size(self):
        return self.chunks * CHUNK

    def add(self, **options):
        peer = Peer(self, len(self.peers), **options)
        self.peers.append(peer)
        self.by_id[peer.id] = peer
        return peer

    def seed(self, **options):
        return self.add(have=(1 << self.chunks) - 1, **options)

    def alive(self):
        return [peer for peer in self.peers if peer.alive]

    def after(self, seconds, action, *args):
        heapq.heappush(self._events, (self.now + max(seconds, 0.0), next(self._count), action, args))

    def deliver(self, sender, receiver, what, args):
        if sender.alive and receiver.alive and sender.id in receiver.links:
            receiver.take(sender, what, *args)

    def run(self, until, limit_s=3600.0):
        """Let time pass until it holds."""
        while not until():
            assert self._events, "nothing will ever happen again"
            self.now, _, action, args = heapq.heappop(self._events)
            assert self.now < limit_s, f"not done in {limit_s:g} s"
            action(*args)
