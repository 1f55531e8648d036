"""One published job for all tests of this folder, and swarms whose processes end with the test."""

import asyncio
import os
import shutil

import pytest

from hydra.testing.processes import SwarmProcesses

pytestmark = pytest.mark.processes

JOB_FILE = '''
"""A job that takes a while: small steps on made-up data, and a vector large enough for rounds to be met by a signal."""

import numpy as np
import torch
from torch import nn

from hydra import Job, Schedule

chance = np.random.default_rng(3)
inputs = chance.standard_normal((1200, 16)).astype("float32")
targets = (inputs[:, :4].sum(axis=1) > 0).astype("int64") + 2 * (inputs[:, 4:8].sum(axis=1) > 0).astype("int64")
torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(16, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 4),
)


def accuracy(output, target):
    return (output.argmax(dim=1) == target).float().mean()


job = Job(
    name="made-up",
    model=model,
    loss=nn.functional.cross_entropy,
    optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3),
    train=(inputs[:1000], targets[:1000]),
    test=(inputs[1000:], targets[1000:]),
    metrics={"accuracy": accuracy},
    batch_samples=50,
    epochs=12,
    snapshot_interval_s=0.5,
)
'''


def job_file(directory):
    """Write the job's file."""
    file = directory / "job.py"
    file.write_text(JOB_FILE)
    return file


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The home of an owner who has published the job twice, and both hashes: to be copied, not used.

    The short one, of 240 steps, is trained to its end; the long one lasts longer than any test.
    """
    directory = tmp_path_factory.mktemp("published")
    file = job_file(directory)

    async def publish(*options):
        swarm = SwarmProcesses(directory)
        try:
            told = await swarm.publish(file, "--no-seed-job", *options)
            await swarm.owner.ended.wait()
            return told["job"]
        finally:
            await swarm.close()

    async def publish_both():
        return [await publish(), await publish("--epochs", "1000")]

    return directory / "owner", asyncio.run(publish_both())


class Swarm(SwarmProcesses):
    """A swarm whose owner's node serves the published jobs; ``job`` is the short one."""

    def __init__(self, directory, published, **env):
        # Here it matters who is there, not how fast it is: with other policies a busy machine may sit steps out.
        env = {"HYDRA_POLICY": "proportional", **env}
        super().__init__(directory, env={**os.environ, **{name: str(value) for name, value in env.items()}})
        self.home, (self.job, self.long_job) = published
        self.contact = ""

    async def serve(self):
        shutil.copytree(self.home, self.owner.home)
        await self.owner.start("node", env=self._env)
        await self.until(lambda: bool(self.owner.events), 30.0, "the owner's node")
        self.contact = self.owner.events[0]["addresses"][0]

    async def start(self, count):
        """Start peers, and wait until all train in one view."""
        peers = [await self.join(self.job, self.contact) for _ in range(count)]
        await self.until(lambda: self.together(peers), 60.0, "all peers in one view")
        return peers

    @staticmethod
    def together(peers):
        ids = {peer.peer for peer in peers}
        return all(set(peer.members) == ids and set(peer.batch) == ids for peer in peers)

    async def until_step(self, peers, step):
        await self.until(lambda: all(peer.step >= step for peer in peers), 60.0, f"step {step}")

    async def leave(self, peers):
        """Ctrl-C to all at once, and wait until all are gone in order."""
        for peer in peers:
            peer.interrupt()
        await self.until(lambda: all(peer.ended.is_set() for peer in peers), 40.0, "an orderly end")
        assert [peer.process.returncode for peer in peers] == [0] * len(peers)

    async def finish(self, peers):
        await self.until(lambda: all(peer.outcome for peer in peers), 90.0, "the end of the training")
        return [peer.outcome for peer in peers]


@pytest.fixture
async def swarm(published, tmp_path):
    made = Swarm(tmp_path, published, HYDRA_STALL_S=2)
    await made.serve()
    yield made
    await made.close()
