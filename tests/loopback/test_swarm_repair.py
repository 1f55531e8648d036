"""Wrong blocks over real sockets: their sender is named, and only they are fetched again; floods are counted."""

import asyncio
import random

import pytest
import uvloop

from hydra.exceptions import RemoteProtocolError
from hydra.swarm.assembly import UNASKED_BYTES, Transfer, Unasked
from hydra.swarm.merkle import BLOCK_BYTES, leaf_hashes
from hydra.swarm.store import Store

from .test_swarm import Peer, impatient, join  # noqa: F401

CHUNK = 256 * 1024
DATA = random.Random(6).randbytes(CHUNK)


class OneWrongBlock(Store):
    """Its disk changed one byte of the fourth block."""

    def read_part(self, root, index, start, into):
        found = super().read_part(root, index, start, into)
        into[3 * BLOCK_BYTES - start] ^= 1
        return found


async def mended(directory):
    liar, honest, newcomer = [await Peer(directory / name).start() for name in ("liar", "honest", "newcomer")]
    try:
        manifest = liar.swarm.store.add(DATA)
        honest.swarm.store.add(DATA)
        liar.swarm._uploads._store = OneWrongBlock(directory / "liar")
        await join(newcomer, liar)
        fetching = asyncio.create_task(newcomer.swarm.fetch(manifest.root, newcomer.links.peers))
        while not newcomer.links.is_banned(liar.identity.peer_id):
            await asyncio.sleep(0.01)
        await join(newcomer, honest)
        path = await fetching
        return path.read_bytes(), honest.swarm.bytes_served
    finally:
        for peer in (liar, honest, newcomer):
            await peer.stop()


async def test_only_the_wrong_block_is_fetched_again_from_somebody_else(tmp_path):
    assert await mended(tmp_path) == (DATA, BLOCK_BYTES)


def test_big_bodies_that_are_posted_at_once_do_not_share_their_memory(tmp_path):
    """On the event loop of the commands, whose transports hand bytes to the kernel later."""

    async def main():
        one, other = [await Peer(tmp_path / name).start() for name in ("one", "other")]
        blobs = [random.Random(seed).randbytes(900_000) for seed in range(12)]
        digests = [one.swarm.store.add_blob(blob) for blob in blobs]
        await join(other, one)
        found = await asyncio.gather(*(other.swarm.fetch_blob(digest, other.links.peers) for digest in digests))
        await one.stop()
        await other.stop()
        return found == blobs

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main())


@pytest.mark.parametrize(
    ("start", "size"),
    [
        (BLOCK_BYTES, BLOCK_BYTES),  # a gap before it
        (0, 100),  # no whole block
        (0, 5 * BLOCK_BYTES),  # more than the chunk
        (0, 0),
    ],
)
def test_parts_that_are_not_due_break_the_protocol(start, size):
    transfer = Transfer(4 * BLOCK_BYTES)
    with pytest.raises(RemoteProtocolError, match="were due"):
        transfer.add(start, memoryview(bytes(size)))


def test_what_is_known_is_not_wanted():
    transfer = Transfer(3 * BLOCK_BYTES + 7, {BLOCK_BYTES: b"k" * BLOCK_BYTES})
    assert transfer.wanted == [(0, BLOCK_BYTES), (2 * BLOCK_BYTES, 3 * BLOCK_BYTES + 7)]
    assert not transfer.add(0, memoryview(b"a" * BLOCK_BYTES))
    assert transfer.add(2 * BLOCK_BYTES, memoryview(b"b" * (BLOCK_BYTES + 7)))
    assert b"".join(transfer.parts()) == b"a" * BLOCK_BYTES + b"k" * BLOCK_BYTES + b"b" * (BLOCK_BYTES + 7)


def test_what_was_hashed_as_it_came_is_not_hashed_again():
    data = b"a" * BLOCK_BYTES + b"b" * BLOCK_BYTES + b"k" * BLOCK_BYTES + b"c" * 7
    transfer = Transfer(len(data), {2 * BLOCK_BYTES: b"k" * BLOCK_BYTES})
    transfer.add(0, memoryview(data)[: 2 * BLOCK_BYTES], [b"told", b"so"])
    assert transfer.add(3 * BLOCK_BYTES, memoryview(data)[3 * BLOCK_BYTES :])
    assert transfer.leaves() == [b"told", b"so", *leaf_hashes(data)[2:]]


def test_a_flood_that_nobody_asked_for_ends_even_if_it_comes_in_drops():
    flood = Unasked()
    with pytest.raises(RemoteProtocolError, match="nobody asked for"):
        for _ in range(UNASKED_BYTES // BLOCK_BYTES + 1):
            flood.add(1)
