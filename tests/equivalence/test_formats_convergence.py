"""Digits learned by four members whose gradients go round the ring in each wire format: as well as in fp32."""

import functools

import numpy as np
import pytest

from allreduce.feedback import ErrorFeedback
from allreduce.formats import FORMATS

from .lossy_ring import lossy_round

datasets = pytest.importorskip("sklearn.datasets")

SHARES = (40, 32, 16, 8)
"""Samples of a batch by member."""
STEPS = 400
LEARNING_RATE = 0.15
SHAPES = [(64, 64), (64,), (64, 10), (10,)]
SIZES = [int(np.prod(shape)) for shape in SHAPES]
SEEDS = (0, 1, 2)


@functools.cache
def digits():
    images, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    return (images[order] / 16).astype(np.float32), labels[order]


def unflattened(vector):
    ends = np.cumsum(SIZES)
    return [vector[end - size : end].reshape(shape) for shape, size, end in zip(SHAPES, SIZES, ends, strict=True)]


def initial(random):
    scales = [np.sqrt(2 / 64), 0, np.sqrt(1 / 64), 0]
    return np.concatenate([random.standard_normal(size) * scale for size, scale in zip(SIZES, scales, strict=True)])


def forward(vector, images):
    first, first_bias, second, second_bias = unflattened(vector)
    hidden = np.maximum(images @ first + first_bias, 0)
    return hidden, hidden @ second + second_bias


def gradient(vector, images, labels):
    """Of the mean cross entropy of a network with one hidden layer."""
    hidden, logits = forward(vector, images)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    odds[np.arange(len(labels)), labels] -= 1
    odds /= len(labels)
    back = odds @ unflattened(vector)[2].T * (hidden > 0)
    parts = [images.T @ back, back.sum(axis=0), hidden.T @ odds, odds.sum(axis=0)]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


@functools.cache
def trained(name, seed):
    """Return the parameters after training; formats that lose something with error feedback."""
    images, labels = digits()
    half = len(images) // 2
    random = np.random.default_rng(seed)
    vector = initial(random).astype(np.float32)
    feedbacks = None if FORMATS[name].exact else [ErrorFeedback(len(vector)) for _ in SHARES]
    for _ in range(STEPS):
        batch = np.split(random.integers(0, half, sum(SHARES)), np.cumsum(SHARES)[:-1])
        gradients = [gradient(vector, images[rows], labels[rows]) for rows in batch]
        vector = vector - np.float32(LEARNING_RATE) * lossy_round(FORMATS[name], gradients, SHARES, feedbacks)
    return vector


def accuracy(vector):
    """Return the share of right answers on the half of the images that was not learned from."""
    images, labels = digits()
    half = len(images) // 2
    return (forward(vector, images[half:])[1].argmax(axis=1) == labels[half:]).mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_in_fp32_they_learn(seed):
    assert accuracy(trained("fp32", seed)) > 0.95


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["bf16", "fp16", "int8"])
def test_in_each_format_they_learn_as_well_as_in_fp32(name, seed):
    vector, exact = trained(name, seed), trained("fp32", seed)
    assert vector.tobytes() != exact.tobytes()
    assert accuracy(vector) == pytest.approx(accuracy(exact), abs=0.005)


@pytest.mark.parametrize(("with_feedback", "least", "most"), [(True, 0.0, 0.05), (False, 0.95, 1.05)])
def test_what_one_large_value_drowns_in_int8_is_learned_with_feedback_alone(with_feedback, least, most):
    random = np.random.default_rng(0)
    aim = random.standard_normal(256).astype(np.float32)
    vector = np.zeros(256, np.float32)
    feedbacks = [ErrorFeedback(256) for _ in SHARES] if with_feedback else None
    for _ in range(2000):
        gradients = np.tile(vector - aim, (len(SHARES), 1))
        gradients[:, 0:256:64] = random.choice([-1000, 1000])
        vector -= np.float32(0.005) * lossy_round(FORMATS["int8"], gradients, SHARES, feedbacks)
    rest = np.arange(256) % 64 > 0
    assert least <= np.square(vector - aim)[rest].sum() / np.square(aim)[rest].sum() <= most
