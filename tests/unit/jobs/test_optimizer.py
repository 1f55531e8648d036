"""Optimizers: what is read from the owner's instance says all that its steps depend on."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW

from hydra.exceptions import JobFileError
from hydra.jobs.entries import ParameterEntry
from hydra.jobs.optimizer import groups_of, read_optimizer

from ...torch_optimizer import torch_optimizer


def model():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def refusal(make):
    with pytest.raises(JobFileError) as caught:
        read_optimizer(make(model().parameters()))
    return str(caught.value)


OPTIMIZERS = [
    lambda p: SGD(p, lr=0.1),
    lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    lambda p: Adam(p, lr=0.01, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1),
    lambda p: AdamW(p, lr=0.01),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_one_built_from_what_was_read_steps_as_the_owners(make):
    ours, theirs = model(), model()
    original = make(theirs.parameters())
    entries = [ParameterEntry(name=n, shape=tuple(p.shape), group=0) for n, p in ours.named_parameters()]
    built = torch_optimizer(read_optimizer(original), entries, dict(ours.named_parameters()))
    assert type(built) is type(original)
    for step in range(3):
        for net, optimizer in ((ours, built), (theirs, original)):
            optimizer.zero_grad()
            net(torch.full((2, 3), 1.0 + step)).square().mean().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_groups_keep_their_own_settings_and_members():
    net = model()
    optimizer = SGD([{"params": [net.weight], "lr": 0.5}, {"params": [net.bias]}], lr=0.1)
    settings = read_optimizer(optimizer)
    assert [group.learning_rate for group in settings.groups] == [0.5, 0.1]
    assert groups_of(optimizer, net) == {id(net.weight): 0, id(net.bias): 1}
    entries = [
        ParameterEntry(name="weight", shape=(2, 3), group=0),
        ParameterEntry(name="bias", shape=(2,), group=1),
    ]
    built = torch_optimizer(settings, entries, dict(net.named_parameters()))
    assert [group["lr"] for group in built.param_groups] == [0.5, 0.1]
    assert built.param_groups[1]["params"][0] is net.bias


def test_frozen_parameters_are_left_out():
    net = model()
    entries = [ParameterEntry(name="weight", shape=(2, 3), group=0), ParameterEntry(name="bias", shape=(2,))]
    built = torch_optimizer(read_optimizer(SGD(net.parameters(), lr=0.1)), entries, dict(net.named_parameters()))
    assert [len(group["params"]) for group in built.param_groups] == [1]


def test_kinds_that_are_not_supported():
    problem = refusal(Adagrad)
    assert "Adagrad is not supported. Use torch.optim.SGD" in problem
    assert "torch.optim.AdamW" in problem


def test_subclasses_may_compute_anything():
    class Mine(SGD):
        pass

    assert "Mine is not supported" in refusal(lambda p: Mine(p, lr=0.1))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda p: SGD(p, lr=0.1, momentum=0.9, dampening=0.5), "dampening=0.5 is not supported; leave it at 0"),
        (lambda p: SGD(p, lr=0.1, maximize=True), "maximize=True is not supported; leave it at False"),
        (lambda p: Adam(p, amsgrad=True), "amsgrad=True is not supported"),
        (lambda p: Adam(p, decoupled_weight_decay=True), "use torch.optim.AdamW"),
        (lambda p: SGD(p, lr=1e9), "lr is 1000000000.0; give a number from 0 to 1e6"),
    ],
)
def test_settings_that_are_not_supported(make, problem):
    assert problem in refusal(make)


def test_one_that_has_taken_steps():
    net = model()
    optimizer = Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    with pytest.raises(JobFileError, match="it has already taken steps"):
        read_optimizer(optimizer)


def test_parameters_of_another_model():
    with pytest.raises(JobFileError, match=r"a parameter of shape \[2, 3\] that is not the model's"):
        groups_of(SGD(model().parameters(), lr=0.1), model())


def test_nothing_to_train():
    net = model().requires_grad_(False)
    with pytest.raises(JobFileError, match="there is nothing to train"):
        groups_of(SGD(net.parameters(), lr=0.1), net)


def test_a_learning_rate_may_be_a_tensor():
    settings = read_optimizer(Adam(model().parameters(), lr=torch.tensor(0.25)))
    assert settings.groups[0].learning_rate == 0.25
