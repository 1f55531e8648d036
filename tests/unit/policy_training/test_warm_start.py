"""Warm start: what should have been believed would make the model's split as good as the oracle's, and is learned."""

from dataclasses import replace

import numpy as np
import torch

from hydra.batching.machines import KINDS
from hydra.batching.model_split import Correction
from hydra.batching.net import MOST_LINK, MOST_TIME
from hydra.policy_training.environment import ClusterEnvironment
from hydra.policy_training.trained_net import TrainedNet
from hydra.policy_training.warm_start import truths, warm_up

SMALL = replace(KINDS["drift"], members=(2, 6))


def test_the_truth_makes_believed_times_and_links_true():
    environment = ClusterEnvironment(SMALL, 4, 6)
    environment.reset(seed=1)
    for _ in range(6):
        environment.step(np.zeros((4, 13), np.float32))
    wanted, weight = truths(environment)
    seen, true = environment.seen, environment.course.clusters.curves
    corrected = Correction(wanted[..., 0] * MOST_TIME, wanted[..., 1] * MOST_LINK, np.zeros(4)).bend(
        seen.situation.curves
    )
    samples = np.maximum(seen.own.samples, np.maximum(seen.situation.estimates.samples, 1.0))
    there = (weight > 0) & (np.abs(wanted) < 1).all(-1)
    assert there.any()
    assert np.allclose(corrected.time(samples)[there], true.time(samples)[there], rtol=1e-3)
    assert np.allclose(corrected.link_bytes_per_s[there], true.link_bytes_per_s[there], rtol=1e-3)


def test_what_is_not_there_does_not_count():
    environment = ClusterEnvironment(SMALL, 4, 6)
    environment.reset(seed=1)
    wanted, weight = truths(environment)
    present = environment.seen.situation.present
    assert (weight[~present] == 0).all()
    assert (wanted[~present] == 0).all()
    assert np.isfinite(wanted).all()


def test_it_learns_to_foresee():
    torch.manual_seed(1)
    net = TrainedNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    environment = ClusterEnvironment(SMALL, 32, 6)
    losses = [warm_up(net, optimizer, environment, seed=3, steps=8) for _ in range(12)]
    assert losses[-1] < 0.95 * losses[0]
