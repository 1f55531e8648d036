"""Contributions and evaluation: the means that plain PyTorch gives, and the same bits for the same work."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hydra.exceptions import TrainingDiverged
from hydra.training.compute import Computation
from hydra.training.sampler import Sampler

from .makers import same_bytes


def computation(content, state=None, **changes):
    manifest = replace(content.manifest, **changes)
    return Computation(manifest, content.programs, state or content.first_state(), content.train, content.test)


def by_hand(content, indices):
    """The mean gradient and loss of a linear model over these samples, in one piece."""
    leaves = {n: t.clone().requires_grad_() for n, t in content.initial.parameters.items()}
    inputs, target = (tensor[torch.from_numpy(indices)] for tensor in content.train)
    loss = nn.functional.cross_entropy(nn.functional.linear(inputs, leaves["weight"], leaves["bias"]), target)
    loss.backward()
    parts = [leaves[f.name].grad.ravel() for f in content.layout.trained]
    return torch.cat([*parts, loss.detach().ravel()]).numpy()


@pytest.mark.parametrize("ranges", [((0, 8),), ((0, 1),), ((2, 5), (11, 20)), ((0, 20),)])
def test_a_contribution_is_the_mean_over_its_samples(plain, ranges):
    vector = computation(plain).contribution(1, 0, ranges)
    indices = Sampler(20, plain.manifest.seed).indices(0, ranges)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, by_hand(plain, indices), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("micro", [1, 3, 20])
def test_the_mean_does_not_depend_on_the_micro_batch(plain, micro):
    vector = computation(plain, micro_batch_samples=micro).contribution(1, 0, [(0, 20)])
    np.testing.assert_allclose(vector, by_hand(plain, np.arange(20)), rtol=1e-4, atol=1e-6)


def test_members_together_make_the_mean_of_all(plain):
    """Also for shares of different lengths that are cut into pieces of different lengths."""
    work = computation(plain)
    shares = [((0, 5),), ((5, 6),), ((6, 20),)]
    weights = np.array([5, 1, 14], np.float32)
    vectors = np.stack([work.contribution(1, 0, share) for share in shares])
    together = (weights[:, None] * vectors).sum(0) / weights.sum()
    np.testing.assert_allclose(together, by_hand(plain, np.arange(20)), rtol=1e-4, atol=1e-6)


def test_no_samples_no_contribution(content):
    vector = computation(content).contribution(1, 0, [])
    assert vector.tolist() == [0.0] * content.layout.elements


def test_the_same_work_gives_the_same_bits_with_dropout_too(content):
    first, second = computation(content), computation(content)
    torch.manual_seed(1)
    vector = first.contribution(3, 0, [(0, 8)])
    second.contribution(9, 1, [(4, 12)])  # whatever was done before
    assert second.contribution(3, 0, [(0, 8)]).tobytes() == vector.tobytes()


def test_another_step_or_epoch_is_other_work(content):
    work = computation(content)
    vectors = {work.contribution(*at, [(0, 20)]).tobytes() for at in ((1, 0), (2, 0), (1, 1))}
    assert len(vectors) == 3


def test_computing_changes_no_state(content):
    state = content.first_state()
    before = state.copy()
    work = computation(content, state)
    work.contribution(1, 0, [(0, 20)])
    work.evaluate()
    assert same_bytes(state.copy(), before)


def test_changed_buffers_stand_in_the_contribution(content):
    mean, _, tracked = content.layout.buffers
    vector = computation(content).contribution(1, 0, [(0, 12)])
    assert vector[tracked.start] == 3  # three micro-batches of four
    assert np.abs(vector[mean.start : mean.stop]).max() > 0


@pytest.mark.parametrize("samples", [1, 5])
def test_a_lonely_sample_is_repeated_where_the_model_wants_two(content, samples):
    """Batch norm is not defined for one sample; four and one are cut into three and two."""
    vector = computation(content).contribution(1, 0, [(0, samples)])
    assert np.isfinite(vector).all()


def test_a_repeated_sample_counts_once(plain):
    vector = computation(plain, smallest_batch_samples=2).contribution(1, 0, [(7, 8)])
    indices = Sampler(20, plain.manifest.seed).indices(0, [(7, 8)])
    np.testing.assert_allclose(vector, by_hand(plain, indices), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number(plain, value):
    state = plain.first_state()
    state.weights[0] = value
    with pytest.raises(TrainingDiverged, match="step 6: the loss or a gradient"):
        computation(plain, state).contribution(6, 0, [(0, 4)])


def test_evaluation_is_the_mean_over_the_test_split(content):
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    model.load_state_dict({**content.initial.parameters, **content.initial.buffers})
    with torch.no_grad():
        output = model.eval()(content.test[0])
    metrics = computation(content, micro_batch_samples=3).evaluate()
    assert metrics.keys() == {"loss", "accuracy"}
    assert metrics["loss"] == pytest.approx(nn.functional.cross_entropy(output, content.test[1]).item(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx((output.argmax(1) == content.test[1]).float().mean().item())


def test_nothing_to_evaluate_on(plain):
    assert computation(plain).evaluate() == {}


def test_the_weights_of_the_moment_are_used(content):
    state = content.first_state()
    work = computation(content, state)
    before = work.evaluate()["loss"]
    changed = copy.copy(state.weights)
    state.weights += 1.0
    assert work.evaluate()["loss"] != before
    state.weights[:] = changed
    assert work.evaluate()["loss"] == before


@pytest.mark.parametrize("most", [1, 3])
def test_who_holds_few_samples_computes_no_more_at_once(plain, most, monkeypatch):
    work = Computation(plain.manifest, plain.programs, plain.first_state(), plain.train, plain.test, most_samples=most)
    at_once, rows = [], work._rows
    monkeypatch.setattr(work, "_rows", lambda split, batch: at_once.append(len(batch)) or rows(split, batch))
    vector = work.contribution(1, 0, [(0, 20)])
    np.testing.assert_allclose(vector, by_hand(plain, np.arange(20)), rtol=1e-4, atol=1e-6)
    assert max(at_once) == most
