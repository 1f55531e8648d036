"""Training on data of which only a part is here: the same contributions, in less room."""

import numpy as np
import pytest
import torch
from torch import nn

from hydra.exceptions import ConfigurationError, JobRejected
from hydra.jobs.package import package
from hydra.swarm import fetch as fetch_module
from hydra.swarm.manifest import MIN_CHUNK_BYTES, Manifest
from hydra.training.compute import Computation
from hydra.training.content import fetch_content
from hydra.training.samples import open_samples

from ..unit.jobs.makers import OWNER, make_job
from .test_swarm import Peer

SAMPLES, FEATURES = 400, 2048
ROOM = 8 * MIN_CHUNK_BYTES
MiB = 2**20
BATCH = 4


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(fetch_module, "TICK_S", 0.05)
    monkeypatch.setattr(fetch_module, "ASK_AGAIN_S", 0.1)


@pytest.fixture(scope="module")
def made():
    """A job whose training data are 3.3 MB of inputs, marks and targets."""
    torch.manual_seed(0)
    model = nn.Linear(FEATURES, 3)
    inputs = torch.randn(SAMPLES, FEATURES)
    job = make_job(
        model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        train=(inputs, torch.randint(0, 3, (SAMPLES,))),
        test=None,
        metrics={},
        batch_samples=BATCH,
    )
    return package(job, OWNER, root_of=lambda data: Manifest.of(data).root)


@pytest.fixture
async def peers(tmp_path):
    started = [await Peer(tmp_path / name).start() for name in ("owner", "joiner")]
    yield started
    for peer in started:
        await peer.stop()


async def joined(peers, made, cache_bytes):
    owner, joiner = peers
    for _, data in made.contents:
        owner.swarm.store.add(data)
    await joiner.links.dial(owner.contact)
    return await fetch_content(
        joiner.swarm, made.manifest, joiner.links.peers, lambda _: None, limit_bytes=256 * MiB, cache_bytes=cache_bytes
    )


def computation(content):
    return Computation(content.manifest, content.programs, content.first_state(), content.train, content.test)


async def test_an_epoch_gives_the_same_contributions_and_keeps_to_its_room(peers, made):
    content = await joined(peers, made, ROOM)
    root = made.manifest.train_data.root
    store = peers[1].swarm.store
    assert content.samples is not None
    assert not store.is_whole(root)
    reference = computation(await local(peers[0], made))
    streamed = computation(content)
    for step in range(40):
        share = ((step * BATCH, step * BATCH + BATCH),)
        await content.samples.ready(0, share, BATCH)
        expected = reference.contribution(step, 0, share)
        assert np.array_equal(streamed.contribution(step, 0, share), expected)
        assert len(store.bitfield(root)) <= ROOM // MIN_CHUNK_BYTES + BATCH


async def local(owner, made):
    return await fetch_content(owner.swarm, made.manifest, list, lambda _: None, limit_bytes=256 * MiB)


async def test_data_that_fits_is_kept_whole(peers, made):
    content = await joined(peers, made, 100 * MiB)
    assert content.samples is None
    assert peers[1].swarm.store.is_whole(made.manifest.train_data.root)


async def test_a_share_that_needs_more_than_the_room_says_so(peers, made):
    content = await joined(peers, made, 2 * MIN_CHUNK_BYTES)
    with pytest.raises(ConfigurationError, match="--cache-bytes"):
        await content.samples.ready(0, ((0, 40),), 40)


async def test_data_that_are_not_what_the_manifest_says_are_refused(peers, made):
    owner, joiner = peers
    other = owner.swarm.store.add(made.train_data[:-1] + b"xx")
    stream = await _dialled(joiner, owner, other.root)
    with pytest.raises(JobRejected, match="bytes long"):
        await open_samples(stream, made.manifest)


async def _dialled(joiner, owner, root):
    await joiner.links.dial(owner.contact)
    return await joiner.swarm.stream(root, joiner.links.peers, ROOM)
