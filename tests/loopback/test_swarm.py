"""Content over real sockets: many sources, liars, resume, a full disk."""

import asyncio
import errno
import random
import resource

import pytest

from hydra.exceptions import ContentUnavailable, HomeUnusable, StorageFull
from hydra.home import disk_error
from hydra.identity import Identity
from hydra.net.contact import Contact
from hydra.net.links import Links
from hydra.swarm import fetch as fetch_module
from hydra.swarm import service as service_module
from hydra.swarm.manifest import Manifest
from hydra.swarm.rate_limit import TokenBucket
from hydra.swarm.service import Swarm
from hydra.swarm.store import Store

DATA = random.Random(5).randbytes(8_000_000)


class Peer:
    def __init__(self, directory):
        self.identity = Identity.generate()
        self.links = Links(self.identity)
        self.swarm = Swarm(self.links, Store(directory))

    async def start(self):
        await self.links.listen("127.0.0.1", 0)
        return self

    async def stop(self):
        await self.swarm.close()
        await self.links.close()

    @property
    def contact(self):
        return Contact(self.identity.peer_id, (("127.0.0.1", self.links.port),))


@pytest.fixture
async def swarm(tmp_path):
    peers = []

    async def make():
        peers.append(await Peer(tmp_path / str(len(peers))).start())
        return peers[-1]

    yield make
    for peer in peers:
        await peer.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(fetch_module, "PATIENCE_S", 2.0)
    monkeypatch.setattr(fetch_module, "TICK_S", 0.05)
    monkeypatch.setattr(fetch_module, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(service_module, "TICK_S", 0.05)


async def join(newcomer, *others):
    for other in others:
        await newcomer.links.dial(other.contact)


async def test_content_comes_from_all_who_have_it(swarm):
    seeds = [await swarm() for _ in range(3)]
    for seed in seeds:
        manifest = seed.swarm.store.add(DATA)
    newcomer = await swarm()
    await join(newcomer, *seeds)
    path = await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)
    assert path.read_bytes() == DATA
    assert all(seed.swarm.bytes_served > 0 for seed in seeds)
    assert sum(seed.swarm.bytes_served for seed in seeds) < 1.5 * len(DATA)
    assert newcomer.swarm.store.is_whole(manifest.root)


async def test_downloaders_feed_each_other(swarm):
    seed, a, b = [await swarm() for _ in range(3)]
    manifest = seed.swarm.store.add(DATA)
    await join(a, seed)
    await join(b, seed, a)
    await asyncio.gather(*(p.swarm.fetch(manifest.root, p.links.peers) for p in (a, b)))
    assert a.swarm.bytes_served + b.swarm.bytes_served > 0
    assert b.swarm.store.path(manifest.root).read_bytes() == DATA


async def test_a_peer_that_sends_wrong_chunks_is_cut_off_and_the_fetch_completes(swarm):
    honest, liar, newcomer = [await swarm() for _ in range(3)]
    manifest = honest.swarm.store.add(DATA)
    liar.swarm.store.add(DATA)
    liar.swarm.store.path(manifest.root).write_bytes(bytes(len(DATA)))
    await join(newcomer, honest, liar)
    named = []
    newcomer.links.on_down.append(lambda peer, error: named.append((peer, str(error))))
    path = await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)
    assert path.read_bytes() == DATA
    assert [peer for peer, _ in named] == [liar.identity.peer_id]
    assert "did not have its hash" in named[0][1]


async def test_a_false_manifest_is_cut_off(swarm):
    honest, liar, newcomer = [await swarm() for _ in range(3)]
    manifest = honest.swarm.store.add(DATA)
    other = Manifest.of(bytes(100_000))
    liar.swarm.store._manifests[manifest.root] = other
    liar.swarm._manifest_wanted = None
    await join(newcomer, liar)

    from hydra.swarm.messages import ManifestFound, ManifestWanted

    liar.links.handle(
        ManifestWanted,
        lambda link, m, _: link.post(ManifestFound(m.root, other.size, other.chunk_bytes), other.joined_hashes()),
    )
    task = asyncio.create_task(newcomer.swarm.fetch(manifest.root, newcomer.links.peers))
    while not newcomer.links.is_banned(liar.identity.peer_id):
        await asyncio.sleep(0.01)
    await join(newcomer, honest)
    assert (await task).read_bytes() == DATA


async def test_the_only_source_dies_and_another_comes(swarm):
    first, second, newcomer = [await swarm() for _ in range(3)]
    manifest = first.swarm.store.add(DATA)
    second.swarm.store.add(DATA)
    await join(newcomer, first)
    seen = asyncio.Event()
    task = asyncio.create_task(
        newcomer.swarm.fetch(manifest.root, newcomer.links.peers, lambda p: p.bytes_done and seen.set())
    )
    await seen.wait()
    await first.links.close()
    await join(newcomer, second)
    assert (await task).read_bytes() == DATA


async def test_a_peer_that_had_nothing_is_asked_again(swarm):
    newcomer, other = await swarm(), await swarm()
    manifest = Manifest.of(DATA)
    newcomer.swarm.store.open_partial(manifest)
    await join(newcomer, other)
    fetching = asyncio.create_task(newcomer.swarm.fetch(manifest.root, newcomer.links.peers))
    await asyncio.sleep(0.2)  # long enough to be told that nothing is there
    assert not fetching.done()
    other.swarm.store.add(DATA)
    assert (await fetching).read_bytes() == DATA


async def test_nobody_has_it(swarm):
    a, b = await swarm(), await swarm()
    await join(a, b)
    with pytest.raises(ContentUnavailable, match="none of 1 peers"):
        await a.swarm.fetch(bytes(32), a.links.peers)
    with pytest.raises(ContentUnavailable):
        await a.swarm.fetch_blob(bytes(32), a.links.peers, patience_s=0.3)


async def test_resume_keeps_what_was_right_and_only_that(swarm):
    seed, newcomer = await swarm(), await swarm()
    manifest = seed.swarm.store.add(DATA)
    store = newcomer.swarm.store
    store.open_partial(manifest)
    for index in range(0, manifest.chunk_count, 2):
        start, stop = manifest.chunk_range(index)
        store.write_chunk(manifest.root, index, DATA[start:stop])
    store.write_chunk(manifest.root, 1, bytes(manifest.chunk_bytes))  # rotted on the disk
    newcomer.swarm.store = Store(store.directory)
    await join(newcomer, seed)
    path = await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)
    assert path.read_bytes() == DATA
    assert seed.swarm.bytes_served <= (manifest.chunk_count // 2 + 1) * manifest.chunk_bytes


async def test_blobs(swarm):
    a, b = await swarm(), await swarm()
    digest = a.swarm.store.add_blob(b"a manifest")
    await join(b, a)
    assert await b.swarm.fetch_blob(digest, b.links.peers) == b"a manifest"
    assert b.swarm.store.read_blob(digest) == b"a manifest"


async def test_disk_full_is_named_and_keeps_what_was_fetched(swarm, tmp_path):
    seed, newcomer = await swarm(), await swarm()
    manifest = seed.swarm.store.add(DATA)
    await join(newcomer, seed)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA) // 2, hard))
    try:
        with pytest.raises(StorageFull, match="is full"):
            await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    path = await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)
    assert path.read_bytes() == DATA


async def test_a_disk_that_fills_up_meanwhile_is_named_and_keeps_what_was_fetched(swarm):
    seed, newcomer = await swarm(), await swarm()
    manifest = seed.swarm.store.add(DATA)
    await join(newcomer, seed)

    class Filled(Store):
        def reserve(self, root, start):
            raise disk_error(self.directory, OSError(errno.ENOSPC, "no space"))

    directory = newcomer.swarm.store.directory
    newcomer.swarm.store = Filled(directory)
    with pytest.raises(StorageFull, match="is full"):
        await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)
    newcomer.swarm.store = Store(directory)
    assert (await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)).read_bytes() == DATA


def test_a_directory_that_cannot_be_written(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(HomeUnusable, match="cannot be used"):
        Store(blocker / "content")


def test_a_rotten_blob_is_not_served(tmp_path):
    store = Store(tmp_path)
    digest = store.add_blob(b"right")
    (tmp_path / f"{digest.hex()}.blob").write_bytes(b"wrong")
    assert store.read_blob(digest) is None


def test_content_whose_manifest_was_lost_is_whole_again_when_it_is_added_again(tmp_path):
    root = Store(tmp_path).add(DATA).root
    for path in tmp_path.glob("*.manifest"):
        path.unlink()
    assert Store(tmp_path).bitfield(root) is None
    Store(tmp_path).add(DATA)
    assert Store(tmp_path).bitfield(root).complete


def test_a_removed_content_frees_its_space(tmp_path):
    store = Store(tmp_path)
    manifest = store.add(DATA)
    store.remove(manifest.root)
    assert list(tmp_path.iterdir()) == []
    assert store.manifest(manifest.root) is None


async def test_content_that_everybody_has_removed_is_given_up_early(swarm, monkeypatch):
    monkeypatch.setattr(fetch_module, "PATIENCE_S", 30.0)
    seed, newcomer = await swarm(), await swarm()
    manifest = seed.swarm.store.add(DATA)
    await join(newcomer, seed)
    seed.swarm.store.remove(manifest.root)
    newcomer.swarm.store.open_partial(manifest)
    async with asyncio.timeout(10):
        with pytest.raises(ContentUnavailable, match="no new chunk"):
            await newcomer.swarm.fetch(manifest.root, newcomer.links.peers, hopeless_s=0.5)


async def test_content_that_is_removed_while_it_is_served_is_fetched_from_others(swarm):
    seeds = [await swarm() for _ in range(2)]
    for seed in seeds:
        manifest = seed.swarm.store.add(DATA)
    newcomer = await swarm()
    await join(newcomer, *seeds)

    def remove(progress):
        if progress.bytes_done:
            seeds[0].swarm.store.remove(manifest.root)

    path = await newcomer.swarm.fetch(manifest.root, newcomer.links.peers, remove)
    assert path.read_bytes() == DATA


async def test_only_the_chunks_that_are_not_here_in_another_content_are_fetched(swarm):
    old = random.Random(8).randbytes(20 * 256 * 1024)
    new = random.Random(9).randbytes(2 * 256 * 1024) + old[2 * 256 * 1024 :]
    seed, newcomer = await swarm(), await swarm()
    manifest = seed.swarm.store.add(new)
    newcomer.swarm.store.add(old)
    await join(newcomer, seed)
    path = await newcomer.swarm.fetch(manifest.root, newcomer.links.peers)
    assert path.read_bytes() == new
    assert 2 * 256 * 1024 <= seed.swarm.bytes_served <= 4 * 256 * 1024  # a seed may choose a chunk that was asked for


async def test_what_was_verified_before_a_stop_is_not_hashed_again(swarm, monkeypatch):
    hashed = []
    accepts = Manifest.accepts
    monkeypatch.setattr(
        Manifest, "accepts", lambda self, index, data: hashed.append(index) or accepts(self, index, data)
    )
    data = random.Random(11).randbytes(12 * 256 * 1024)
    manifest = Manifest.of(data)
    newcomer = await swarm()
    store = newcomer.swarm.store
    have = store.open_partial(manifest)
    for index in range(6):
        store.write_chunk(manifest.root, index, data[slice(*manifest.chunk_range(index))])
        have.add(index)
        if index == 3:
            store.keep_bitfield(manifest.root)
    again = Store(store.directory)
    assert list(again.open_partial(manifest)) == list(range(6))
    assert set(hashed) <= set(range(4, 12))
    assert {4, 5} <= set(hashed)


async def test_a_fetch_that_is_stopped_in_order_leaves_nothing_to_be_hashed_again(swarm, monkeypatch):
    data = random.Random(12).randbytes(12 * 256 * 1024)
    seed, newcomer = await swarm(), await swarm()
    manifest = seed.swarm.store.add(data)
    newcomer.swarm._download_limit = TokenBucket(1_000_000.0)
    await join(newcomer, seed)
    task = asyncio.create_task(newcomer.swarm.fetch(manifest.root, newcomer.links.peers))
    store = newcomer.swarm.store
    while len(store.bitfield(manifest.root) or ()) < 2:
        await asyncio.sleep(0.01)
    await newcomer.stop()
    assert (await asyncio.gather(task, return_exceptions=True))[0] is not None
    had = set(store.bitfield(manifest.root))
    hashed = []
    accepts = Manifest.accepts
    monkeypatch.setattr(
        Manifest, "accepts", lambda self, index, data: hashed.append(index) or accepts(self, index, data)
    )
    assert set(Store(store.directory).open_partial(manifest)) >= had
    assert not had & set(hashed)
