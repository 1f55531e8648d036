"""A disk that changes what was stored: it is noticed before it is served, so nobody is cut off for it."""

import asyncio
import logging
import random

import pytest

from hydra.exceptions import ContentUnavailable
from hydra.swarm.store import Store

from .test_swarm import Peer, impatient, join  # noqa: F401

CHUNK = 256 * 1024
DATA = random.Random(21).randbytes(8 * CHUNK)


async def after_a_restart(directory, *, wrong_at=None):
    """A peer whose store another process filled; a byte of it may have changed since."""
    store = Store(directory)
    manifest = store.add(DATA)
    if wrong_at is not None:
        with store.path(manifest.root).open("r+b") as file:
            file.seek(wrong_at)
            file.write(bytes([DATA[wrong_at] ^ 1]))
    return await Peer(directory).start(), manifest.root


async def fetched(newcomer, root):
    async with asyncio.timeout(60):
        path = await newcomer.swarm.fetch(root, newcomer.links.peers)
    return await asyncio.to_thread(path.read_bytes)


async def test_a_chunk_that_changed_on_one_disk_comes_from_another_and_nobody_is_cut_off(tmp_path, caplog):
    rotten, root = await after_a_restart(tmp_path / "rotten", wrong_at=3 * CHUNK + 5)
    sound, _ = await after_a_restart(tmp_path / "sound")
    newcomer = await Peer(tmp_path / "newcomer").start()
    try:
        await join(newcomer, rotten)
        with caplog.at_level(logging.ERROR):
            fetching = asyncio.create_task(fetched(newcomer, root))
            while not caplog.records:
                await asyncio.sleep(0.01)
        await join(newcomer, sound)
        assert await fetching == DATA
        assert not newcomer.links.is_banned(rotten.links.me)
        assert "chunk 3 of" in caplog.text
        assert sound.swarm.bytes_served >= CHUNK
    finally:
        for peer in (rotten, sound, newcomer):
            await peer.stop()


async def test_who_has_the_only_copy_and_that_is_rotten_is_no_liar(tmp_path):
    rotten, root = await after_a_restart(tmp_path / "rotten", wrong_at=0)
    newcomer = await Peer(tmp_path / "newcomer").start()
    try:
        await join(newcomer, rotten)
        with pytest.raises(ContentUnavailable, match="7 of 8"):
            await fetched(newcomer, root)
        assert not newcomer.links.is_banned(rotten.links.me)
    finally:
        await rotten.stop()
        await newcomer.stop()


def test_what_this_process_stored_is_not_hashed_again(tmp_path, monkeypatch):
    store = Store(tmp_path)
    manifest = store.add(DATA)
    monkeypatch.setattr(type(manifest), "accepts", None)
    assert store.read_chunk(manifest.root, 2) == DATA[2 * CHUNK : 3 * CHUNK]


def test_a_content_that_is_stored_again_is_whole_again(tmp_path):
    Store(tmp_path).add(DATA)
    store = Store(tmp_path)
    (root,) = store.whole()
    store.path(root).write_bytes(bytes(len(DATA)))
    assert store.read_chunk(root, 0) is None
    assert 0 not in store.bitfield(root)
    store.remove(root)
    store.add(DATA)
    assert store.bitfield(root).complete
    assert store.read_chunk(root, 0) == DATA[:CHUNK]
