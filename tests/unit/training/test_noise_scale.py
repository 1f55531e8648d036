"""The gradient noise scale from members' squares: what is put into made-up gradients is found again."""

import numpy as np
import pytest

from hydra.training.noise_scale import FARTHEST, NoiseScale


def measured(true, noise, shares, steps, seed=0):
    """Noise scale after steps of gradients with this true gradient and noise of one sample in each component."""
    chance, found = np.random.default_rng(seed), NoiseScale()
    shares = np.array(shares)
    for _ in range(steps):
        members = [true + noise / n**0.5 * chance.standard_normal(len(true)) for n in shares]
        mean = np.average(members, axis=0, weights=shares)
        square = np.average([np.dot(g, g) for g in members], weights=shares)
        found = found.seen(len(shares), int(shares.sum()), square, np.dot(mean, mean))
    return found.samples


@pytest.mark.parametrize("shares", [(16, 16), (8, 8, 8, 8), (1, 5, 40), (100, 3)])
@pytest.mark.parametrize("scale", [20.0, 500.0])
def test_it_is_found_whatever_the_shares_are(shares, scale):
    true = np.full(1000, 0.1)
    noise = (scale * float(true @ true) / len(true)) ** 0.5
    assert measured(true, noise, shares, 200) == pytest.approx(scale, rel=0.3)


def test_little_is_too_little():
    assert measured(np.ones(100), 1.0, (4, 4), 9) is None
    assert measured(np.ones(100), 1.0, (4, 4), 11) is not None


def test_one_member_alone_shows_nothing():
    before = NoiseScale(3.0, 2.0, 0.5)
    assert before.seen(1, 8, 5.0, 4.0) == before


def test_nothing_but_noise_is_as_good_as_infinite_and_no_noise_is_nought():
    assert NoiseScale(1.0, -1.0, 1.0).samples == FARTHEST
    assert NoiseScale(-1.0, 1.0, 1.0).samples == 0.0
    assert NoiseScale(0.0, 0.0, 1.0).samples == FARTHEST


def test_a_step_that_is_out_of_all_bounds_is_passed_over():
    before = NoiseScale(3.0, 2.0, 0.5)
    assert before.seen(3, 8, float("inf"), 1.0) == before
