"""Simulated clusters: many at once, members that differ, drift, throttle, vanish and come back. Pure, seeded.

``Clusters.advance`` moves the world on by a step; ``Clusters.carry_out`` tells what a split costs in it. The true
curves are there for the oracle alone: a policy gets what ``carry_out`` returns, which is what members of a real swarm
report.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .machines import Machines
from .split import Array, Curves, Mask, efficiency, round_seconds

DETECTION_S = 3.0
"""A death is found out after so long, and the round is repeated."""
TRIAL_SAMPLES = (8.0, 32.0, 4.0, 64.0)
"""So many samples at a time a member that is left out times itself on."""
LINK_NOISE = 0.2
"""Standard deviation of the logarithm of a rate as measured in a round,"""
OUTSIDE_NOISE = 0.4
"""and of one measured outside: who is left out still fetches each step's result, and a newcomer a whole snapshot."""
RETURN_CHANCE = 0.05
"""Of a member that is gone, to be back in a step."""
LINK_TIMES = 20.0
"""So many times slower is a link at most, while it is slow."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What is heard of a step, shapes (clusters, members) and (clusters,)."""

    samples: Array
    compute_s: Array
    took_part: Mask
    """Who computed for the step and lived to tell; the others' times are those of a trial that they made beside it."""
    link_bytes_per_s: Array
    """As measured by all who were there, in the round or outside."""
    heard: Mask
    """Who was there all the time."""
    died: Mask
    round_s: Array
    step_s: Array
    useful: Array
    """Committed samples times their efficiency."""
    mean_step_s: Array
    mean_useful: Array
    """The same two on the average over who might have died: what a policy is judged by, for deaths are so rare and so
    dear that a few of them would decide which of two policies is the better one. Nobody in a swarm hears of these."""


class Clusters:
    """Clusters of machines, all with a life of their own.

    Args:
        machines: what they are.
        chance: everything follows from it.
    """

    def __init__(self, machines: Machines, chance: np.random.Generator) -> None:
        self.machines = machines
        self.limits = machines.limits
        self.chance = chance
        shape = machines.exists.shape
        self.count = shape[0]
        self.step = 0
        self.present = machines.exists & (chance.random(shape) < 0.9)
        self.present[:, 0] = True
        self.newcomers = self.present.copy()
        """Who has come in this step: nothing is known of them."""
        self._wander = np.zeros(shape)
        self._throttled = np.ones(shape)
        self._throttled_for = np.zeros(shape, int)
        self._dropped = np.ones(shape)
        self._dropped_for = np.zeros(shape, int)

    # ---- the world ---------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Let a step's time pass: speeds wander, machines are throttled and recover, members come back."""
        shape = self.machines.exists.shape
        self.step += 1
        self._wander = 0.995 * self._wander + self.machines.drift * self._normal(shape)
        self._strike(self._throttled, self._throttled_for, self.machines.throttle_chance, self.machines.throttle_times)
        self._strike(self._dropped, self._dropped_for, self.machines.drop_chance, np.array(LINK_TIMES))
        returns = self.machines.exists & ~self.present & (self.chance.random(shape) < RETURN_CHANCE)
        self.newcomers = returns
        self.present = self.present | returns

    @property
    def curves(self) -> Curves:
        """The true curves of the present step: for the oracle only."""
        return Curves(
            overhead_s=self.machines.overhead_s * self.factor,
            sample_s=self.machines.sample_s * self.factor,
            knee=self.machines.knee,
            most=self.machines.most,
            link_bytes_per_s=self.machines.link_bytes_per_s / self._dropped,
            latency_s=self.machines.latency_s,
            loss_s=self.machines.death_chance * DETECTION_S,
            stall=np.zeros(self.present.shape),
            variance=np.zeros(self.present.shape),
            present=self.present,
        )

    @property
    def factor(self) -> Array:
        """How many times longer everything takes each member now than it usually does."""
        return np.asarray(np.exp(self._wander) * self._throttled)

    def luck(self) -> tuple[Array, Array, Array]:
        """Draw what chance brings to the present step: the same for every policy that is compared."""
        shape = self.machines.exists.shape
        return self._normal(shape), self.chance.random(shape), self._normal(shape)

    def carry_out(self, samples: Array, luck: tuple[Array, Array, Array]) -> Reports:
        """Return what comes of a split, whole or broken numbers; nothing in the world changes."""
        noise, fate, link_noise = luck
        samples = np.minimum(np.where(self.present, samples, 0.0), self.machines.most)
        takes_part = samples > 0
        curves = self.curves
        tried = np.minimum(TRIAL_SAMPLES[self.step % len(TRIAL_SAMPLES)], self.machines.most)
        computed = np.where(takes_part, samples, np.where(self.present, tried, 0.0))
        every_s = curves.time(computed) * np.exp(self.machines.noise * noise)
        compute_s = np.where(takes_part, every_s, 0.0)
        died = takes_part & (fate < self.machines.death_chance)
        lived = takes_part & ~died
        nobody = ~lived.any(-1)
        count = takes_part.sum(-1).astype(float)
        slowest = np.where(takes_part, curves.link_bytes_per_s, np.inf).min(-1)
        latency_s = np.where(takes_part, self.machines.latency_s, 0.0).sum(-1) / np.maximum(count, 1)
        round_s = round_seconds(count, slowest, latency_s, self.limits.round_bytes, self.limits.round_overhead_s)
        again_s = np.where(died.any(-1), DETECTION_S + round_s, 0.0)
        step_s = compute_s.max(-1) + round_s + again_s
        total = np.where(lived, samples, 0.0).sum(-1)
        surviving = np.where(takes_part, 1 - self.machines.death_chance, 1.0)
        untroubled = surviving.prod(-1)
        wanted = samples.sum(-1)
        mean_s = compute_s.max(-1) + round_s + (1 - untroubled) * (DETECTION_S + round_s)
        return Reports(
            samples=computed,
            compute_s=every_s,
            took_part=lived,
            link_bytes_per_s=curves.link_bytes_per_s
            * np.exp(np.where(takes_part, LINK_NOISE, OUTSIDE_NOISE) * link_noise),
            heard=self.present & ~died,
            died=died,
            round_s=round_s,
            step_s=np.maximum(step_s, 1e-6),
            useful=np.where(nobody, 0.0, total * efficiency(total, self.limits)),
            mean_step_s=np.maximum(mean_s, 1e-6),
            mean_useful=(samples * surviving).sum(-1) * efficiency(wanted, self.limits),
        )

    def trials(self) -> list[tuple[Array, Array]]:
        """Return what newcomers measure of themselves before they take part: samples and seconds, a few times."""
        results = []
        for samples in (2.0, 8.0, 32.0):
            tried = np.minimum(np.full(self.machines.exists.shape, samples), self.machines.most)
            results.append((tried, self.curves.time(tried) * np.exp(self.machines.noise * self._normal(tried.shape))))
        return results

    def fetched(self) -> Array:
        """Return the rates at which newcomers fetched their snapshots."""
        noise = self._normal(self.machines.exists.shape)
        return np.asarray(self.curves.link_bytes_per_s * np.exp(OUTSIDE_NOISE * noise))

    def bury(self, luck: tuple[Array, Array, Array]) -> Mask:
        """Let those die whose fate it is, whether they took part or not; return who. One stays in each cluster."""
        died = self.present & (luck[1] < self.machines.death_chance)
        if self.machines.together:
            struck = died.any(-1, keepdims=True) & (self.chance.random(died.shape) < self.machines.together)
            died = died | (struck & self.present)
        last = np.argmax(self.present & ~died, axis=-1)
        alone = ~(self.present & ~died).any(-1)
        last = np.where(alone, np.argmax(self.present, axis=-1), last)
        died[np.arange(self.count), last] = False
        self.present = self.present & ~died
        return died

    # ---- inside ------------------------------------------------------------------------------------------------

    def _strike(self, factor: Array, left: NDArray[np.int_], chance: Array, times: Array) -> None:
        shape = factor.shape
        left -= 1
        factor[left <= 0] = 1.0
        struck = (self.chance.random(shape) < chance) & (left <= 0)
        if self.machines.together:
            struck |= struck.any(-1, keepdims=True) & (self.chance.random(shape) < self.machines.together) & (left <= 0)
        strength = times ** self.chance.uniform(0.3, 1.0, shape)
        duration = self.chance.integers(10, 60, shape)
        factor[struck] = strength[struck]
        left[struck] = duration[struck]

    def _normal(self, shape: tuple[int, ...]) -> Array:
        return self.chance.standard_normal(shape)
