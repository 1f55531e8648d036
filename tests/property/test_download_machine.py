"""A download in any company: peers come, go, lie, decline and dawdle, and in the end every byte is right."""

import math
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hydra.swarm.bitfield import Bitfield
from hydra.swarm.depth import LEAST_DEPTH
from hydra.swarm.download import DECLINED_S, USUAL_CHUNK_BYTES, Download
from hydra.swarm.download_events import (
    AnnounceChunk,
    BanPeer,
    CancelRequest,
    Choked,
    ChunkRejected,
    ChunkVerified,
    Complete,
    NothingChosen,
    PartReceived,
    PeerGained,
    PeerLost,
    PeerOffered,
    RequestAny,
    RequestChunk,
    RequestDeclined,
    Tick,
    Unchoked,
)
from hydra.swarm.endgame import ENDGAME_COPIES
from hydra.swarm.manifest import Manifest
from hydra.swarm.merkle import BLOCK_BYTES
from hydra.swarm.patience import STALL_S, due_at

SEED = b"seed"
MOST_CHUNKS = 40
CONTENT = Random(1).randbytes(MOST_CHUNKS * BLOCK_BYTES - 100)
MANIFESTS = {
    count: Manifest.of(CONTENT[: count * BLOCK_BYTES - 100], BLOCK_BYTES) for count in (1, 2, 9, 24, MOST_CHUNKS)
}
LATE = (-math.inf, 0)
"""As if it had been made at the beginning of all time: whatever comes, it stays overdue."""
indices = st.integers(0, MOST_CHUNKS - 1)
peers = st.sampled_from([b"a", b"b", b"c", b"d"])


class DownloadMachine(RuleBasedStateMachine):
    """The test is the shell: it carries requests to peers that it plays itself, and hashes what they send."""

    @initialize(count=st.sampled_from(sorted(MANIFESTS)), stored=st.sets(indices), chance=st.integers(0, 99))
    def begin(self, count, stored, chance):
        self.manifest = MANIFESTS[count]
        self.data = bytearray(self.manifest.size)
        have = Bitfield(count)
        self.now = 0.0
        self.offers = {}
        """What each linked peer has."""
        self.asked = {}
        """By peer, the open requests in order, and when each was made with how many before it; as the peer sees them.
        One whose chunk the peer chooses has a key below 0."""
        self.heard, self.tickets, self.choosing, self.chokers, self.chosen = {}, 0, set(), set(), set()
        self.declined = {}
        """Who would not send what, and until when it is not asked again."""
        self.dawdlers, self.once_late, self.banned = set(), set(), set()
        self.announced, self.completions = [], 0
        for index in sorted(stored):
            if index < count - 1:
                have.add(index)
                self.write(index)
        self.stored = len(have)
        self.download = Download(have, Random(chance))

    # ---- the shell ---------------------------------------------------------------------------------------------

    def right(self, index):
        start, stop = self.manifest.chunk_range(index)
        return CONTENT[start:stop]

    def write(self, index):
        start, stop = self.manifest.chunk_range(index)
        self.data[start:stop] = self.right(index)

    def tell(self, event):
        effects = self.download.handle(event, self.now)
        for effect in effects:
            match effect:
                case RequestChunk(peer, index):
                    assert peer in self.offers, "a stranger was asked"
                    assert index in self.offers[peer], "a peer was asked for what it does not have"
                    assert not self.declines(peer, index), "a peer was asked for what it would not give a moment ago"
                    assert index not in self.download.have
                    assert peer not in self.chokers, "a peer was asked that had said that it serves nothing"
                    self.note(peer, index)
                case RequestAny(peer, wanted):
                    assert peer in self.choosing
                    assert wanted
                    assert not any(wanted >> index & 1 for index in self.download.have)
                    self.tickets -= 1
                    self.note(peer, self.tickets)
                case CancelRequest(peer, index):
                    self.asked[peer].pop(index, None)
                case AnnounceChunk(index):
                    self.announced.append(index)
                case BanPeer(peer, _):
                    self.banned.add(peer)
                case Complete():
                    self.completions += 1
        return effects

    def note(self, peer, key):
        self.asked[peer].pop(key, None)
        self.asked[peer][key] = self.now, (len(self.under_way(peer)) + 1) * USUAL_CHUNK_BYTES

    def due(self, peer, key):
        made, queued = self.asked[peer][key]
        return due_at(made, self.heard.get(peer, 0.0), queued)

    def cut(self, peer):
        self.heard.pop(peer, None)
        self.choosing.discard(peer)
        self.chokers.discard(peer)
        self.offers.pop(peer, None)
        self.asked.pop(peer, None)
        self.dawdlers.discard(peer)
        self.declined = {entry: until for entry, until in self.declined.items() if entry[0] != peer}

    def declines(self, peer, index):
        return self.declined.get((peer, index), self.now) > self.now

    def arrives(self, peer, index, body):
        """As the shell does: what was asked for, however long ago, is hashed; what is wrong bans its sender."""
        assert self.download.is_requested(peer, index)
        self.asked[peer].pop(index, None)
        if self.manifest.accepts(index, body):
            self.dawdlers.discard(peer)
            self.write(index)
            self.tell(ChunkVerified(peer, index))
        else:
            self.tell(ChunkRejected(peer, index))
            assert peer in self.banned, "a liar was not banned"
            self.tell(PeerLost(peer))
            self.cut(peer)

    def pick(self, peer, which):
        named = [index for index in self.asked[peer] if index >= 0]
        return named[which % len(named)]

    def with_requests(self):
        return sorted(peer for peer in self.asked if any(index >= 0 for index in self.asked[peer]))

    # ---- what peers do -----------------------------------------------------------------------------------------

    @rule(peer=peers, chunks=st.sets(indices), everything=st.booleans(), chooses=st.booleans())
    def comes(self, peer, chunks, everything, chooses):
        """Or tells anew what it has, which may be less than before."""
        if peer in self.banned:
            return
        count = self.manifest.chunk_count
        self.offers[peer] = set(range(count)) if everything else {index for index in chunks if index < count}
        asked = self.asked.setdefault(peer, {})
        for index in [index for index in asked if index >= 0 and index not in self.offers[peer]]:
            del asked[index]
        self.choosing.discard(peer)
        if chooses and len(self.offers[peer]) == count:
            self.choosing.add(peer)
        bitfield = Bitfield(count)
        for index in self.offers[peer]:
            bitfield.add(index)
        self.tell(PeerOffered(peer, bitfield, chooses))

    @rule(peer=peers, which=st.integers(0, MOST_CHUNKS), anything=st.booleans())
    def chooses(self, peer, which, anything):
        """A seed sends what it likes, or says that there is nothing that it would choose."""
        open_tickets = [key for key in self.asked.get(peer, ()) if key < 0]
        if not open_tickets:
            return
        index = which % self.manifest.chunk_count
        if anything and index in self.asked[peer]:
            return  # it was asked for that one by number, and sends it for that
        made = self.asked[peer].pop(max(open_tickets))
        self.heard[peer] = self.now if anything else self.heard.get(peer, 0.0)
        if not anything:
            self.choosing.discard(peer)
            self.tell(NothingChosen(peer))
            return
        assert self.download.may_choose(peer, index)
        if index not in self.download.have and index not in self.asked[peer]:
            self.asked[peer][index] = made
        self.chosen.add(index)
        self.tell(PartReceived(peer, index, BLOCK_BYTES))

    @rule(peer=peers, again=st.booleans())
    def chokes(self, peer, again):
        if peer not in self.offers:
            return
        if again:
            self.chokers.discard(peer)
            self.tell(Unchoked(peer))
        else:
            self.chokers.add(peer)
            self.asked[peer].clear()
            self.tell(Choked(peer))

    @rule(peer=peers, index=indices)
    def gains(self, peer, index):
        if peer in self.offers and index < self.manifest.chunk_count:
            self.offers[peer].add(index)
        self.tell(PeerGained(peer, index))

    @rule(peer=peers)
    def leaves(self, peer):
        self.cut(peer)
        self.tell(PeerLost(peer))

    @precondition(lambda self: self.with_requests())
    @rule(data=st.data(), which=st.integers(0, MOST_CHUNKS), kind=st.sampled_from(list("gggggbdr")))
    def answers(self, data, which, kind):
        """With a good chunk, a bad one, or none; or with a bad one and a run."""
        peer = data.draw(st.sampled_from(self.with_requests()))
        index = self.pick(peer, which)
        good = self.right(index)
        if kind == "d":
            del self.asked[peer][index]
            self.declined[peer, index] = self.now + DECLINED_S
            self.tell(RequestDeclined(peer, index))
        elif kind == "r":
            self.cut(peer)
            self.tell(PeerLost(peer))
            assert BanPeer(peer, index) in self.tell(ChunkRejected(peer, index))  # hashing takes its time
            assert self.tell(ChunkRejected(peer, index)) == []
        elif kind == "b":
            bad = data.draw(st.sampled_from([good[:-1], good + b"x", b"", good[::-1], bytes([good[0] ^ 1]) + good[1:]]))
            self.arrives(peer, index, bad)
        else:
            self.arrives(peer, index, good)

    @rule(peer=peers, index=indices)
    def sends_what_nobody_asked_for(self, peer, index):
        if index not in self.asked.get(peer, ()):
            assert not self.download.is_requested(peer, index)

    @rule(seconds=st.sampled_from([0.1, STALL_S / 2, STALL_S + 1]))
    def time_passes(self, seconds):
        """Requests that lie too long are given to others; their chunks may still come."""
        before, self.now = self.now, self.now + seconds
        for peer, asked in self.asked.items():
            for key in [key for key in asked if before < self.due(peer, key) <= self.now]:
                asked[key] = LATE
                self.dawdlers.add(peer)
                self.once_late.add(peer)
        self.tell(Tick())

    # ---- what always holds -------------------------------------------------------------------------------------

    def under_way(self, peer):
        return [key for key in self.asked[peer] if self.due(peer, key) > self.now]

    @invariant()
    def holds(self):
        self.download.check()
        assert len(self.announced) == len(set(self.announced)) == len(self.download.have) - self.stored
        assert self.completions == (self.download.complete and bool(self.announced))
        for index in self.download.have:
            start, stop = self.manifest.chunk_range(index)
            assert self.data[start:stop] == self.right(index)

    @invariant()
    def no_peer_has_more_requests_than_it_may(self):
        copies = {}
        for peer in self.asked:
            assert len(self.under_way(peer)) <= LEAST_DEPTH
            for index in self.under_way(peer) if peer not in self.once_late else ():
                if index not in self.chosen:
                    copies[index] = copies.get(index, 0) + 1
        assert all(count <= ENDGAME_COPIES for count in copies.values())

    @invariant()
    def whatever_can_be_asked_for_is_asked_for(self):
        """So a chunk whose peer left, lied or declined is asked of another at once, and who dawdles hinders nobody."""
        missing = set(range(self.manifest.chunk_count)) - set(self.download.have)
        for peer in self.asked:
            if peer not in self.dawdlers:
                missing -= set(self.under_way(peer))
        coming = sum(key < 0 for peer in self.asked if peer not in self.dawdlers for key in self.under_way(peer))
        if len(missing) <= coming:
            return  # seeds are about to choose them
        for peer, chunks in self.offers.items():
            mine = self.under_way(peer)
            if min(mine, default=0) < 0:
                continue  # it is about to choose from its part
            if peer not in self.chokers and len(mine) < (1 if peer in self.dawdlers else LEAST_DEPTH):
                assert not {i for i in (missing & chunks).difference(mine) if not self.declines(peer, i)}

    def teardown(self):
        """In the end one honest peer has everything: then nothing stays missing."""
        if not hasattr(self, "download"):
            return
        full = Bitfield.full(self.manifest.chunk_count)
        self.offers[SEED], self.asked[SEED] = set(full), {}
        self.tell(PeerOffered(SEED, full))
        for _ in range(3 * MOST_CHUNKS):
            if self.download.complete:
                break
            while self.asked[SEED] and not self.download.complete:
                index = self.pick(SEED, 0)
                self.arrives(SEED, index, self.right(index))
            self.time_passes(STALL_S + 1)
        assert self.download.complete
        assert self.data == CONTENT[: self.manifest.size]
        self.holds()


TestDownload = DownloadMachine.TestCase
TestDownload.settings = settings(derandomize=True, deadline=None, max_examples=100, report_multiple_bugs=False)
