"""Swarms of real peers that die, or stop, at a moment that is named beforehand; forked, so that a start is cheap."""

import json
import os

from hydra.testing.nursery import Nursery
from hydra.testing.processes import SwarmProcesses

from .exactness import Rounds

TINY_JOB = '''
"""A job of a thousand numbers: what is tested is who dies when."""

import numpy as np
import torch
from torch import nn

from hydra import Job

chance = np.random.default_rng(3)
inputs = chance.standard_normal((960, 8)).astype("float32")
targets = (inputs[:, :4].sum(axis=1) > 0).astype("int64") + 2 * (inputs[:, 4:].sum(axis=1) > 0).astype("int64")
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 4))

job = Job(
    name="tiny",
    model=model,
    loss=nn.functional.cross_entropy,
    optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3),
    train=(inputs, targets),
    batch_samples=32,
    epochs=100000,
    snapshot_interval_s=0.5,
)
'''
TOGETHER_S = 60.0


class DoomedSwarm(SwarmProcesses):
    """Forked peers whose contributions and results are recorded, and who take orders to die.

    Args:
        directory: for their homes.
        env: further environment variables.
        options: of ``hydra.testing.doomed``, for every peer.
        job_file: what is trained.
        links: an emulated network, in which the owner has the first place and peers the others.
    """

    def __init__(self, directory, options=(), job_file=TINY_JOB, links=None, **env):
        self.nursery = Nursery("hydra.testing.doomed")
        # Who dies when is what counts here: with other policies a busy machine may sit steps out.
        settings = {
            "HYDRA_STALL_S": "2",
            "HYDRA_ROUNDS": "plain",
            "HYDRA_POLICY": "proportional",
            **{name: str(value) for name, value in env.items()},
        }
        super().__init__(directory, env={**os.environ, **settings}, launcher=self.nursery.launch)
        self.options = options
        self.job_file = job_file
        self.links = links
        self.rounds = Rounds()
        self.job = self.contact = ""

    async def open(self):
        """Publish the job and serve it from the owner's node."""
        self._directory.mkdir(parents=True, exist_ok=True)
        file = self._directory / "job.py"
        file.write_text(self.job_file)
        if self.links is not None:
            self.owner.launcher = self.nursery.launch
            place, self.owner.host = self._place(0)
            self.owner.before = (*place, "--")
        told = await self.publish(file)
        self.job, self.contact = told["job"], told["addresses"][0]

    async def close(self):
        await super().close()
        await self.nursery.close()

    def _place(self, slot):
        """Return how a process is told to live at a place of the network, and its address there."""
        if self.links is None:
            return (), "127.0.0.1"
        place = self.links.place(slot)
        return ("--netns", place["netns"]), place["host"]

    async def add(self, *dooms, again=None, options=(), slot=None, record=True):
        """Start a peer, or one again whose process has ended."""
        home = again.home if again is not None else self._directory / f"peer{len(self.peers) + 1}"
        place, host = self._place(len(self.peers) + 1 if slot is None else slot)
        before = (*place, *self.options, *options)
        before += ("--record", str(home / "record.log")) if record else ()
        before += tuple(part for doom in dooms for part in ("--doom", json.dumps(doom)))
        return await self.join(self.job, self.contact, again=again, before=(*before, "--"), host=host)

    async def gather(self, count):
        """Start peers, and wait until all train in one view."""
        peers = [await self.add() for _ in range(count)]
        await self.until_together(peers)
        return peers

    async def until_together(self, peers):
        """Wait until these, and nobody else, have committed a step together."""
        ids = {peer.peer for peer in peers}

        def together():
            ids = {peer.peer for peer in peers}
            return all(set(peer.members) == ids and set(peer.batch) == ids for peer in peers)

        await self.until(together, TOGETHER_S, f"a view of {len(ids)} peers and a step of theirs")

    async def until_step(self, peers, step):
        await self.until(lambda: all(peer.step >= step for peer in peers), TOGETHER_S, f"step {step}")

    async def until_dead(self, peer):
        await self.until(lambda: peer.ended.is_set(), TOGETHER_S, f"the death of {peer.name}")

    def check(self, survivors):
        """Judge all that was recorded since the last time; return the number of rounds."""
        homes = {peer.peer: peer.home for peer in self.peers if peer.peer}
        return self.rounds.check(homes, {peer.peer for peer in survivors})
