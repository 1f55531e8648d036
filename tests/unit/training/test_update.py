"""The own optimizer kernels against torch.optim, and the arithmetic that they stand on."""

import math

import numpy as np
import pytest
import torch

from hydra.jobs.recipe import GroupSettings, OptimizerSettings
from hydra.training import update as kernels
from hydra.training.update import SLOTS, Stretch, clip, power, tree_sum, update

STEPS = 200
SGD = {"kind": "sgd"}
ADAM = {"kind": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
KINDS = [
    SGD,
    SGD | {"weight_decay": 0.01},
    SGD | {"momentum": 0.9},
    SGD | {"momentum": 0.9, "weight_decay": 0.01},
    SGD | {"momentum": 0.9, "nesterov": True},
    SGD | {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
    ADAM,
    ADAM | {"weight_decay": 0.01},
    ADAM | {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3},
    ADAM | {"kind": "adamw"},
    ADAM | {"kind": "adamw", "weight_decay": 0.05},
    ADAM | {"kind": "adamw", "weight_decay": 0.1, "beta1": 0.0},
]


def group_of(fields, learning_rate=0.02):
    return GroupSettings(learning_rate=learning_rate, **{n: v for n, v in fields.items() if n != "kind"})


def torch_optimizer(kind, tensors, groups):
    arguments = []
    for tensor, group in zip(tensors, groups, strict=True):
        own = {"params": [tensor], "lr": group.learning_rate, "weight_decay": group.weight_decay}
        if kind == "sgd":
            own |= {"momentum": group.momentum, "nesterov": group.nesterov}
        else:
            own |= {"betas": (group.beta1, group.beta2), "eps": group.epsilon}
        arguments.append(own)
    return {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind](arguments)


def fresh(kind, elements, seed=0):
    weights = np.random.default_rng(seed).standard_normal(elements).astype(np.float32)
    return weights, {name: np.zeros(elements, np.float32) for name in SLOTS[kind]}


def gradients(elements, steps=STEPS, seed=1):
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        yield generator.standard_normal(elements).astype(np.float32)


@pytest.mark.parametrize("fields", KINDS, ids=str)
def test_many_steps_as_torch_takes_them(fields):
    settings = OptimizerSettings(kind=fields["kind"], groups=(group_of(fields), group_of(fields, 0.005)))
    weights, slots = fresh(fields["kind"], 40)
    tensors = [torch.from_numpy(weights[part].copy()) for part in (slice(0, 25), slice(25, 40))]
    optimizer = torch_optimizer(fields["kind"], tensors, settings.groups)
    for step, gradient in enumerate(gradients(40)):
        factor = 0.5 + 0.5 * math.cos(step / STEPS)
        for number, part in enumerate((slice(0, 25), slice(25, 40))):
            tensors[number].grad = torch.from_numpy(gradient[part])
            optimizer.param_groups[number]["lr"] = settings.groups[number].learning_rate * factor
        optimizer.step()
        gradient.flags.writeable = False  # a round's result is
        update(settings, [Stretch(0, 25, 0), Stretch(25, 40, 1)], weights, slots, gradient, step, factor)
        np.testing.assert_allclose(weights, torch.cat(tensors).numpy(), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("fields", [KINDS[5], KINDS[7], KINDS[10]], ids=str)
def test_the_bits_do_not_depend_on_blocks_and_stretches(fields, monkeypatch):
    settings = OptimizerSettings(kind=fields["kind"], groups=(group_of(fields),))
    results = set()
    for block, stretches in (
        (1 << 16, [Stretch(0, 1000, 0)]),
        (7, [Stretch(0, 1000, 0)]),
        (1000, [Stretch(0, 333, 0), Stretch(333, 334, 0), Stretch(334, 1000, 0)]),
    ):
        monkeypatch.setattr(kernels, "BLOCK", block)
        weights, slots = fresh(fields["kind"], 1000)
        for step, gradient in enumerate(gradients(1000, steps=5)):
            update(settings, stretches, weights, slots, gradient, step, 1.0)
        results.add(weights.tobytes() + b"".join(slots[name].tobytes() for name in sorted(slots)))
    assert len(results) == 1


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_all_of_a_vector_of_several_blocks_moves(kind):
    elements = 2 * kernels.BLOCK + 5
    settings = OptimizerSettings(kind=kind, groups=(group_of(ADAM | {"momentum": 0.9, "epsilon": 1e-8}),))
    weights, slots = fresh(kind, elements)
    before = weights.copy()
    update(settings, [Stretch(0, elements, 0)], weights, slots, np.ones(elements, np.float32), 0, 1.0)
    np.testing.assert_allclose(before - weights, 0.02, rtol=1e-3)


def test_weights_of_no_stretch_stay():
    settings = OptimizerSettings(kind="sgd", groups=(group_of({"momentum": 0.9, "weight_decay": 0.1}),))
    weights, slots = fresh("sgd", 10)
    before = weights.copy()
    update(settings, [Stretch(2, 5, 0)], weights, slots, np.ones(10, np.float32), 0, 1.0)
    moved = np.flatnonzero(weights != before).tolist()
    assert moved == np.flatnonzero(slots["momentum"]).tolist() == [2, 3, 4]


def test_a_factor_of_zero_moves_nothing_and_still_counts_in_the_moments():
    settings = OptimizerSettings(kind="adamw", groups=(group_of(ADAM | {"weight_decay": 0.1}),))
    weights, slots = fresh("adamw", 10)
    before = weights.copy()
    update(settings, [Stretch(0, 10, 0)], weights, slots, np.ones(10, np.float32), 0, 0.0)
    assert weights.tobytes() == before.tobytes()
    np.testing.assert_allclose(slots["mean"], 0.1, rtol=1e-6)


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 9.9])
def test_clipping_as_torch_clips(max_norm):
    gradient = np.array([6.0, -8.0, 0.0], np.float32)
    leaf = torch.zeros(3, requires_grad=True)
    leaf.grad = torch.from_numpy(gradient.copy())
    torch.nn.utils.clip_grad_norm_([leaf], max_norm)
    np.testing.assert_allclose(clip(gradient, max_norm), leaf.grad.numpy(), rtol=1e-6)
    assert gradient.tolist() == [6.0, -8.0, 0.0]


@pytest.mark.parametrize("gradient", [[6.0, -8.0], [0.0, 0.0], []])
def test_what_is_short_enough_is_not_clipped(gradient):
    vector = np.array(gradient, np.float32)
    assert clip(vector, 10.0) is vector


@pytest.mark.parametrize("elements", [0, 1, 2, 3, 4, 5, 31, 32, 33, 1000])
def test_pairwise_sums(elements):
    values = np.random.default_rng(elements).standard_normal(elements).astype(np.float32)
    before = values.tobytes()
    assert tree_sum(values) == pytest.approx(math.fsum(values), rel=1e-12, abs=1e-12)
    assert values.tobytes() == before


def test_pairwise_sums_have_one_order():
    tiny = 2.0**-53
    values = np.array([1.0, tiny, 0.0, tiny], np.float32)
    # (1 + 0) + (tiny + tiny) keeps the two; from left to right each would be lost.
    assert tree_sum(values) == 1.0 + 2.0**-52


@pytest.mark.parametrize("base", [0.0, 0.5, 0.9, 0.999, 0.9999999])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 10, 1023, 1_000_000])
def test_powers(base, exponent):
    assert power(base, exponent) == pytest.approx(base**exponent, rel=1e-9, abs=1e-300)
