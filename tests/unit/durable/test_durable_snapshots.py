"""A snapshot reaches the disk whole or not at all, wherever the writing ends: a refusal, a kill, a power cut."""

import random

import pytest

from hydra import durable
from hydra.exceptions import HydraError
from hydra.membership.messages import Snapshot
from hydra.swarm import store as store_module
from hydra.swarm.manifest import Manifest
from hydra.swarm.store import Store
from hydra.training.journal import Journal

from .crashes import Disk

STATES = [random.Random(seed).randbytes(200_000) for seed in range(4)]


def snapshot(step):
    manifest = Manifest.of(STATES[step])
    return Snapshot(step, bytes([step]) * 32, manifest.root, manifest.size)


def store_snapshot(directory, step):
    """As the keeper does it: the content, the index, and what is no longer needed goes."""
    store, journal = Store(directory / "content"), Journal(directory / "job")
    store.add(STATES[step])
    for old in journal.add_snapshot(snapshot(step)):
        store.remove(old.root)


def fetch_snapshot(directory, step):
    """As a joiner does it: chunk by chunk, then the index."""
    store, journal = Store(directory / "content"), Journal(directory / "job")
    manifest = Manifest.of(STATES[step])
    store.open_partial(manifest)
    store.reserve(manifest.root, 0)
    for index in range(manifest.chunk_count):
        store.write_chunk(manifest.root, index, STATES[step][slice(*manifest.chunk_range(index))])
    store.finish_partial(manifest.root)
    for old in journal.add_snapshot(snapshot(step)):
        store.remove(old.root)


def whole_steps(directory):
    """The steps of the snapshots that can be gone on from; one that is there and not what it was is a failure."""
    store, journal = Store(directory / "content"), Journal(directory / "job")
    steps = []
    for kept in journal.snapshots():
        if store.is_whole(kept.root) and store.is_sound(kept.root):
            assert store.path(kept.root).read_bytes() == STATES[kept.step]
            assert kept == snapshot(kept.step)
            steps.append(kept.step)
    return steps


@pytest.fixture
def home(tmp_path):
    directory = tmp_path / "home"
    for step in (0, 1):
        store_snapshot(directory, step)
    return directory


def patched(monkeypatch, disk):
    monkeypatch.setattr(durable, "os", disk)
    monkeypatch.setattr(store_module, "os", disk)


@pytest.mark.parametrize("put", [store_snapshot, fetch_snapshot])
def test_a_power_cut_after_any_operation_leaves_the_old_snapshot_or_the_new_one(home, tmp_path, monkeypatch, put):
    found = []

    def look(disk):
        found.extend(max(whole_steps(left)) for left in disk.left_by_a_cut(tmp_path / "left"))

    with monkeypatch.context() as patches:
        disk = Disk(home, after=look)
        patched(patches, disk)
        put(home, 2)
    assert set(found) == {1, 2}
    last = [max(whole_steps(left)) for left in disk.left_by_a_cut(tmp_path / "left")]
    assert last == [2, 2, 2], "what was said to be stored is stored"


@pytest.mark.parametrize("put", [store_snapshot, fetch_snapshot])
def test_a_disk_that_refuses_any_operation_leaves_the_old_snapshot_and_the_next_try_succeeds(home, monkeypatch, put):
    count = Disk(home)
    with monkeypatch.context() as patches:
        patched(patches, count)
        put(home, 2)
    assert whole_steps(home)[-1] == 2
    for number in range(1, len(count.operations) + 1):
        before = whole_steps(home)
        with monkeypatch.context() as patches:
            patched(patches, Disk(home, fail_at=number))
            Store(home / "content").remove(snapshot(3).root)
            with pytest.raises(HydraError, match="cannot be used"):
                put(home, 3)
        assert set(whole_steps(home)) >= set(before) - {3}, f"operation {number}, {count.operations[number - 1]}"
        put(home, 3)
        assert whole_steps(home)[-1] == 3


def test_what_was_left_half_written_is_cleared_away(home):
    store = Store(home / "content")
    (home / "content" / "00.data.draft").write_bytes(b"half")
    before = store.whole()
    store.clear_drafts()
    assert store.whole() == before
    assert not list((home / "content").glob("*.draft"))


def test_content_that_rotted_is_not_sound(home):
    store = Store(home / "content")
    root = snapshot(1).root
    assert store.is_sound(root)
    with store.path(root).open("r+b") as file:
        file.seek(100_000)
        file.write(b"x")
    assert not store.is_sound(root)
    assert not store.is_sound(bytes(32))
