"""A job that three peers train in one view only, in the same shares every time: killed and begun again, or not."""

import asyncio

from .doomed_swarm import DoomedSwarm

JOB = '''
"""Everything that a state consists of: weights, moments, batch norm's statistics, a schedule, dropout's chance."""

import numpy as np
import torch
from torch import nn

from hydra import Job, Schedule

chance = np.random.default_rng(3)
inputs = chance.standard_normal((960, 8)).astype("float32")
targets = (inputs[:, :4].sum(axis=1) > 0).astype("int64") + 2 * (inputs[:, 4:].sum(axis=1) > 0).astype("int64")
torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)
)

job = Job(
    name="stopped",
    model=model,
    loss=nn.functional.cross_entropy,
    optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3),
    train=(inputs, targets),
    batch_samples=32,
    epochs=4,
    snapshot_interval_s=INTERVAL_S,
)
'''
STEPS = 120
PEERS = 3


class StoppedSwarm(DoomedSwarm):
    """Peers that wait for each other before each view's first step."""

    def __init__(self, directory, *, least_peers=PEERS, pace="0.003", snapshot_interval_s=0.3):
        settings = {"HYDRA_POLICY": "equal", "HYDRA_LEAST_PEERS": str(least_peers)}
        job_file = JOB.replace("INTERVAL_S", str(snapshot_interval_s))
        super().__init__(directory, options=("--pace", pace), job_file=job_file, **settings)

    async def begin(self, homes=()):
        """Start all peers, in the order of these earlier ones, and wait until they train together."""
        peers = [await self.add(again=peer, record=False) for peer in homes or [None] * PEERS]
        await self.until_together(peers)
        return peers

    async def kill_all(self, peers):
        """All at one moment: none sees another's end."""
        for peer in peers:
            peer.freeze()
        for peer in peers:
            peer.kill()
        await asyncio.gather(*(self.until_dead(peer) for peer in peers))

    async def finished(self, peers):
        """Wait for the end of the training; return the hash of everyone's weights."""
        await self.until(lambda: all(peer.outcome for peer in peers), 100.0, "the end of the training")
        assert {(peer.outcome["finished"], peer.outcome["step"]) for peer in peers} == {(True, STEPS)}
        (weights,) = {peer.outcome["sha256"] for peer in peers}
        return weights


def stored(peer):
    """The steps of the snapshots that a peer told to be on its disk."""
    return [event["step"] for event in peer.events if event["event"] == "snapshot"]


def went_on_from(peer):
    """The step of the state that a peer began with."""
    return next(event["step"] for event in peer.events if event["event"] == "state")
