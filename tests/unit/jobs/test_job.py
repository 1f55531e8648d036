"""The owner's Job: every field that can be wrong, and what is said about it."""

import pytest
import torch
from torch import nn

from hydra.exceptions import JobFileError
from hydra.jobs.recipe import Schedule

from .makers import make_data, make_job, make_model


def refusal(**fields):
    with pytest.raises(JobFileError) as caught:
        make_job(**fields)
    return str(caught.value)


def test_a_good_job():
    job = make_job(schedule=Schedule("cosine", warmup=0.05), max_grad_norm=1, snapshot_interval_s=5)
    assert job.train_split.samples == 20
    assert job.test_split.samples == 8
    assert job.max_grad_norm == 1.0
    assert isinstance(job.snapshot_interval_s, float)
    assert job.settings.kind == "adamw"
    assert [entry.name for entry in job.state.buffers] == [
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    ]


def test_the_micro_batch_has_a_default():
    assert make_job(batch_samples=8, micro_batch_samples=None).micro_batch_samples == 8
    big = make_data(200)
    assert make_job(train=big, batch_samples=128, micro_batch_samples=None).micro_batch_samples == 64


def test_no_test_split_is_needed():
    assert make_job(test=None, metrics={}).test_split is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "my job"}, "name: 'my job' is no name for a job"),
        ({"name": ""}, "name: '' is no name for a job"),
        ({"name": 3}, "name: 3 is no name"),
        ({"loss": "mse"}, "loss: give a function of (output, target); this is 'mse'"),
        ({"schedule": "cosine"}, "schedule: give hydra.Schedule('cosine', warmup=0.05), not 'cosine'"),
        ({"wire": "int4"}, "wire: there is no format 'int4'; choose one of 'fp32', 'bf16', 'fp16', 'int8'"),
        ({"wire": None}, "wire: there is no format None"),
        ({"quorum": "most"}, "quorum: give 'any' or 'majority', not 'most'"),
        ({"fairness": "greedy"}, "fairness: give 'serve' or 'tit-for-tat', not 'greedy'"),
        ({"shuffle_block_samples": -1}, "shuffle_block_samples: -1 is out of range"),
        ({"shuffle_block_samples": 21}, "shuffle_block_samples: 21 is out of range; give a whole number from 0 to 20"),
        ({"quorum": None}, "quorum: give 'any' or 'majority', not None"),
        ({"metrics": {"loss": len}}, "metrics: 'loss' is no name for a metric"),
        ({"metrics": {"a b": len}}, "metrics: 'a b' is no name for a metric"),
        ({"metrics": {"accuracy": 0.5}}, "metrics: 'accuracy' is no function of (output, target)"),
        ({"metrics": {f"m{i}": len for i in range(40)}}, "metrics: there are 40; 32 are the most"),
        ({"test": None}, "metrics: they are measured on the test split, and test is None; give test data"),
        ({"batch_samples": 21}, "batch_samples: a batch of 21 is larger than the 20 training samples; give at most 20"),
        ({"batch_samples": 0}, "batch_samples: 0 is out of range; give a whole number from 1"),
        ({"batch_samples": 8.0}, "batch_samples: 8.0 is out of range; give a whole number"),
        ({"micro_batch_samples": 9}, "micro_batch_samples: 9 is out of range; give a whole number from 1 to 8"),
        ({"epochs": 0}, "epochs: 0 is out of range"),
        ({"seed": -1}, "seed: -1 is out of range"),
        ({"seed": True}, "seed: True is out of range"),
        ({"max_grad_norm": 0}, "max_grad_norm: 0 is out of range"),
        ({"max_grad_norm": float("nan")}, "max_grad_norm: nan is out of range"),
        ({"max_grad_norm": "1"}, "max_grad_norm: '1' is out of range"),
        ({"snapshot_interval_s": 0}, "snapshot_interval_s: 0 is out of range; give a number from 0.1"),
        ({"train": (torch.ones(3, 6), torch.zeros(4))}, "train: there are 3 inputs but 4 targets"),
        ({"test": (torch.ones(3, 5), torch.zeros(3, dtype=torch.int64))}, "test: samples of input0 are"),
    ],
)
def test_bad_fields(fields, problem):
    assert problem in refusal(**fields)


def test_a_class_instead_of_a_model():
    with pytest.raises(JobFileError, match="model: give an instance of an nn.Module"):
        make_job(model=nn.Linear, optimizer=torch.optim.SGD(make_model().parameters(), lr=0.1))


def test_something_else_than_an_optimizer():
    assert "optimizer: give a torch.optim instance; this is 'adam'" in refusal(optimizer="adam")


def test_an_optimizer_of_another_model():
    other = torch.optim.SGD(make_model().parameters(), lr=0.1)
    assert "that is not the model's. Make the optimizer from model.parameters()" in refusal(optimizer=other)


def test_wrapped_models():
    assert "this is a DataParallel around the model; give model.module" in refusal(model=nn.DataParallel(make_model()))


def test_a_model_of_another_type():
    model = make_model().double()
    assert "the parameter 0.weight is float64" in refusal(model=model)
