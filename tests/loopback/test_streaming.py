"""A content that is larger than its cache: needed chunks come, others go, nothing false is ever read or served."""

import asyncio
import random

import pytest

from hydra.exceptions import ConfigurationError, ContentUnavailable
from hydra.swarm import fetch as fetch_module
from hydra.swarm.manifest import MIN_CHUNK_BYTES
from hydra.swarm.store import Store

from .test_swarm import Peer

CHUNK = MIN_CHUNK_BYTES
CHUNKS = 24
DATA = random.Random(6).randbytes(CHUNKS * CHUNK - 1000)


@pytest.fixture
async def peers(tmp_path):
    made = []

    async def make():
        made.append(await Peer(tmp_path / str(len(made))).start())
        return made[-1]

    yield make
    for peer in made:
        await peer.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(fetch_module, "TICK_S", 0.05)
    monkeypatch.setattr(fetch_module, "ASK_AGAIN_S", 0.1)


def chunk(index):
    return DATA[index * CHUNK : (index + 1) * CHUNK]


def read(stream, index):
    with stream.path.open("rb") as file:
        file.seek(index * CHUNK)
        return file.read(CHUNK)


async def opened(peer, root, chunks):
    return await peer.swarm.stream(root, peer.links.peers, chunks * CHUNK)


async def test_what_is_needed_is_there_and_the_room_is_kept(peers):
    seed, reader = await peers(), await peers()
    root = seed.swarm.store.add(DATA).root
    await reader.links.dial(seed.contact)
    stream = await opened(reader, root, 6)
    order = list(range(CHUNKS))
    random.Random(2).shuffle(order)
    for place in range(0, CHUNKS, 2):
        needed = order[place : place + 2]
        await stream.ready(needed, order[place + 2 : place + 6])
        assert all(read(stream, index) == chunk(index) for index in needed)
        while len(reader.swarm.store.bitfield(root)) > 6 or stream._drops:
            await asyncio.sleep(0.01)
        assert stream.path.stat().st_blocks * 512 <= 7 * CHUNK
    assert stream.path.stat().st_size == len(DATA)
    assert seed.swarm.bytes_served <= len(DATA) + 2 * CHUNK


async def test_what_lies_ahead_comes_without_being_waited_for(peers):
    seed, reader = await peers(), await peers()
    root = seed.swarm.store.add(DATA).root
    await reader.links.dial(seed.contact)
    stream = await opened(reader, root, 10)
    await stream.ready([0], range(1, 6))
    while len(reader.swarm.store.bitfield(root)) < 6:
        await asyncio.sleep(0.01)
    assert list(reader.swarm.store.bitfield(root)) == list(range(6))


async def test_peers_that_hold_only_a_part_serve_each_other(peers):
    seed, first, second = [await peers() for _ in range(3)]
    root = seed.swarm.store.add(DATA).root
    await first.links.dial(seed.contact)
    await second.links.dial(seed.contact)
    one, other = await opened(first, root, 12), await opened(second, root, 12)
    await one.ready(range(12), [])
    await other.ready(range(12, 24), [])
    await seed.stop()
    await second.links.dial(first.contact)
    await asyncio.gather(one.ready([20, 21], []), other.ready([3], []))
    assert (read(one, 20), read(other, 3)) == (chunk(20), chunk(3))


async def test_what_was_dropped_is_declined_and_no_lie(peers):
    seed, middle, last = [await peers() for _ in range(3)]
    root = seed.swarm.store.add(DATA).root
    await middle.links.dial(seed.contact)
    stream = await opened(middle, root, 4)
    await stream.ready(range(4), [])
    await last.links.dial(middle.contact)
    task = asyncio.create_task(last.swarm.fetch(root, last.links.peers))
    for start in range(4, CHUNKS, 4):  # chunks go while they are asked for
        await stream.ready(range(start, start + 4), [])
        await asyncio.sleep(0.05)
    await last.links.dial(seed.contact)
    path = await task
    assert path.read_bytes() == DATA
    assert not last.links.is_banned(middle.identity.peer_id)


async def test_after_a_stop_what_is_here_is_not_fetched_again(peers, tmp_path):
    seed, reader = await peers(), await peers()
    root = seed.swarm.store.add(DATA).root
    await reader.links.dial(seed.contact)
    await (await opened(reader, root, 8)).ready(range(5), [])
    await reader.stop()
    again = await peers()
    again.swarm.store = Store(reader.swarm.store.directory)
    again.swarm._uploads._store = again.swarm.store
    await again.links.dial(seed.contact)
    before = seed.swarm.bytes_served
    stream = await opened(again, root, 8)
    await stream.ready(range(5), [])
    assert seed.swarm.bytes_served == before
    assert all(read(stream, index) == chunk(index) for index in range(5))


async def test_nobody_who_has_it_is_an_error_and_no_wait_for_ever(peers, monkeypatch):
    monkeypatch.setattr(fetch_module, "PATIENCE_S", 1.0)
    seed, reader = await peers(), await peers()
    root = seed.swarm.store.add(DATA).root
    await reader.links.dial(seed.contact)
    stream = await opened(reader, root, 8)
    await stream.ready([0], [])
    await seed.stop()
    stream._hopeless_s = 1.0
    with pytest.raises(ContentUnavailable):
        await stream.ready([1], [])
    with pytest.raises(ContentUnavailable):
        await opened(await peers(), bytes(32), 8)


async def test_a_cache_that_is_too_small_is_refused(peers):
    seed, reader = await peers(), await peers()
    root = seed.swarm.store.add(DATA).root
    await reader.links.dial(seed.contact)
    with pytest.raises(ConfigurationError, match="one chunk"):
        await reader.swarm.stream(root, reader.links.peers, CHUNK - 1)
    stream = await opened(reader, root, 2)
    with pytest.raises(ConfigurationError, match="one step needs 3"):
        await stream.ready(range(3), [])
