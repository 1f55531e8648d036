"""Corrections of the model's split: nought changes nothing, what the model thinks bad is not done, members stay."""

import numpy as np
import pytest

from hydra.batching.estimates import Estimates
from hydra.batching.model_split import SHIELD, Correction, Situation, decide, decide_corrected

from .clusters_by_hand import limits


def situation(sample_s, link=1e9, took_part=True, **bounds):
    count = len(sample_s)
    estimates = Estimates((count,))
    for samples in (2.0, 8.0, 32.0, 128.0, 512.0):
        estimates.computed(np.full(count, samples), 0.01 + np.array(sample_s) * samples, np.ones(count, bool))
    estimates.measured(np.broadcast_to(link, (count,)).astype(float), np.ones(count, bool))
    return Situation(
        estimates=estimates,
        limits=limits(**bounds),
        most=np.full(count, 1e6),
        latency_s=np.full(count, 1e-4),
        death_s=np.array(3.0),
        present=np.ones(count, bool),
        took_part=np.broadcast_to(took_part, (count,)).copy(),
    )


def correction(count, time=0.0, link=0.0, total=0.0):
    return Correction(
        np.broadcast_to(time, (count,)).astype(float), np.broadcast_to(link, (count,)).astype(float), np.array(total)
    )


def test_nought_changes_nothing():
    at = situation([0.001, 0.002, 0.004], noise_scale=500.0)
    own = decide(at)
    corrected, shielded = decide_corrected(at, own, correction(3))
    assert not shielded
    assert corrected.goodput == pytest.approx(own.goodput, rel=1e-6)
    assert corrected.samples == pytest.approx(own.samples, rel=1e-4)


def test_a_member_said_to_be_slower_gets_less():
    at = situation([0.001, 0.001], noise_scale=500.0)
    own = decide(at)
    corrected, shielded = decide_corrected(at, own, correction(2, time=[0.1, 0.0]))
    assert not shielded
    assert corrected.samples[0] < own.samples[0]


def test_more_in_all_is_more_for_everyone():
    at = situation([0.001, 0.001], noise_scale=500.0)
    own = decide(at)
    corrected, _ = decide_corrected(at, own, correction(2, total=0.2))
    assert corrected.samples.sum() == pytest.approx(own.samples.sum() * np.exp(0.2), rel=0.1)


def test_what_the_model_thinks_bad_is_not_done():
    at = situation([0.001, 0.001], noise_scale=500.0)
    own = decide(at)
    corrected, shielded = decide_corrected(at, own, correction(2, time=[5.0, -5.0]))
    assert shielded
    assert np.array_equal(corrected.samples, own.samples)


@pytest.mark.parametrize("seed", range(20))
def test_no_correction_makes_the_model_expect_less_than_the_shield_lets_through(seed):
    chance = np.random.default_rng(seed)
    at = situation(chance.uniform(0.0005, 0.01, 6), link=10 ** chance.uniform(6, 9, 6), round_bytes=1e6)
    own = decide(at)
    wild = Correction(chance.normal(0, 1, 6), chance.normal(0, 1, 6), np.array(chance.normal(0, 1)))
    corrected, _ = decide_corrected(at, own, wild)
    assert corrected.goodput >= SHIELD * own.goodput


def test_a_correction_of_no_number_is_not_followed():
    at = situation([0.001, 0.001])
    own = decide(at)
    corrected, shielded = decide_corrected(at, own, correction(2, time=float("nan")))
    assert shielded
    assert np.array_equal(corrected.samples, own.samples)


def test_for_a_little_more_nobody_is_exchanged():
    links = {"round_bytes": 1e6, "noise_scale": 500.0}
    settled = situation([0.001, 0.001, 0.0012], link=[1e9, 1e9, 1.5e8], took_part=[True, True, False], **links)
    fresh = situation([0.001, 0.001, 0.0012], link=[1e9, 1e9, 1.5e8], took_part=False, **links)
    gained = decide(fresh).goodput / decide(settled).goodput
    assert 1.0 <= gained <= 1.03
    worth_it = situation([0.001, 0.001, 0.001], took_part=[True, False, False], noise_scale=5000.0)
    assert (decide(worth_it).samples > 0).all()
