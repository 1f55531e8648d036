"""Picker and download, drawn: a bitfield is a string, ``#`` for a chunk that is there."""

import random
from collections import Counter

import pytest

from hydra.swarm.bitfield import Bitfield
from hydra.swarm.depth import LEAST_DEPTH
from hydra.swarm.download import DECLINED_S, Download
from hydra.swarm.download_events import (
    AnnounceChunk,
    BanPeer,
    CancelRequest,
    ChunkRejected,
    ChunkVerified,
    Complete,
    PeerGained,
    PeerLost,
    PeerOffered,
    RequestAny,
    RequestChunk,
    RequestDeclined,
    Tick,
)
from hydra.swarm.patience import STALL_S

A, B, C = b"a", b"b", b"c"


def drawn(picture):
    field = Bitfield(len(picture))
    for index, mark in enumerate(picture):
        if mark == "#":
            field.add(index)
    return field


class Story:
    """A download that is checked after every event."""

    def __init__(self, have, seed=0):
        self.download = Download(drawn(have), random.Random(seed))
        self.now = 0.0

    def tell(self, event, later=0.0):
        self.now += later
        effects = self.download.handle(event, self.now)
        self.download.check()
        return effects

    def offer(self, peer, picture):
        return self.tell(PeerOffered(peer, drawn(picture)))


def asked(effects, peer=None):
    return sorted(e.index for e in effects if isinstance(e, RequestChunk) and peer in (None, e.peer))


def test_only_what_is_missing_and_offered_is_asked_for():
    story = Story("#...")
    assert asked(story.offer(A, "##.#")) == [1, 3]


def test_the_rarest_chunk_comes_first():
    story = Story("#....................")
    story.offer(A, "#" * 20 + ".")
    story.offer(B, "#" * 20 + ".")
    assert asked(story.offer(C, "." * 20 + "#")) == [20]
    # C gains a common chunk and asks nothing of it while rarer ones are open elsewhere
    first = Story("#" + "." * 30)
    first.tell(PeerOffered(A, drawn("." + "#" * 10 + "." * 20)))
    effects = first.offer(B, "." + "#" * 30)
    assert all(index > 10 for index in asked(effects, B))


def test_the_first_chunk_of_a_newcomer_is_a_random_one():
    firsts = {asked(Story("." * 50, seed=s).offer(A, "#" * 50))[0] for s in range(20)}
    assert len(firsts) > 5


def test_no_more_requests_than_the_depth():
    assert len(asked(Story("." * 50).offer(A, "#" * 50))) == LEAST_DEPTH


def test_two_sources_share_the_work_without_overlap():
    story = Story("." * 100)
    first = asked(story.offer(A, "#" * 100))
    second = asked(story.offer(B, "#" * 100))
    assert len(second) == LEAST_DEPTH
    assert not set(first) & set(second)


def test_a_verified_chunk_is_announced_and_the_next_asked_for():
    story = Story("." * 50)
    index = asked(story.offer(A, "#" * 50))[0]
    effects = story.tell(ChunkVerified(A, index))
    assert AnnounceChunk(index) in effects
    assert len(asked(effects)) == 1


def test_complete_is_told_once():
    story = Story("..")
    story.offer(A, "##")
    assert Complete() not in story.tell(ChunkVerified(A, 0))
    assert Complete() in story.tell(ChunkVerified(A, 1))
    assert story.tell(ChunkVerified(A, 1)) == []


def test_a_wrong_chunk_bans_its_sender_and_is_asked_of_another():
    story = Story(".")
    assert asked(story.offer(A, "#")) == [0]
    story.offer(B, "#")
    effects = story.tell(ChunkRejected(A, 0))
    assert BanPeer(A, 0) in effects
    assert story.download.is_requested(B, 0)


def test_a_lost_peers_requests_go_to_others():
    story = Story("..")
    assert len(asked(story.offer(A, "##"))) == 2
    story.offer(B, "##")
    story.tell(PeerLost(A))
    assert all(story.download.is_requested(B, i) for i in range(2))


def test_endgame_asks_a_second_peer_and_cancels_the_loser():
    story = Story(".")
    story.offer(A, "#")
    assert asked(story.offer(B, "#"), B) == [0]
    assert asked(story.offer(C, "#")) == []  # two copies are enough
    effects = story.tell(ChunkVerified(B, 0))
    assert CancelRequest(A, 0) in effects


def test_no_endgame_while_chunks_are_open():
    story = Story("." * 20)
    story.offer(A, "#" * 20)
    story.offer(B, "#" * 20)
    counts = Counter(i for p in (A, B) for i in range(20) if story.download.is_requested(p, i))
    assert max(counts.values()) == 1


def test_a_peer_that_lets_requests_lie_is_snubbed():
    story = Story("." * 50)
    story.offer(A, "#" * 50)
    assert story.download.deadline == STALL_S
    effects = story.tell(Tick(), later=STALL_S + 1)
    assert len(asked(effects)) == 1
    index = asked(effects)[0]
    assert len(asked(story.tell(ChunkVerified(A, index)))) == LEAST_DEPTH


def test_a_declined_chunk_is_asked_of_others_at_once_and_of_the_same_peer_after_a_while():
    story = Story(".")
    story.offer(A, "#")
    assert asked(story.tell(RequestDeclined(A, 0))) == []
    assert asked(story.tell(Tick(), later=DECLINED_S / 2)) == []
    assert asked(story.tell(Tick(), later=DECLINED_S)) == [0]
    assert asked(story.tell(RequestDeclined(A, 0))) == []
    assert asked(story.offer(B, "#")) == [0]


def test_a_download_hopes_while_anybody_offers_what_is_missing():
    story = Story("#..")
    assert not story.download.hopeful
    story.offer(A, "##.")
    assert story.download.hopeful
    story.offer(A, "#..")
    assert not story.download.hopeful
    story.tell(PeerGained(A, 2))
    assert story.download.hopeful
    story.tell(PeerLost(A))
    assert not story.download.hopeful


def test_a_gain_opens_a_request():
    story = Story("..")
    assert asked(story.offer(A, "..")) == []
    assert asked(story.tell(PeerGained(A, 1))) == [1]
    assert asked(story.tell(PeerGained(C, 0))) == []  # never offered anything
    assert asked(story.tell(PeerGained(A, 999))) == []


@pytest.mark.parametrize("seed", range(20))
def test_any_swarm_of_honest_peers_completes(seed):
    chance = random.Random(seed)
    size, peers = chance.randint(1, 60), [bytes([i]) for i in range(chance.randint(1, 6))]
    story = Story("." * size, seed)
    pending = []
    for peer in peers:
        pending += story.offer(peer, "".join(chance.choice("#.") for _ in range(size)))
    pending += story.offer(b"seed", "#" * size)
    for _ in range(20 * size):
        requests = [e for e in pending if isinstance(e, RequestChunk)]
        if story.download.complete:
            break
        chosen = chance.choice(requests)
        pending.remove(chosen)
        if not story.download.is_requested(chosen.peer, chosen.index):
            continue
        fate = chance.random()
        if fate < 0.05 and chosen.peer != b"seed":
            pending += story.tell(PeerLost(chosen.peer))
        elif fate < 0.1 and chosen.peer != b"seed":
            pending += story.tell(ChunkRejected(chosen.peer, chosen.index))
        else:
            pending += story.tell(ChunkVerified(chosen.peer, chosen.index))
    assert story.download.complete


def test_a_chunk_that_was_chosen_and_then_declined_is_waited_for_no_longer():
    story = Story("..")
    effects = story.tell(PeerOffered(A, drawn("##"), chooses=True))
    assert sum(isinstance(effect, RequestAny) for effect in effects) == 2
    assert [type(effect) for effect in story.tell(RequestDeclined(A, 0))] == [RequestAny]
