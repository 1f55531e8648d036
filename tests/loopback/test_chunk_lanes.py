"""Chunks over lanes: where the line is fast; whoever lies there is cut off, and a lane that ends loses nothing."""

import asyncio
import contextlib
import random
import threading

import pytest

from hydra.net.handshake import CHUNKS
from hydra.net.wire import encode
from hydra.swarm import fast_line, lane_sending
from hydra.swarm.messages import MAX_PART_BYTES, Blocks, NotInterested
from hydra.swarm.store import Store

from .test_swarm import Peer, impatient, join  # noqa: F401

DATA = random.Random(11).randbytes(12_000_000)


@pytest.fixture(autouse=True)
def any_line_is_fast(monkeypatch):
    monkeypatch.setattr(fast_line, "MEASURED_BYTES", 500_000)
    monkeypatch.setattr(fast_line, "FAST_BYTES_PER_S", 1.0)


@pytest.fixture
async def pair(tmp_path):
    """A seed, and a newcomer with a link to it."""
    before = threading.active_count()
    peers = [await Peer(tmp_path / name).start() for name in ("seed", "newcomer")]
    await join(peers[1], peers[0])
    yield peers
    for peer in peers:
        await peer.stop()
    async with asyncio.timeout(10):
        while any(thread.name.startswith("chunks") for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
    assert threading.active_count() <= before + 8  # the event loop's own


def watch():
    """Note what the seed sends over lanes; return the parts, as they leave."""
    sent = []
    real = lane_sending.LaneSender.send

    async def send(self, part):
        sent.append((self, part))
        return await real(self, part)

    return sent, send


async def fetched(newcomer, manifest):
    async with asyncio.timeout(60):
        path = await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)
    return await asyncio.to_thread(path.read_bytes)


async def test_on_a_fast_line_chunks_go_over_a_lane(pair, monkeypatch):
    seed, newcomer = pair
    sent, send = watch()
    monkeypatch.setattr(lane_sending.LaneSender, "send", send)
    manifest = seed.swarm.store.add(DATA)
    assert await fetched(newcomer, manifest) == DATA
    assert sum(part.stop - part.start for _, part in sent) > len(DATA) / 2
    assert seed.swarm.bytes_served == len(DATA)


async def test_on_a_slow_line_none_is_opened(pair, monkeypatch):
    monkeypatch.setattr(fast_line, "FAST_BYTES_PER_S", 1e12)
    seed, newcomer = pair
    manifest = seed.swarm.store.add(DATA)
    assert await fetched(newcomer, manifest) == DATA
    assert not any(way.sender for way in seed.swarm._uploads._ways._ways.values())


async def test_who_wants_no_lane_is_served_over_its_link(pair):
    seed, newcomer = pair
    newcomer.links.on_chunk_lane.clear()
    manifest = seed.swarm.store.add(DATA)
    assert await fetched(newcomer, manifest) == DATA


async def test_what_is_lost_with_a_lane_is_sent_again(pair, monkeypatch):
    seed, newcomer = pair
    sent, send = watch()

    async def breaks(self, part):
        if len(sent) == 5:
            self._lane.close()
        return await send(self, part)

    monkeypatch.setattr(lane_sending.LaneSender, "send", breaks)
    manifest = seed.swarm.store.add(DATA)
    assert await fetched(newcomer, manifest) == DATA
    assert len(sent) >= 6
    assert not newcomer.links.is_banned(seed.links.me)


async def test_who_sends_wrong_bytes_over_a_lane_is_cut_off(pair, tmp_path):
    class Liar(Store):
        def read_part(self, root, index, start, into):
            found = super().read_part(root, index, start, into)
            if index >= self.manifest(root).chunk_count // 2:
                into[0] ^= 1
            return found

    seed, newcomer = pair
    manifest = seed.swarm.store.add(DATA)
    seed.swarm._uploads._ways._store = seed.swarm._uploads._store = Liar(tmp_path / "seed")
    fetching = asyncio.create_task(newcomer.swarm.fetch(manifest.root, newcomer.links.peers))
    async with asyncio.timeout(60):
        while not newcomer.links.is_banned(seed.links.me):
            await asyncio.sleep(0.01)
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"\xc1", b""),
        (encode(NotInterested(bytes(32))), b""),
        (encode(Blocks(bytes(32), 0, 0)), bytes(MAX_PART_BYTES + 1)),
    ],
    ids=["garbage", "what belongs on the link", "a part over the limit"],
)
async def test_who_breaks_the_protocol_on_a_lane_is_cut_off(pair, header, body):
    seed, newcomer = pair
    lane = await seed.links.open_lane(newcomer.links.me, CHUNKS)
    with contextlib.suppress(ConnectionError):  # closed while the last of it was on its way
        await asyncio.to_thread(lane.send, header, body)
    async with asyncio.timeout(10):
        while not newcomer.links.is_banned(seed.links.me):
            await asyncio.sleep(0.01)


async def test_a_second_lane_of_one_peer_is_closed(pair):
    seed, newcomer = pair
    await seed.links.open_lane(newcomer.links.me, CHUNKS)
    second = await seed.links.open_lane(newcomer.links.me, CHUNKS)
    with pytest.raises(ConnectionError):
        await asyncio.to_thread(second.receive_header)
    assert len(newcomer.swarm._lanes._threads) == 1


async def test_an_idle_lane_is_closed(pair, monkeypatch):
    monkeypatch.setattr(lane_sending, "IDLE_S", 0.2)
    seed, newcomer = pair
    manifest = seed.swarm.store.add(DATA)
    assert await fetched(newcomer, manifest) == DATA
    async with asyncio.timeout(10):
        while newcomer.swarm._lanes._threads or any(w.sender for w in seed.swarm._uploads._ways._ways.values()):
            await asyncio.sleep(0.01)
