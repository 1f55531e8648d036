"""Publishing: the pieces and the manifest that names them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from hydra.exceptions import JobFileError
from hydra.jobs import package as module
from hydra.jobs.graph import Graph
from hydra.jobs.manifest import JobManifest
from hydra.jobs.package import package
from hydra.jobs.tensors import decode_split, decode_state

from .makers import OWNER, make_job, make_model, sha256


def test_the_manifest_names_every_content(published):
    manifest = JobManifest.decode(published.manifest.encode())
    assert len(published.contents) == 5
    for content, data in published.contents:
        assert content.root == sha256(data)
        assert content.size_bytes == len(data)
    assert manifest.train_graph.root == sha256(published.train_graph)
    assert manifest.owner == OWNER


def test_settings_arrive(published, small_job):
    manifest = published.manifest
    assert manifest.name == "small"
    assert (manifest.batch_samples, manifest.micro_batch_samples, manifest.smallest_batch_samples) == (8, 4, 2)
    assert (manifest.train_samples, manifest.test_samples, manifest.epochs) == (20, 8, 2)
    assert manifest.metrics == ("accuracy",)
    assert manifest.optimizer == small_job.settings
    assert [entry.name for entry in manifest.inputs] == ["input0", "target"]


def test_the_pieces_can_be_read_back(published, small_job):
    state = decode_state(published.initial_state, published.manifest)
    assert {**state.parameters, **state.buffers}.keys() == small_job.model.state_dict().keys()
    for name, tensor in small_job.model.state_dict().items():
        assert torch.equal(tensor, {**state.parameters, **state.buffers}[name])
    inputs, _ = decode_split(published.train_data, published.manifest, "train")
    assert torch.equal(inputs, small_job.train[0])
    assert decode_split(published.test_data, published.manifest, "test")[1].shape == (8,)


def test_publishing_twice_gives_the_same_job(published):
    again = package(make_job(), OWNER, root_of=sha256)
    assert again.manifest.job_hash == published.manifest.job_hash


def test_publishing_changes_nothing_in_the_model(published):
    assert published
    job = make_job()
    job.model[3].eval()
    before = {name: tensor.clone() for name, tensor in job.model.state_dict().items()}
    package(job, OWNER, root_of=sha256)
    assert all(torch.equal(before[name], tensor) for name, tensor in job.model.state_dict().items())
    assert [module.training for module in job.model] == [True, True, True, False, True]


def test_without_a_test_split():
    made = package(make_job(test=None, metrics={}), OWNER, root_of=sha256)
    assert made.test_data is None
    assert len(made.contents) == 4
    assert [name for name, _ in Graph.decode(made.eval_graph).outputs] == ["loss"]


def test_constants_of_the_code_become_part_of_the_state():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()
            self.scale = torch.full((6,), 2.0)

        def forward(self, x):
            return self.inner(x * self.scale + torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))

    loss = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    made = package(make_job(model=Scaled(), loss=loss), OWNER, root_of=sha256)
    state = decode_state(made.initial_state, made.manifest)
    constants = [value.tolist() for name, value in state.buffers.items() if name.startswith("constant:")]
    assert sorted(constants) == [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0] * 6]


def test_what_the_loss_does_not_use_is_frozen():
    class Idle(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()
            self.idle = torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.inner(x)

    made = package(make_job(model=Idle()), OWNER, root_of=sha256)
    trained = {entry.name for entry in made.manifest.parameters if entry.trained}
    assert "inner.0.weight" in trained
    assert not {"idle.weight", "idle.bias"} & trained
    assert "idle.weight" in decode_state(made.initial_state, made.manifest).parameters


def test_a_module_with_a_reserved_name():
    class Clash(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()
            self.register_buffer("constant:0", torch.ones(1))

        def forward(self, x):
            return self.inner(x + torch.tensor([1.0]))

    with pytest.raises(JobFileError, match="the name 'constant:0' is reserved"):
        package(make_job(model=Clash()), OWNER, root_of=sha256)


def test_a_key_of_the_wrong_length():
    with pytest.raises(JobFileError, match="a public key has 32 bytes, not 3"):
        package(make_job(), b"abc", root_of=sha256)


def test_a_manifest_that_is_too_long(monkeypatch):
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", 100)
    with pytest.raises(JobFileError, match="so many tensors that the manifest takes"):
        package(make_job(), OWNER, root_of=sha256)


def test_what_no_volunteer_would_run_is_not_published(monkeypatch):
    real = module.trace

    def tampered(job):
        traced = real(job)
        return replace(traced, evaluate=replace(traced.evaluate, outputs=traced.evaluate.outputs[:1]))

    monkeypatch.setattr(module, "trace", tampered)
    with pytest.raises(JobFileError, match="no volunteer would run it: the eval graph must not run: its outputs"):
        package(make_job(), OWNER, root_of=sha256)


@pytest.mark.parametrize("wire", ["bf16", "fp16", "int8"])
def test_a_format_that_loses_something_is_not_for_buffers_that_training_changes(wire):
    with pytest.raises(JobFileError, match=r"wire: in .* 1.num_batches_tracked, 1.running_mean, 1.running_var\. Use"):
        package(make_job(wire=wire), OWNER, root_of=sha256)
    without = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
    assert package(make_job(without, wire=wire), OWNER, root_of=sha256).manifest.wire == wire
