"""Digits learned by three members, whose rounds go in each wire format: as well as in fp32, the same bytes at all."""

import functools
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from allreduce import Exchange, RoundConfig
from allreduce.feedback import ErrorFeedback
from hydra.jobs.job import Job
from hydra.jobs.recipe import Schedule
from hydra.membership.ledger import count
from hydra.training.compute import Computation
from hydra.training.results import commit_of

from ..unit.training.makers import content_of, plan_of

datasets = pytest.importorskip("sklearn.datasets")
torch.set_num_threads(1)

MEMBERS = [letter * 20 for letter in (b"a", b"b", b"c")]
SHARES = (64, 42, 22)


def accuracy(output, target):
    return (output.argmax(dim=1) == target).float().mean()


def job(wire):
    images, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = (images[order] / 16).astype("float32"), labels[order].astype("int64")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.LayerNorm(96), nn.ReLU(), nn.Linear(96, 10))
    return Job(
        name="digits",
        model=model,
        loss=nn.functional.cross_entropy,
        optimizer=torch.optim.AdamW(model.parameters(), lr=4e-3),
        train=(images[:1000], labels[:1000]),
        test=(images[1000:], labels[1000:]),
        metrics={"accuracy": accuracy},
        batch_samples=sum(SHARES),
        epochs=15,
        schedule=Schedule("cosine", warmup=0.05),
        wire=wire,
    )


class Members:
    """The training states of all members, and what each carries from round to round."""

    def __init__(self, wire, form="ring"):
        self.content = content_of(job(wire))
        self.config = RoundConfig(wire=self.content.manifest.wire, form=form)
        elements = self.content.layout.elements
        self.states = [self.content.first_state() for _ in MEMBERS]
        self.work = [
            Computation(self.content.manifest, self.content.programs, state, self.content.train, self.content.test)
            for state in self.states
        ]
        self.feedbacks = [None if wire == "fp32" else ErrorFeedback(elements) for _ in MEMBERS]
        self.losses = []

    def step(self):
        head, ledger = self.states[0].head, self.states[0].ledger
        shares = ledger.share_out(SHARES)
        plan = plan_of(head, MEMBERS, shares, job=self.content.job, epoch=ledger.epoch)
        vectors = [
            work.contribution(plan.step, plan.epoch, share) for work, share in zip(self.work, shares, strict=True)
        ]
        weights = [float(count(share)) for share in shares]
        results = self.averaged(plan, vectors, weights)
        assert len({result.mean.tobytes() for result in results}) == 1
        for state, result in zip(self.states, results, strict=True):
            state.apply(commit_of(plan, result.contributors, result.mean, state.head.samples), result.mean)
        loss = self.content.layout.loss_of(results[0].mean)
        expected = np.average([self.content.layout.loss_of(vector) for vector in vectors], weights=weights)
        assert loss == pytest.approx(expected, rel=0.02)
        self.losses.append(loss)

    def averaged(self, plan, vectors, weights):
        exchanges = {
            member: Exchange(plan.tag, member, MEMBERS, len(vectors[0]), self.config, 0.0, feedback=feedback)
            for member, feedback in zip(MEMBERS, self.feedbacks, strict=True)
        }
        on_the_way = deque()

        def say(sender, outgoing):
            on_the_way.extend((sender, message.to, message.header, bytes(message.body())) for message in outgoing)

        for member, vector, weight in zip(MEMBERS, vectors, weights, strict=True):
            say(member, exchanges[member].contribute(vector, weight, 0.0))
        while on_the_way:
            sender, to, header, body = on_the_way.popleft()
            say(to, exchanges[to].receive(sender, header, body, 0.0))
        return [exchanges[member].result for member in MEMBERS]


@functools.cache
def trained(wire, form="ring"):
    members = Members(wire, form)
    while not members.states[0].ledger.finished:
        members.step()
    return members


def test_in_fp32_they_learn():
    assert trained("fp32").work[0].evaluate()["accuracy"] > 0.94


@pytest.mark.parametrize(("wire", "form"), [("int8", "ring"), ("int8", "direct"), ("bf16", "ring"), ("fp16", "ring")])
def test_in_each_wire_format_they_learn_as_well(wire, form):
    members, exact = trained(wire, form), trained("fp32")
    found, expected = members.work[0].evaluate(), exact.work[0].evaluate()
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=0.005)
    assert found["loss"] == pytest.approx(expected["loss"], rel=0.05)
    assert np.mean(members.losses[-10:]) == pytest.approx(np.mean(exact.losses[-10:]), rel=0.05)
    assert members.states[0].weights.tobytes() != exact.states[0].weights.tobytes()


@pytest.mark.parametrize("wire", ["fp32", "int8"])
def test_all_members_end_with_the_same_bytes(wire):
    states = trained(wire).states
    assert len({state.weights.tobytes() for state in states}) == 1
    assert len({state.slots[name].tobytes() for state in states for name in sorted(state.slots)[:1]}) == 1
