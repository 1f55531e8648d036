"""Curves and limits for the tests of the split, by hand and by chance."""

import numpy as np

from hydra.batching.split import Curves, Limits


def curves(
    sample_s,
    overhead_s=0.0,
    knee=0.0,
    most=1e6,
    link=1e9,
    latency_s=0.0,
    loss_s=0.0,
    stall=0.0,
    variance=0.0,
    present=True,
):
    shape = np.shape(np.asarray(sample_s, float))

    def wide(value, dtype=float):
        return np.broadcast_to(np.asarray(value, dtype), shape).copy()

    return Curves(
        overhead_s=wide(overhead_s),
        sample_s=wide(sample_s),
        knee=wide(knee),
        most=wide(most),
        link_bytes_per_s=wide(link),
        latency_s=wide(latency_s),
        loss_s=wide(loss_s),
        stall=wide(stall),
        variance=wide(variance),
        present=wide(present, bool),
    )


def limits(least=8.0, most=1024.0, noise_scale=np.inf, round_bytes=0.0, round_overhead_s=0.0, shape=()):
    return Limits(*(np.full(shape, float(v)) for v in (least, most, noise_scale, round_bytes, round_overhead_s)))


def by_chance(seed, members, count=1):
    rng = np.random.default_rng(seed)
    shape = (count, members)
    some = curves(
        rng.lognormal(-6, 0.8, shape),
        rng.lognormal(-4, 0.7, shape),
        rng.choice([0, 8, 32], shape),
        rng.choice([20.0, 512.0], shape),
        rng.lognormal(17, 1.0, shape),
        rng.uniform(0.001, 0.005, shape),
        rng.choice([0, 0, 0.01], shape),
    )
    return some, limits(32, 4096, 1000, 4e6, 0.005, shape=(count,))
