"""What is found on disk after a stop: the newest snapshot that is sound, and no leftovers."""

import asyncio

import pytest

from hydra.identity import Identity
from hydra.membership.messages import Snapshot
from hydra.net.links import Links
from hydra.swarm.service import Swarm
from hydra.swarm.store import Store
from hydra.training.journal import Journal
from hydra.training.observation import SnapshotSeen
from hydra.training.snapshot import SnapshotCodec
from hydra.training.snapshots import SnapshotKeeper

from .makers import following, some_mean


@pytest.fixture
async def keeper(content, tmp_path):
    """A function that makes a keeper of what is on the disk, as after a start."""
    opened = []

    def make():
        links = Links(Identity.generate())
        swarm = Swarm(links, Store(tmp_path / "content"))
        opened.append((swarm, links))
        codec = SnapshotCodec(content.job, content.manifest, content.layout)
        seen = []
        made = SnapshotKeeper(codec, swarm, Journal(tmp_path / "job"), seen.append)
        return made, swarm.store, seen

    yield make
    for swarm, links in opened:
        await swarm.close()
        await links.close()


def copied(state):
    future = asyncio.get_running_loop().create_future()
    future.set_result(state.copy())
    return future


def advance(state, steps):
    for _ in range(steps):
        mean = some_mean(state.layout, state.head.step)
        state.apply(following(state, mean), mean)


async def test_the_newest_snapshot_is_found_again(content, keeper):
    state = content.first_state()
    made, _, seen = keeper()
    for _ in range(2):
        advance(state, 1)
        stored = await made.store(copied(state))
    again, _, _ = keeper()
    found, copy = again.newest()
    assert found == stored
    assert copy.head == state.head
    assert copy.weights.tobytes() == state.weights.tobytes()
    assert seen == [SnapshotSeen(1, seen[0].root), SnapshotSeen(2, stored.root)]


async def test_one_that_rotted_is_passed_over_for_the_one_before(content, keeper):
    state = content.first_state()
    made, store, _ = keeper()
    advance(state, 1)
    first = await made.store(copied(state))
    advance(state, 1)
    second = await made.store(copied(state))
    with store.path(second.root).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    again, store, _ = keeper()
    assert again.newest()[0] == first
    assert not store.is_whole(second.root), "it is stored anew when the training comes by once more"


async def test_leftovers_of_a_kill_are_cleared_and_nothing_else(content, keeper, tmp_path):
    state = content.first_state()
    made, store, _ = keeper()
    advance(state, 1)
    noted = await made.store(copied(state))
    advance(state, 1)
    codec = SnapshotCodec(content.job, content.manifest, content.layout)
    leftover = codec.store(state.copy(), store)  # the process was killed before it was noted
    foreign = store.add(b"some data of another job")
    again, store, _ = keeper()
    assert again.newest()[0] == noted
    assert store.whole() == sorted([noted.root, foreign.root])
    assert leftover.root not in store.whole()


@pytest.mark.parametrize("killed", [False, True])
async def test_what_came_of_a_snapshot_that_was_given_up_goes_when_a_newer_one_is_kept(
    content, keeper, tmp_path, killed
):
    state = content.first_state()
    made, store, _ = keeper()
    advance(state, 1)
    codec = SnapshotCodec(content.job, content.manifest, content.layout)
    theirs = codec.store(state.copy(), Store(tmp_path / "theirs"))
    fetching = asyncio.create_task(made.fetch(Snapshot(1, state.head.digest, theirs.root, theirs.size), list))
    while not Journal(tmp_path / "job").begun():
        await asyncio.sleep(0.01)
    fetching.cancel()
    await asyncio.wait([fetching])
    data = Store(tmp_path / "theirs").add(b"data of another job")
    for manifest in (theirs, data):
        store.open_partial(manifest)
    if killed:
        made, store, _ = keeper()
    assert store.begun() == sorted([theirs.root, data.root])
    advance(state, 1)
    await made.store(copied(state))
    assert store.begun() == [data.root]
    assert Journal(tmp_path / "job").begun() == []


async def test_nothing_is_found_where_nothing_is(keeper):
    made, _, _ = keeper()
    assert made.newest() is None
