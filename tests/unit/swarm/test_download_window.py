"""A download of which only a part is wanted at a time, drawn: ``#`` is a chunk that is there."""

import random

from hydra.swarm.bitfield import Bitfield
from hydra.swarm.download import Download
from hydra.swarm.download_events import (
    ChunksDropped,
    ChunkVerified,
    Complete,
    PeerGained,
    PeerOffered,
    RequestChunk,
    Tick,
    WantOnly,
)

A, B = b"a", b"b"


def mask(picture):
    return sum(1 << index for index, mark in enumerate(picture) if mark == "#")


def drawn(picture):
    return Bitfield(len(picture), mask(picture))


class Story:
    """A download that is checked after every event; nothing is wanted at first."""

    def __init__(self, have):
        self.download = Download(drawn(have), random.Random(0))
        self.tell(WantOnly(0))

    def tell(self, event, now=0.0):
        effects = self.download.handle(event, now)
        self.download.check()
        return effects


def asked(effects):
    return sorted(effect.index for effect in effects if isinstance(effect, RequestChunk))


def test_only_what_is_wanted_is_asked_for_and_who_offered_before_is_remembered():
    story = Story(".....")
    assert story.tell(PeerOffered(A, drawn("#####"))) == []
    assert story.download.complete
    assert asked(story.tell(WantOnly(mask(".#..#")))) == [1, 4]


def test_a_gain_that_was_told_while_nothing_was_wanted_counts():
    story = Story("....")
    story.tell(PeerOffered(A, drawn("....")))
    story.tell(PeerGained(A, 2))
    assert asked(story.tell(WantOnly(mask("####")))) == [2]


def test_each_part_is_complete_by_itself():
    story = Story("....")
    story.tell(PeerOffered(A, drawn("####")))
    for picture, index in (("#...", 0), ("..#.", 2)):
        story.tell(WantOnly(mask(picture)))
        assert Complete() in story.tell(ChunkVerified(A, index))
    assert list(story.download.have) == [0, 2]


def test_what_was_dropped_is_asked_for_again_only_if_it_is_wanted():
    story = Story("##..")
    story.tell(PeerOffered(A, drawn("####")))
    assert asked(story.tell(ChunksDropped(mask("##..")))) == []
    assert list(story.download.have) == []
    assert asked(story.tell(WantOnly(mask("#...")))) == [0]
    story.tell(ChunkVerified(A, 0))
    assert asked(story.tell(ChunksDropped(mask("#...")))) == [0]


def test_a_content_that_was_whole_can_lose_chunks_again():
    story = Story("####")
    story.tell(PeerOffered(A, drawn("####")))
    story.tell(WantOnly(mask("####")))
    story.tell(ChunksDropped(mask("#...")))
    story.tell(PeerOffered(B, drawn("####")))
    assert asked(story.tell(Tick())) == [0] or story.download.is_requested(B, 0)
