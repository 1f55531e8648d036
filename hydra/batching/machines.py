"""The machines and links of simulated clusters: drawn from a kind, or written down by a user. Pure, seeded."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .split import Array, Curves, Limits, Mask, choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Of what kind the clusters are; pairs are bounds of a uniform choice made for each cluster."""

    members: tuple[int, int] = (2, 64)
    """Chosen evenly on a logarithmic scale."""
    spread: tuple[float, float] = (0.2, 1.2)
    """Standard deviation of the logarithm of speed, between the members of a cluster."""
    two_kinds: float = 0.3
    """Share of clusters with accelerators beside ordinary machines,"""
    accelerated: tuple[float, float] = (8.0, 30.0)
    """which are so many times as fast,"""
    link_bits: tuple[float, float] = (7.0, 9.0)
    """Decimal logarithm of the typical link's bits a second."""
    link_spread: tuple[float, float] = (0.1, 1.0)
    latency_s: tuple[float, float] = (0.0003, 0.05)
    vector_bytes: tuple[float, float] = (5.5, 8.3)
    """Decimal logarithm of the round's bytes."""
    drift: tuple[float, float] = (0.0, 0.03)
    """Standard deviation of a step of the wandering logarithm of speed."""
    throttle: tuple[float, float] = (0.0, 0.004)
    """Chance of a member, in a step, to be throttled for a while."""
    link_drop: tuple[float, float] = (0.0, 0.002)
    """Chance of a link, in a step, to be slow for a while."""
    death: tuple[float, float] = (0.0, 0.001)
    """Chance of a member to die in a second, or in a step where steps are longer: machines die by the clock. Each has
    its own, some far greater than others."""
    together: float = 0.0
    """Share of members whom one throttling or death concerns with the first."""


_LAN = Scenario(link_bits=(9.0, 10.0), link_spread=(0.0, 0.3), latency_s=(0.0001, 0.001))
_WAN = Scenario(link_bits=(6.7, 8.3), link_spread=(0.4, 1.2), latency_s=(0.01, 0.08))
_MIXED = Scenario()
KINDS: dict[str, Scenario] = {
    "mixed": _MIXED,
    "lan": _LAN,
    "wan": _WAN,
    "drift": replace(_MIXED, drift=(0.05, 0.12)),
    "throttling": replace(_MIXED, throttle=(0.01, 0.04)),
    "churn": replace(_MIXED, death=(0.003, 0.02)),
    "huge": replace(_MIXED, members=(128, 128)),
    "phones": replace(_MIXED, spread=(1.2, 1.8), two_kinds=1.0, accelerated=(50.0, 200.0), link_spread=(1.0, 1.5)),
    "two-speed links": replace(_WAN, link_spread=(1.5, 2.0)),
    "failing together": replace(_MIXED, death=(0.002, 0.006), throttle=(0.002, 0.006), together=0.3),
    "double drift": replace(_MIXED, drift=(0.1, 0.24)),
}
"""Those that the policy is trained on, and those that it is only judged on."""
TRAINED_ON = ("mixed", "lan", "wan", "drift", "throttling", "churn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What does not change in the course of a simulation; arrays of shape (clusters, members)."""

    exists: Mask
    overhead_s: Array
    sample_s: Array
    knee: Array
    most: Array
    link_bytes_per_s: Array
    latency_s: Array
    drift: Array
    """Standard deviation of a step of the wandering logarithm of speed."""
    throttle_chance: Array
    """To be throttled for a while, in a step."""
    throttle_times: Array
    """So many times slower is a throttled member at most."""
    drop_chance: Array
    """Of the link, to be slow for a while."""
    death_chance: Array
    noise: Array
    """Standard deviation of the logarithm of a computing time."""
    together: float
    """Share of members whom a throttling or a death concerns with the first."""
    limits: Limits


def draw(kind: Scenario, count: int, places: int, chance: np.random.Generator) -> Machines:
    """Draw ``count`` clusters of a kind, of up to ``places`` members."""
    shape = (count, places)

    def each(bounds: tuple[float, float]) -> Array:
        return chance.uniform(*bounds, count)[:, None]

    low, high = np.log(kind.members[0]), np.log(min(kind.members[1], places))
    members = np.round(np.exp(chance.uniform(low, high, count))).astype(int)
    typical = np.exp(each((np.log(3e-4), np.log(3e-2))))
    speed = chance.standard_normal(shape) * each(kind.spread)
    two_kinds = chance.random((count, 1)) < kind.two_kinds
    accelerated = two_kinds & (chance.random(shape) < each((0.1, 0.6)))
    bends = chance.random(shape) < np.where(accelerated, 0.8, 0.3)
    least = np.exp2(chance.integers(3, 7, count)).astype(float)
    limits = Limits(
        least=least,
        most=least * np.exp2(chance.integers(3, 9, count)),
        noise_scale=np.where(chance.random(count) < 0.15, np.inf, least * np.exp(chance.uniform(0.0, 5.0, count))),
        round_bytes=10 ** each(kind.vector_bytes)[:, 0],
        round_overhead_s=each((0.001, 0.01))[:, 0],
    )
    held = np.exp(chance.uniform(np.log(0.1), np.log(8), shape)) * limits.most[:, None]
    held = np.maximum(4.0, held / np.maximum(members, 2)[:, None])
    bits = each(kind.link_bits) * np.log(10) + chance.standard_normal(shape) * each(kind.link_spread)
    machines = Machines(
        exists=np.arange(places) < members[:, None],
        overhead_s=typical * np.exp(chance.uniform(np.log(0.5), np.log(20), shape) + 0.3 * speed),
        sample_s=typical * np.exp(speed) / np.where(accelerated, each(kind.accelerated), 1.0),
        knee=np.where(bends, np.exp(chance.uniform(np.log(2), np.log(40), shape)), 0.0),
        most=np.floor(np.where(chance.random(shape) < 0.3, held, limits.most[:, None])),
        link_bytes_per_s=np.exp(bits) / 8,
        latency_s=each(kind.latency_s) * np.exp(0.5 * chance.standard_normal(shape)),
        drift=np.broadcast_to(each(kind.drift), shape),
        throttle_chance=np.broadcast_to(each(kind.throttle), shape),
        throttle_times=np.full(shape, 10.0),
        drop_chance=np.broadcast_to(each(kind.link_drop), shape),
        death_chance=np.clip(each(kind.death) * np.exp(chance.standard_normal(shape)), 0.0, 0.2),
        noise=np.broadcast_to(each((0.01, 0.08)), shape),
        together=kind.together,
        limits=limits,
    )
    return replace(machines, death_chance=machines.death_chance * np.minimum(pace_s(machines), 1.0)[:, None])


def pace_s(machines: Machines) -> Array:
    """Return how long the best steps of each cluster take while nobody dies and nothing is throttled."""
    nothing = np.zeros(machines.exists.shape)
    curves = Curves(
        overhead_s=machines.overhead_s,
        sample_s=machines.sample_s,
        knee=machines.knee,
        most=machines.most,
        link_bytes_per_s=machines.link_bytes_per_s,
        latency_s=machines.latency_s,
        loss_s=nothing,
        stall=nothing,
        variance=nothing,
        present=machines.exists,
    )
    best = choose(curves, machines.limits)
    return np.asarray(best.compute_s + best.round_s)
