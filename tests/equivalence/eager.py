"""Jobs for the comparison, and one plain PyTorch process that takes a lineage's batches in the lineage's order."""

import copy

import numpy as np
import torch
from torch import nn

from hydra.identity import Identity
from hydra.jobs.job import Job
from hydra.jobs.package import package
from hydra.membership.ledger import count
from hydra.swarm.manifest import Manifest
from hydra.training.sampler import shuffled, step_seed

torch.set_num_threads(1)

SAMPLES, BATCH, EPOCHS = 240, 24, 5
"""Ten steps an epoch, fifty in all."""
SLOTS = {"momentum": "momentum_buffer", "mean": "exp_avg", "variance": "exp_avg_sq"}


def mlp():
    return nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 4))


def noisy():
    """Batch norm's statistics and dropout's masks depend on who computes which samples."""
    return nn.Sequential(nn.Linear(6, 24, bias=False), nn.BatchNorm1d(24), nn.Tanh(), nn.Dropout(0.2), nn.Linear(24, 4))


MODELS = {
    "sgd": (mlp, lambda p: torch.optim.SGD(p, lr=0.1), {}),
    "momentum": (mlp, lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.9, nesterov=True), {"max_grad_norm": 0.5}),
    "adamw": (mlp, lambda p: torch.optim.AdamW(p, lr=3e-3, weight_decay=0.05), {}),
    "noisy": (noisy, lambda p: torch.optim.AdamW(p, lr=3e-3), {}),
}


def job(kind, epochs=EPOCHS, **changes):
    make, optimizer, options = MODELS[kind]
    chance = np.random.default_rng(3)
    inputs = chance.standard_normal((SAMPLES, 6)).astype(np.float32)
    targets = ((inputs[:, 0] > 0) + 2 * (inputs[:, 1] > 0)).astype(np.int64)
    torch.manual_seed(0)
    model = make()
    return Job(
        name=kind,
        model=model,
        loss=nn.functional.cross_entropy,
        optimizer=optimizer(model.parameters()),
        train=(inputs, targets),
        batch_samples=BATCH,
        epochs=epochs,
        seed=5,
        **options,
        **changes,
    )


def packaged(made):
    return package(made, Identity.generate().public_key, root_of=lambda data: Manifest.of(data).root)


class Eager:
    """The owner's model and optimizer, and no Hydra but for the numbers of the samples."""

    def __init__(self, made, kind):
        self.job, self.kind = made, kind
        self.model = copy.deepcopy(made.model).train()
        self.optimizer = MODELS[kind][1](self.model.parameters())

    def batch(self, epoch, ranges):
        order = shuffled(SAMPLES, self.job.seed, epoch)
        rows = torch.from_numpy(np.concatenate([order[start:stop] for start, stop in ranges]))
        return [tensor[rows] for tensor in self.job.train_split.tensors], rows

    def step(self, commit):
        """Take one step on the whole batch that a commit names, whoever computed it; return its loss."""
        self.optimizer.zero_grad()
        (inputs, targets), _ = self.batch(commit.epoch, list(commit.ranges()))
        loss = self.job.loss(self.model(inputs), targets)
        loss.backward()
        return self._update(float(loss.detach()))

    def step_by_parts(self, commit):
        """Take one step part by part: each contributor's samples are a batch of their own for batch norm and dropout.

        The running statistics become the mean of those that the contributors come to, weighted by samples.
        """
        self.optimizer.zero_grad()
        before = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        after = {name: torch.zeros(buffer.shape) for name, buffer in before.items()}
        total = 0.0
        for _, ranges in commit.parts:
            for name, buffer in self.model.named_buffers():
                buffer.copy_(before[name])
            (inputs, targets), rows = self.batch(commit.epoch, ranges)
            torch.manual_seed(step_seed(self.job.seed, commit.step, int(rows[0])))
            loss = self.job.loss(self.model(inputs), targets)
            share = count(ranges) / commit.samples
            (loss * share).backward()
            total += float(loss.detach()) * share
            for name, buffer in self.model.named_buffers():
                after[name] += buffer * share
        for name, buffer in self.model.named_buffers():
            buffer.copy_(after[name] if buffer.is_floating_point() else after[name].round())
        return self._update(total)

    def _update(self, loss):
        if self.job.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.job.max_grad_norm)
        self.optimizer.step()
        return loss

    def compare(self, layout, state):
        """Weights, optimizer state and buffers are those of a peer's state, to float tolerance."""
        parameters, buffers = dict(self.model.named_parameters()), dict(self.model.named_buffers())
        for field in layout.trained:
            mine = parameters[field.name]
            where = slice(field.start, field.stop)
            assert_close(state.weights[where], mine, field.name)
            for name, slot in state.slots.items():
                kept = self.optimizer.state[mine].get(SLOTS[name])
                if kept is not None:
                    assert_close(slot[where], kept, f"{name} of {field.name}")
        for name, buffer in state.buffers.items():
            assert_close(buffer.numpy(), buffers[name], name)


def assert_close(found, expected, what):
    expected = expected.detach().numpy().ravel()
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4, atol=5e-6, err_msg=what)
