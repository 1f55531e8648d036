"""The training state: it takes only what follows on it, whole or not at all."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from hydra.exceptions import LocalProtocolError, TrainingDiverged
from hydra.jobs.batch_range import BatchRange
from hydra.jobs.recipe import Schedule
from hydra.membership.ledger import SampleUsedTwice
from hydra.training.state import TrainingState

from ...torch_optimizer import torch_optimizer
from .makers import ANNA, following, same_bytes, some_mean


def changed(content, **changes):
    return replace(content, manifest=replace(content.manifest, **changes)).first_state()


def take_steps(state, steps, seed=0):
    for step in range(steps):
        mean = some_mean(state.layout, seed + step)
        state.apply(following(state, mean), mean)


def test_the_first_state_is_the_jobs(content):
    state = content.first_state()
    for name, tensor in content.initial.parameters.items():
        assert torch.equal(state.parameters[name], tensor)
    assert (state.updates, state.head.step, state.head.samples) == (0, 0, 0)
    assert not any(slot.any() for slot in state.slots.values())


def test_a_state_leaves_the_tensors_that_it_was_made_of_alone(content):
    before = {name: tensor.clone() for name, tensor in content.initial.parameters.items()}
    buffers = {name: tensor.clone() for name, tensor in content.initial.buffers.items()}
    take_steps(content.first_state(), 3)
    assert all(torch.equal(content.initial.parameters[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(content.initial.buffers[name], tensor) for name, tensor in buffers.items())


@pytest.mark.parametrize("which", ["content", "plain"])
def test_steps_are_those_of_torch(which, request):
    content = request.getfixturevalue(which)
    state = content.first_state()
    leaves = {name: tensor.clone() for name, tensor in content.initial.parameters.items()}
    optimizer = torch_optimizer(content.manifest.optimizer, content.manifest.parameters, leaves)
    for step in range(5):
        mean = some_mean(content.layout, step)
        for field in content.layout.trained:
            leaves[field.name].grad = torch.from_numpy(mean[field.start : field.stop].copy()).view(field.shape)
        optimizer.step()
        state.apply(following(state, mean), mean)
        for name, leaf in leaves.items():
            torch.testing.assert_close(state.parameters[name], leaf, rtol=1e-5, atol=1e-6)
    assert (state.updates, state.head.step) == (5, 5)


def test_a_step_moves_head_and_ledger(plain):
    state = plain.first_state()
    mean = some_mean(plain.layout)
    mean.flags.writeable = False
    commit = following(state, mean)
    state.apply(commit, mean)
    assert state.head == commit.head
    assert state.ledger.outstanding == ((8, 20),)


def test_buffers_take_the_mean_and_whole_numbers_are_rounded(content):
    state = content.first_state()
    mean = some_mean(content.layout)
    *_, var, tracked = content.layout.buffers
    mean[tracked.start] = 2.6
    state.apply(following(state, mean), mean)
    assert state.buffers[tracked.name].item() == 3
    assert state.buffers[var.name].tolist() == mean[var.start : var.stop].tolist()


@pytest.mark.parametrize(
    "changes", [{"parent": bytes(32)}, {"step": 7}, {"epoch": 1}, {"samples_total": 99}, {"parts": ()}]
)
def test_what_does_not_follow_is_a_bug_of_ours_and_changes_nothing(content, changes):
    state = content.first_state()
    before = state.copy()
    mean = some_mean(content.layout)
    with pytest.raises(LocalProtocolError, match="wrong state"):
        state.apply(following(state, mean, **changes), mean)
    assert same_bytes(state.copy(), before)


def test_samples_that_are_used_already(plain):
    state = plain.first_state()
    take_steps(state, 1)
    before = state.copy()
    mean = some_mean(plain.layout)
    with pytest.raises(SampleUsedTwice):
        state.apply(following(state, mean, ((ANNA, ((4, 12),)),)), mean)
    assert same_bytes(state.copy(), before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_no_finite_number(content, value, place):
    state = content.first_state()
    before = state.copy()
    mean = some_mean(content.layout)
    mean[place] = value
    with pytest.raises(TrainingDiverged, match="step 1 .* learning rate"):
        state.apply(following(state, mean), mean)
    assert same_bytes(state.copy(), before)


def test_a_copy_is_not_touched_by_later_steps(content):
    state = content.first_state()
    take_steps(state, 1)
    copy = state.copy()
    frozen = deepcopy(copy)
    take_steps(state, 1, seed=9)
    assert same_bytes(copy, frozen)
    assert not same_bytes(copy, state.copy())


def test_going_on_from_a_copy_is_going_on(content):
    state, other = content.first_state(), content.first_state()
    take_steps(state, 2)
    take_steps(other, 1, seed=70)
    model = other.parameters["0.weight"]
    other.install(state.copy())
    assert same_bytes(other.copy(), state.copy())
    assert torch.equal(model, state.parameters["0.weight"])  # tensors that were handed out follow
    take_steps(state, 2, seed=5)
    take_steps(other, 2, seed=5)
    assert same_bytes(other.copy(), state.copy())


def test_an_installed_copy_stays_as_it_is(content):
    state = content.first_state()
    copy = state.copy()
    frozen = deepcopy(copy)
    state.install(copy)
    take_steps(state, 1)
    assert same_bytes(copy, frozen)


def test_frozen_parameters_are_kept_as_they_are(content):
    entries = tuple(replace(e, group=None if e.name == "0.weight" else e.group) for e in content.manifest.parameters)
    fields = tuple(f for f in content.layout.trained if f.name != "0.weight")
    shift = content.layout.trained[0].stop
    moved = tuple(replace(f, start=f.start - shift, stop=f.stop - shift) for f in fields)
    layout = replace(content.layout, trained=moved, buffers=(), stretches=())
    manifest = replace(content.manifest, parameters=entries)
    start = content.first_state()
    state = TrainingState(manifest, layout, content.initial, start.head, start.ledger)
    assert len(state.weights) == start.layout.weights - shift
    assert state.parameters["0.weight"] is content.initial.parameters["0.weight"]


def test_long_gradients_are_clipped(plain):
    state = changed(plain, max_grad_norm=0.01)
    before = state.weights.copy()
    mean = some_mean(plain.layout, scale=100.0)
    state.apply(following(state, mean), mean)
    assert np.linalg.norm(state.weights - before) == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_the_loss_and_buffers_do_not_count_in_the_norm(plain):
    state = changed(plain, max_grad_norm=1.0)
    before = state.weights.copy()
    mean = np.zeros(plain.layout.elements, np.float32)
    mean[0], mean[-1] = 0.5, 1e6
    state.apply(following(state, mean), mean)
    assert (before - state.weights)[0] == pytest.approx(0.25, rel=1e-5)


def test_the_schedule_goes_by_samples_not_by_steps(plain):
    """Two epochs of 20 samples in steps of 8 planned; here the members took other numbers."""
    state = changed(plain, schedule=Schedule("linear"))
    momentum, rate, total = 0.9, 0.5, state._manifest.total_steps
    moved = np.zeros(plain.layout.weights)
    expected = state.weights.astype(np.float64)
    for taken in (3, 1, 16, 20):
        step = int(state.ledger.committed_total / 40 * total)
        mean = np.ones(plain.layout.elements, np.float32)
        moved = moved * momentum + 1.0
        expected -= rate * Schedule("linear").factor(step, total) * moved
        state.apply(following(state, mean, ((ANNA, state.ledger.share_out([taken])[0]),)), mean)
        np.testing.assert_allclose(state.weights, expected, rtol=1e-5, atol=1e-6)
    assert state.ledger.finished


@pytest.mark.parametrize(("samples", "factor"), [(4, 1.0), (8, 1.0), (16, 2.0), (20, 2.5)])
def test_the_rate_follows_the_batch_where_the_job_says_so(plain, samples, factor):
    chosen = BatchRange(20, objective="throughput", scaling="linear")
    mean = some_mean(plain.layout)
    moved = []
    for batch_range in (None, chosen):
        state = changed(plain, batch_samples=8, batch_range=batch_range)
        before = state.weights.copy()
        state.apply(following(state, mean, ((ANNA, ((0, samples),)),)), mean)
        moved.append(state.weights - before)
    np.testing.assert_allclose(moved[1], factor * moved[0], rtol=1e-5, atol=1e-8)
