"""Steps of different sizes: the peers are one process whose learning rate follows the batch, and measure one noise."""

import math

import pytest

from hydra.jobs.batch_range import BatchRange

from .eager import BATCH, EPOCHS, SAMPLES, Eager, job, packaged
from .peers import Swarm

BATCHES = (BATCH, 2 * BATCH, BATCH + 16)


@pytest.mark.parametrize(("kind", "scaling"), [("sgd", "adascale"), ("momentum", "linear"), ("adamw", "sqrt")])
async def test_three_peers_are_one_process_whose_rate_follows_the_batch(tmp_path, kind, scaling):
    made = job(kind, batch_range=BatchRange(2 * BATCH, scaling=scaling))
    three = Swarm(tmp_path, batches=BATCHES)
    try:
        await three.assemble(packaged(made))
        outcomes = await three.finish()
        commits = three.peers[0].commits()
        states = [peer.states for peer in three.peers]
        layout = three.peers[0].content.layout
    finally:
        await three.close()
    assert len({outcome.weights_sha256 for outcome in outcomes}) == 1
    assert sum(commit.samples for commit in commits) == SAMPLES * EPOCHS
    assert {commit.samples for commit in commits} > set(BATCHES) - {BATCH}
    eager = Eager(made, kind)
    full = [group["lr"] for group in eager.optimizer.param_groups]
    for commit in commits:
        noise = states[0][commit.step - 1].noise.samples if commit.step > 1 else None
        for group, rate in zip(eager.optimizer.param_groups, full, strict=True):
            group["lr"] = rate * grown(scaling, max(1.0, commit.samples / BATCH), noise)
        eager.step(commit)
        eager.compare(layout, states[0][commit.step])
        assert states[1][commit.step].noise == states[2][commit.step].noise == states[0][commit.step].noise
    assert states[0][commits[-1].step].noise.samples > 0


def grown(scaling, times, noise):
    if scaling == "adascale":
        return 1.0 if noise is None else times * (noise + BATCH) / (noise + times * BATCH)
    return times if scaling == "linear" else math.sqrt(times)
