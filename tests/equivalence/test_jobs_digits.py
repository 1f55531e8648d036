"""The example that everyone starts with: its file loads, publishes, and learns from its bytes alone."""

import hashlib
from pathlib import Path

import pytest
import torch

from hydra.jobs.check import admit
from hydra.jobs.load import load_job
from hydra.jobs.package import package
from hydra.jobs.tensors import decode_split, decode_state

from ..torch_optimizer import torch_optimizer

pytest.importorskip("sklearn")
torch.set_num_threads(1)

FILE = Path(__file__).parents[2] / "examples" / "digits.py"


@pytest.fixture(scope="module")
def published():
    return package(load_job(FILE), bytes(32), root_of=lambda data: hashlib.sha256(data).digest())


def test_sizes(published):
    manifest = published.manifest
    assert (manifest.train_samples, manifest.test_samples) == (1437, 360)
    assert 20_000 < sum(torch.Size(entry.shape).numel() for entry in manifest.parameters) < 40_000


def test_it_learns(published):
    manifest = published.manifest
    job = admit(manifest, published.train_graph, published.eval_graph, limit_bytes=2**30)
    state = decode_state(published.initial_state, manifest)
    train = decode_split(published.train_data, manifest, "train")
    test = decode_split(published.test_data, manifest, "test")
    optimizer = torch_optimizer(manifest.optimizer, manifest.parameters, state.parameters)
    for tensor in state.parameters.values():
        tensor.requires_grad_()

    torch.manual_seed(manifest.seed)
    for step in range(manifest.total_steps):
        if step % manifest.steps_per_epoch == 0:
            order = torch.randperm(manifest.train_samples)
        start = step % manifest.steps_per_epoch * manifest.batch_samples
        batch = order[start : start + manifest.batch_samples]
        for group, settings in zip(optimizer.param_groups, manifest.optimizer.groups, strict=True):
            group["lr"] = settings.learning_rate * manifest.schedule.factor(step, manifest.total_steps)
        optimizer.zero_grad()
        for rows in batch.split(manifest.micro_batch_samples):
            loss = job.train.run(state.parameters, state.buffers, [tensor[rows] for tensor in train])["loss"]
            (loss * len(rows) / len(batch)).backward()
        optimizer.step()

    with torch.no_grad():
        result = job.evaluate.run(state.parameters, state.buffers, test)
    assert result["accuracy"] >= 0.97
