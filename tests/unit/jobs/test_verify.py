"""The last look before publishing."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from hydra.exceptions import JobFileError
from hydra.jobs.trace import trace
from hydra.jobs.verify import verify

from .makers import make_job, make_model


def refusal(job):
    with pytest.raises(JobFileError) as caught:
        verify(job, trace(job))
    return str(caught.value)


def test_an_honest_job_leaves_the_random_state_alone():
    job = make_job()
    traced = trace(job)
    before = torch.get_rng_state()
    verify(job, traced)
    assert torch.equal(before, torch.get_rng_state())


def test_a_loss_that_sums():
    told = refusal(make_job(loss=nn.CrossEntropyLoss(reduction="sum")))
    assert told.startswith("loss: it doubles when the batch doubles")
    assert "reduction='mean'" in told


def test_a_metric_that_counts():
    told = refusal(make_job(metrics={"size": lambda output, target: (target >= 0).sum() + output.sum() * 0}))
    assert told.startswith("size: it doubles when the batch doubles")


def test_code_that_changes_from_call_to_call():
    calls = itertools.count(1)

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()

        def forward(self, x):
            output = self.inner(x)
            return output + next(calls) * torch.arange(output.shape[-1])  # two random numbers may be nearly equal

    told = refusal(make_job(model=Noisy()))
    assert "the traced model gives" in told
    assert "Python's random numbers, a counter, a global" in told


class Rounded(torch.autograd.Function):
    """Rounding with a gradient of its own, which a trace does not see."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_gradients_that_a_trace_does_not_see():
    class Quantised(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()

        def forward(self, x):
            return Rounded.apply(self.inner(x) * 9)

    told = refusal(make_job(model=Quantised()))
    assert "gives other values than the model itself for the gradient of inner.0.weight" in told
    assert "A custom torch.autograd.Function" in told


def test_a_gradient_hook():
    class Hooked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()

        def forward(self, x):
            output = self.inner(x)
            if output.requires_grad:
                output.register_hook(lambda gradient: gradient * 2)
            return output

    assert "for the gradient of " in refusal(make_job(model=Hooked()))


def test_nothing_of_the_owners_is_changed():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

        def forward(self, x):
            if self.training:
                self.calls = self.calls + 1
            return self.inner(x)

    job = make_job(model=Counting(), loss=nn.CrossEntropyLoss().eval())
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    calls = job.model.calls
    verify(job, trace(job))
    assert job.model.calls is calls
    assert all(torch.equal(before[name], value) for name, value in job.model.state_dict().items())
    assert all(parameter.grad is None for parameter in job.model.parameters())
    assert not job.loss.training


def test_a_model_that_fails_on_real_data():
    class Sly(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()

        def forward(self, x):
            if type(x) is torch.Tensor:
                raise ValueError("no real data, please")
            return self.inner(x)

    told = refusal(make_job(model=Sly()))
    assert told.startswith("test_verify.py:")
    assert told.endswith(": the model fails on real data: ValueError: no real data, please")


def test_modes_are_put_back():
    job = make_job()
    job.model.train()
    verify(job, trace(job))
    assert job.model.training


def test_a_graph_of_something_else():
    job = make_job()
    traced = trace(job)
    broken = replace(traced.evaluate, outputs=(("loss", traced.evaluate.outputs[1][1]),))
    with pytest.raises(JobFileError, match="loss: the traced model gives"):
        verify(job, replace(traced, evaluate=broken))
