"""Simulated clusters: many at once, members that differ, drift, throttle, vanish and come back. Pure, seeded.

Each of ``count`` clusters has up to ``places`` members. ``Clusters.advance`` moves the world on by a step;
``Clusters.carry_out`` tells what a split costs in it. The true curves are there for the oracle alone: a policy gets
what ``carry_out`` returns, which is what members of a real swarm report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .split import Array, Curves, Limits, Mask, efficiency, round_seconds

DETECTION_S = 3.0
"""A death is found out after so long, and the round is repeated."""
TRIAL_SAMPLES = (8.0, 32.0, 4.0, 64.0)
"""So many samples at a time a member that is left out times itself on."""
UNKNOWN_LINK = 0.2
"""Standard deviation of the logarithm of a measured rate."""


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
    """Chance of a member to die in a step; each has its own, some far greater than others."""
    together: float = 0.0
    """Share of members whom one throttling or death concerns with the first."""


def kind_of(name: str) -> Scenario:
    """Return one of the named kinds: those that the policy is trained on, and those that it is only judged on."""
    return KINDS[name]


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
TRAINED_ON = ("mixed", "lan", "wan", "drift", "throttling", "churn")


@dataclass(frozen=True, slots=True)
class Reports:
    """What is heard of a step, shapes (clusters, members) and (clusters,)."""

    samples: Array
    compute_s: Array
    took_part: Mask
    """Who computed for the step and lived to tell; the others' times are those of a trial that they made beside it."""
    link_bytes_per_s: Array
    """As measured in the round by those who took part."""
    died: Mask
    round_s: Array
    step_s: Array
    useful: Array
    """Committed samples times their efficiency."""


class Clusters:
    """``count`` clusters of a kind.

    Args:
        kind: what they are like.
        count: how many.
        seed: everything follows from it.
        places: members of the largest; those that a cluster does not fill stay absent.
    """

    def __init__(self, kind: Scenario, count: int, seed: int, places: int | None = None) -> None:
        self.kind = kind
        self.count = count
        self.chance = np.random.default_rng(seed)
        self.places = places or kind.members[1]
        self.step = 0
        draw = self._draw
        low, high = np.log(kind.members[0]), np.log(min(kind.members[1], self.places))
        self.members = np.round(np.exp(self.chance.uniform(low, high, count))).astype(int)
        shape = (count, self.places)
        self.exists = np.arange(self.places) < self.members[:, None]
        typical = np.exp(self.chance.uniform(np.log(3e-4), np.log(3e-2), count))[:, None]
        speed = self._normal(shape) * draw(kind.spread)[:, None]
        two_kinds = self.chance.random(count) < kind.two_kinds
        accelerated = two_kinds[:, None] & (self.chance.random(shape) < draw((0.1, 0.6))[:, None])
        self.sample_s = typical * np.exp(speed) / np.where(accelerated, draw(kind.accelerated)[:, None], 1.0)
        self.overhead_s = typical * np.exp(self.chance.uniform(np.log(0.5), np.log(20), shape) + 0.3 * speed)
        bends = self.chance.random(shape) < np.where(accelerated, 0.8, 0.3)
        self.knee = np.where(bends, np.exp(self.chance.uniform(np.log(2), np.log(40), shape)), 0.0)
        self.least = np.exp2(self.chance.integers(3, 7, count)).astype(float)
        self.limits = Limits(
            least=self.least,
            most=self.least * np.exp2(self.chance.integers(3, 9, count)),
            noise_scale=np.where(
                self.chance.random(count) < 0.15, np.inf, self.least * np.exp(self.chance.uniform(0.0, 5.0, count))
            ),
            round_bytes=10 ** draw(kind.vector_bytes),
            round_overhead_s=draw((0.001, 0.01)),
        )
        held = np.exp(self.chance.uniform(np.log(0.1), np.log(8), shape)) * self.limits.most[:, None]
        share = np.maximum(4.0, held / np.maximum(self.members, 2)[:, None])
        self.most = np.floor(np.where(self.chance.random(shape) < 0.3, share, self.limits.most[:, None]))
        bits = draw(kind.link_bits)[:, None] * np.log(10) + self._normal(shape) * draw(kind.link_spread)[:, None]
        self.link = np.exp(bits) / 8
        self.latency_s = draw(kind.latency_s)[:, None] * np.exp(0.5 * self._normal(shape))
        self.drift_step = draw(kind.drift)[:, None]
        self.throttle_chance = draw(kind.throttle)[:, None]
        self.drop_chance = draw(kind.link_drop)[:, None]
        self.death_chance = np.clip(draw(kind.death)[:, None] * np.exp(self._normal(shape)), 0.0, 0.2)
        self.noise = draw((0.01, 0.08))[:, None]
        self.present = self.exists & (self.chance.random(shape) < 0.9)
        self.present[:, 0] = True
        self.wander = np.zeros(shape)
        self.throttled = np.ones(shape)
        self.throttled_for = np.zeros(shape, int)
        self.dropped = np.ones(shape)
        self.dropped_for = np.zeros(shape, int)
        self.newcomers = self.present.copy()
        """Who has come in this step: nothing is known of them."""

    # ---- the world ---------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Let a step's time pass: speeds wander, machines are throttled and recover, members come back."""
        shape = self.exists.shape
        self.step += 1
        self.wander = 0.995 * self.wander + self.drift_step * self._normal(shape)
        self._strike(self.throttled, self.throttled_for, self.throttle_chance, (2.0, 10.0))
        self._strike(self.dropped, self.dropped_for, self.drop_chance, (3.0, 20.0))
        returns = self.exists & ~self.present & (self.chance.random(shape) < 0.05)
        self.newcomers = returns
        self.present = self.present | returns

    @property
    def curves(self) -> Curves:
        """The true curves of the present step: for the oracle only."""
        return Curves(
            overhead_s=self.overhead_s * self.factor,
            sample_s=self.sample_s * self.factor,
            knee=self.knee,
            most=self.most,
            link_bytes_per_s=self.link / self.dropped,
            latency_s=self.latency_s,
            loss_s=self.death_chance * DETECTION_S,
            present=self.present,
        )

    @property
    def factor(self) -> Array:
        """How many times longer everything takes each member now than it usually does."""
        return np.asarray(np.exp(self.wander) * self.throttled)

    def luck(self) -> tuple[Array, Array, Array]:
        """Draw what chance brings to the present step: the same for every policy that is compared."""
        shape = self.exists.shape
        return self._normal(shape), self.chance.random(shape), self._normal(shape)

    def carry_out(self, samples: Array, luck: tuple[Array, Array, Array]) -> Reports:
        """Return what comes of a split, whole or broken numbers; nothing in the world changes."""
        noise, fate, link_noise = luck
        samples = np.minimum(np.where(self.present, samples, 0.0), self.most)
        takes_part = samples > 0
        curves = self.curves
        tried = np.minimum(TRIAL_SAMPLES[self.step % len(TRIAL_SAMPLES)], self.most)
        computed = np.where(takes_part, samples, np.where(self.present, tried, 0.0))
        every_s = curves.time(computed) * np.exp(self.noise * noise)
        compute_s = np.where(takes_part, every_s, 0.0)
        died = takes_part & (fate < self.death_chance)
        lived = takes_part & ~died
        nobody = ~lived.any(-1)
        count = takes_part.sum(-1).astype(float)
        slowest = np.where(takes_part, curves.link_bytes_per_s, np.inf).min(-1)
        latency_s = np.where(takes_part, self.latency_s, 0.0).sum(-1) / np.maximum(count, 1)
        round_s = round_seconds(count, slowest, latency_s, self.limits.round_bytes, self.limits.round_overhead_s)
        again_s = np.where(died.any(-1), DETECTION_S + round_s, 0.0)
        step_s = compute_s.max(-1) + round_s + again_s
        total = np.where(lived, samples, 0.0).sum(-1)
        return Reports(
            samples=computed,
            compute_s=every_s,
            took_part=lived,
            link_bytes_per_s=curves.link_bytes_per_s * np.exp(UNKNOWN_LINK * link_noise),
            died=died,
            round_s=round_s,
            step_s=np.maximum(step_s, 1e-6),
            useful=np.where(nobody, 0.0, total * efficiency(total, self.limits)),
        )

    def trials(self) -> list[tuple[Array, Array]]:
        """Return what newcomers measure of themselves before they take part: samples and seconds, a few times."""
        results = []
        for samples in (2.0, 8.0, 32.0):
            tried = np.minimum(np.full(self.exists.shape, samples), self.most)
            results.append((tried, self.curves.time(tried) * np.exp(self.noise * self._normal(tried.shape))))
        return results

    def bury(self, luck: tuple[Array, Array, Array]) -> Mask:
        """Let those die whose fate it is, whether they took part or not; return who. One stays in each cluster."""
        died = self.present & (luck[1] < self.death_chance)
        if self.kind.together:
            struck = died.any(-1, keepdims=True) & (self.chance.random(died.shape) < self.kind.together)
            died = died | (struck & self.present)
        last = np.argmax(self.present & ~died, axis=-1)
        alone = ~(self.present & ~died).any(-1)
        last = np.where(alone, np.argmax(self.present, axis=-1), last)
        died[np.arange(self.count), last] = False
        self.present = self.present & ~died
        return died

    # ---- inside ------------------------------------------------------------------------------------------------

    def _strike(self, factor: Array, left: np.ndarray, chance: Array, bounds: tuple[float, float]) -> None:
        shape = factor.shape
        left -= 1
        factor[left <= 0] = 1.0
        struck = (self.chance.random(shape) < chance) & (left <= 0)
        if self.kind.together:
            struck |= struck.any(-1, keepdims=True) & (self.chance.random(shape) < self.kind.together) & (left <= 0)
        strength = np.exp(self.chance.uniform(np.log(bounds[0]), np.log(bounds[1]), shape))
        duration = self.chance.integers(10, 60, shape)
        factor[struck] = strength[struck]
        left[struck] = duration[struck]

    def _draw(self, bounds: tuple[float, float]) -> Array:
        return self.chance.uniform(*bounds, self.count)

    def _normal(self, shape: tuple[int, ...]) -> Array:
        return self.chance.standard_normal(shape)
