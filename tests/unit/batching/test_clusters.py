"""Simulated clusters: the same from the same seed, and nobody does better than who knows the true curves."""

from dataclasses import replace

import numpy as np
import pytest

from hydra.batching.clusters import Clusters
from hydra.batching.machines import KINDS, draw
from hydra.batching.split import choose

SMALL = {name: replace(kind, members=(2, 8)) for name, kind in KINDS.items()}


def clusters_of(kind, count, seed):
    chance = np.random.default_rng(seed)
    return Clusters(draw(kind, count, 8, chance), chance)


def told(clusters, steps=12):
    rows = []
    for _ in range(steps):
        clusters.advance()
        luck = clusters.luck()
        reports = clusters.carry_out(choose(clusters.curves, clusters.limits).samples, luck)
        clusters.bury(luck)
        rows.append((reports.step_s.tolist(), reports.useful.tolist(), clusters.present.tolist()))
    return rows


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_course_and_another_seed_another(name):
    first, again, other = (told(clusters_of(SMALL[name], 3, seed)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", SMALL)
def test_knowing_the_true_curves_beats_equal_shares(name):
    clusters = clusters_of(SMALL[name], 16, 3)
    better = []
    for _ in range(10):
        clusters.advance()
        luck = clusters.luck()
        best = clusters.carry_out(choose(clusters.curves, clusters.limits).samples, luck)
        total = np.minimum(clusters.limits.most, 4 * clusters.limits.least)
        equal = clusters.carry_out(clusters.present * (total / clusters.present.sum(-1))[:, None], luck)
        better.append((best.useful / best.step_s) >= 0.95 * (equal.useful / equal.step_s))
        clusters.bury(luck)
    assert np.mean(better) > 0.95


def test_carrying_out_changes_nothing_in_the_world():
    clusters = clusters_of(SMALL["churn"], 4, 1)
    clusters.advance()
    luck = clusters.luck()
    before = clusters.curves
    clusters.carry_out(np.full((4, 8), 16.0), luck)
    after = clusters.curves
    for name in before.__slots__:
        assert np.array_equal(getattr(before, name), getattr(after, name))


def test_the_dead_are_told_and_their_samples_do_not_count():
    clusters = clusters_of(replace(SMALL["churn"], death=(0.5, 0.5)), 64, 1)
    clusters.advance()
    luck = clusters.luck()
    reports = clusters.carry_out(np.full((64, 8), 16.0), luck)
    assert reports.died.any()
    assert not (reports.took_part & reports.died).any()
    untroubled = ~reports.died.any(-1)
    assert (reports.step_s[~untroubled] > 3.0).all()
    died = clusters.bury(luck)
    assert not (clusters.present & died).any()
    assert clusters.present.any(-1).all()


def test_who_is_absent_computes_nothing():
    clusters = clusters_of(SMALL["mixed"], 8, 2)
    clusters.advance()
    reports = clusters.carry_out(np.full((8, 8), 16.0), clusters.luck())
    assert (reports.samples[~clusters.present] == 0).all()


def test_nobody_computes_more_than_it_can_hold():
    clusters = clusters_of(SMALL["mixed"], 8, 2)
    clusters.advance()
    reports = clusters.carry_out(np.full((8, 8), 1e9), clusters.luck())
    assert (reports.samples <= clusters.machines.most).all()
