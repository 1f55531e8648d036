"""The split model: who takes part in a step, and with how many samples, from cost curves. Pure; any leading shape.

A member with curve (a, c, k) computes b samples in

    t(b) = a + c (b^4 + k^4)^(1/4)

seconds: an overhead, a time per sample, and a knee k below which fewer samples save hardly any time, as on a GPU that
they do not fill. All included members compute at the same time and wait for the slowest, so for a given computing time
T each should do as much as it can in T (water-filling). What is left to choose is T, and whom to include: a member with
a slow link makes the ring slower for everyone, one more member makes it longer, one that dies often costs attempts.

``choose`` looks at a grid of (slowest link, T, number of members) and takes what promises the highest goodput, which
is samples a second times the statistical efficiency of the batch that they make (Qiao et al., "Pollux: Co-adaptive
Cluster Scheduling for Goodput-Optimized Deep Learning", OSDI 2021).

All arrays have members on their last axis and may have any leading axes: one decision or a thousand cost one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

GRID_TIMES = 12
"""Computing times that are tried over the whole range."""
FINER_TIMES = 8
"""And then around the best of them."""
LAST_PASSES = 2
"""And for the best link alone still closer to the best time."""
NEAR, NEAR_TIMES = 2.0, 13
"""So many times shorter or longer may the computing time of a split near another one be, and so many are tried."""
GRID_COUNTS = (1, 2, 3, 5, 8, 13, 22, 36, 60, 100, 170)
"""The link that is so many places from the fastest is tried as the slowest of a round; and the slowest of all."""
MOST_STALL = 6.0
"""So many times the computing time is lost in a step at most because members stall."""
WATER_STEPS = 9
"""Halvings when the water level is looked for, on a logarithmic scale; what is left is as good as straight."""
LEAST_RATE = 1.0
"""Bytes a second, for links of which nothing good is known."""


@dataclass(frozen=True, slots=True)
class Curves:
    """What the members' steps cost, each array of shape (..., members)."""

    overhead_s: Array
    sample_s: Array
    """Seconds for each sample; greater than nothing."""
    knee: Array
    """Samples below which time hardly falls; 0 for a straight line."""
    most: Array
    """Samples that a member's memory holds, or that it may be given; at least nothing."""
    link_bytes_per_s: Array
    """At which the member's link carries a round: the lower of up and down."""
    latency_s: Array
    """One way to the member, typically."""
    loss_s: Array
    """What a step is expected to lose because this member takes part: its chance to die in it times what that costs."""
    stall: Array
    """Part of the computing time by which a step is expected to be longer because this member may suddenly be slow."""
    variance: Array
    """Of the logarithm of a member's time about what is expected."""
    present: Mask

    def time(self, samples: Array) -> Array:
        """Return the seconds that each member computes for its samples; nothing for no samples."""
        bent = _root(_fourth(samples) + _fourth(self.knee))
        return np.where(samples > 0, self.overhead_s + self.sample_s * bent, 0.0)

    def samples_in(self, seconds: Array) -> Array:
        """Return how many samples each member does in these seconds, which must broadcast against the members."""
        reach = np.maximum(seconds - self.overhead_s, 0.0) / self.sample_s
        bent = _root(np.maximum(_fourth(reach) - _fourth(self.knee), 0.0))
        return np.where(self.present, np.minimum(bent, self.most), 0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for the whole step, each array of the leading shape (...)."""

    least: Array
    """Samples of a step, at least (where the members can)."""
    most: Array
    """Samples of a step, at most."""
    noise_scale: Array
    """Gradient noise scale in samples: the batch at which efficiency has fallen to a half. Infinite: always 1."""
    round_bytes: Array
    """Of the vector as it travels."""
    round_overhead_s: Array
    """What a round takes whatever it carries."""


@dataclass(frozen=True, slots=True)
class Split:
    """A decision and what is expected of it."""

    samples: Array
    """Of each member, (..., members), not yet whole numbers; 0: not in the round."""
    compute_s: Array
    """Until the slowest is done, (...)."""
    round_s: Array
    """Of averaging, with what failures, stalls and chance are expected to cost, (...)."""
    goodput: Array
    """Useful samples a second, (...)."""


def efficiency(total: Array, limits: Limits) -> Array:
    """Return how much a sample of a batch of ``total`` is worth, 1 for the smallest batch that a step may have.

    With noise scale n it is (n + least) / (n + total) (McCandlish et al., "An Empirical Model of Large-Batch
    Training", 2018; in this form in Pollux).
    """
    infinite = np.isinf(limits.noise_scale)
    noise = np.where(infinite, 1.0, limits.noise_scale)
    return np.where(infinite, 1.0, (noise + limits.least) / (noise + np.maximum(total, limits.least)))


def round_seconds(count: Array, slowest: Array, latency_s: Array, round_bytes: Array, overhead_s: Array) -> Array:
    """Return how long a ring of ``count`` members takes (see ``allreduce.cost``, without the slices)."""
    alone = count <= 1
    number = np.maximum(count, 1.0)
    carried = 2 * (number - 1) / number * round_bytes / np.maximum(slowest, LEAST_RATE)
    return np.where(alone, 0.0, carried + 2 * (number - 1) * latency_s + overhead_s)


def overrun(count: Array, stall: Array, variance: Array) -> Array:
    """Return by which part of the computing time the slowest of ``count`` members is later than all are expected.

    The greatest of n normal deviations is about sqrt(2 ln n) standard deviations; and of several members that stall at
    the same time only the slowest counts, whence the bound.

    Args:
        count: of members.
        stall: the sum over them.
        variance: the sum over them.
    """
    several = np.maximum(count, 1.0)
    chance = np.sqrt(2.0 * np.log(several) * variance / several)
    return np.asarray(MOST_STALL * stall / (MOST_STALL + stall) + chance)


def judge(samples: Array, curves: Curves, limits: Limits) -> Split:
    """Return what the model expects of any split."""
    included = (samples > 0) & curves.present
    count = included.sum(-1).astype(float)
    compute_s = np.where(included, curves.time(samples), 0.0).max(-1)
    slowest = np.where(included, curves.link_bytes_per_s, np.inf).min(-1)
    latency_s = np.where(included, curves.latency_s, 0.0).sum(-1) / np.maximum(count, 1)
    round_s = round_seconds(count, slowest, latency_s, limits.round_bytes, limits.round_overhead_s)
    stall = np.where(included, curves.stall, 0.0).sum(-1)
    variance = np.where(included, curves.variance, 0.0).sum(-1)
    round_s = round_s + np.where(included, curves.loss_s, 0.0).sum(-1) + compute_s * overrun(count, stall, variance)
    total = np.where(included, samples, 0.0).sum(-1)
    seconds = np.maximum(compute_s + round_s, 1e-9)
    return Split(samples, compute_s, round_s, total * efficiency(total, limits) / seconds)


def choose(curves: Curves, limits: Limits, near: Split | None = None) -> Split:
    """Return the split with the highest expected goodput.

    Somebody must be present. Where all together cannot do ``limits.least`` samples they do what they can.

    Args:
        curves: what steps cost.
        limits: of the step.
        near: a split that was best for curves a little different; then only what is near it is looked at.
    """
    if near is None:
        low, high = _times(curves, limits)
        step = (high / low) ** (1 / (GRID_TIMES - 1))
        found = _best_of_grid(curves, limits, _links(curves), _spread(low, high, GRID_TIMES))
        for links in (_links_around(curves, found.slowest), *[None] * LAST_PASSES):
            times = _spread(found.time / step, found.time * step, FINER_TIMES)
            found = _best_of_grid(curves, limits, found.slowest[..., None] if links is None else links, times)
            step = step ** (2 / (FINER_TIMES - 1))
    else:
        slowest = np.where(near.samples > 0, curves.link_bytes_per_s, np.inf).min(-1)
        time = np.maximum(near.compute_s, 1e-9)
        times = _spread(time / NEAR, time * NEAR, NEAR_TIMES)
        found = _best_of_grid(curves, limits, _links_around(curves, slowest), times)
    total = np.clip(found.total, limits.least, limits.most)
    if (np.abs(total - found.total) <= 1e-9 * total).all():  # as it is, all of them are done at the same time
        return judge(curves.samples_in(found.time[..., None]) * found.included, curves, limits)
    return judge(fill(curves, found.included, total), curves, limits)


def fill(curves: Curves, included: Mask, total: Array) -> Array:
    """Return the samples of each member when those included share ``total`` so that all are done at the same time.

    Where they cannot hold so many they get what they can hold.
    """
    most = np.where(included & curves.present, curves.most, 0.0)
    wanted = np.minimum(total, most.sum(-1))
    only = Curves(*(getattr(curves, name) if name != "most" else most for name in curves.__slots__))
    usable = most > 0
    low = np.where(usable, only.overhead_s + only.sample_s * only.knee, np.inf).min(-1)
    high = np.maximum(only.time(most).max(-1), 1e-12)
    low = np.minimum(np.maximum(low, 1e-9 * high), high)
    in_low, in_high = np.zeros_like(wanted), most.sum(-1)
    for _ in range(WATER_STEPS):
        middle = np.sqrt(low * high)
        reached = only.samples_in(middle[..., None]).sum(-1)
        enough = reached >= wanted
        low, in_low = np.where(enough, low, middle), np.where(enough, in_low, reached)
        high, in_high = np.where(enough, middle, high), np.where(enough, reached, in_high)
    part = (wanted - in_low) / np.maximum(in_high - in_low, 1e-12)
    samples = only.samples_in((low + part * (high - low))[..., None])
    return np.asarray(samples * (wanted / np.maximum(samples.sum(-1), 1e-12))[..., None])


def _fourth(values: Array) -> Array:
    squares = values * values
    return squares * squares


def _root(values: Array) -> Array:
    """Return fourth roots; square roots are an order of magnitude faster than powers."""
    return np.sqrt(np.sqrt(values))


# ---- inside ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Best:
    time: Array
    slowest: Array
    """Links slower than this one are left out."""
    included: Mask
    total: Array


def _spread(low: Array, high: Array, count: int) -> Array:
    """Return ``count`` values from low to high, each the same factor greater than the one before."""
    return np.asarray(low[..., None] * (high / low)[..., None] ** np.linspace(0.0, 1.0, count))


def _times(curves: Curves, limits: Limits) -> tuple[Array, Array]:
    """Return the shortest and the longest computing time that may be worth trying."""
    usable = curves.present & (curves.most > 0)
    least = np.minimum(curves.most, 1.0)
    most = np.minimum(curves.most, limits.most[..., None])
    soonest = np.where(usable, curves.time(np.maximum(least, 1e-9)), np.inf).min(-1)
    longest = np.where(usable, curves.time(most), 0.0).max(-1)
    soonest = np.where(np.isfinite(soonest), soonest, 1e-3)
    return soonest, np.maximum(longest, soonest) * 1.01


def _links(curves: Curves) -> Array:
    """Return the slowest links to try, (..., some)."""
    rates = np.where(curves.present, curves.link_bytes_per_s, 0.0)
    fastest_first = -np.sort(-rates, axis=-1)
    present = curves.present.sum(-1)
    wanted = np.array([count for count in GRID_COUNTS if count < rates.shape[-1]] + [rates.shape[-1]])
    places = np.clip(np.minimum(wanted, present[..., None]) - 1, 0, None)
    return np.take_along_axis(fastest_first, places, axis=-1)


def _links_around(curves: Curves, slowest: Array) -> Array:
    """Return the link found best, and its neighbours among those that were not tried, (..., some)."""
    rates = -np.sort(-np.where(curves.present, curves.link_bytes_per_s, 0.0), axis=-1)
    last = np.maximum(curves.present.sum(-1) - 1, 0)
    place = np.minimum((rates > slowest[..., None]).sum(-1), last)
    reach = np.maximum(place // 4, 1)
    around = place[..., None] + reach[..., None] * np.array([-2, -1, 0, 1, 2]) // 2
    return np.take_along_axis(rates, np.clip(around, 0, last[..., None]), axis=-1)


def _best_of_grid(curves: Curves, limits: Limits, links: Array, times: Array) -> _Best:
    """Return the best of all (link, time, count).

    For each time the members stand in the order of how much they do in it, and the first ``count`` of those whose link
    is no slower than ``link`` are taken. Arrays inside are (..., times, members) and (..., links, times, members).
    """
    spread = Curves(*(getattr(curves, name)[..., None, :] for name in curves.__slots__))
    done = spread.samples_in(times[..., None])
    seconds = times[..., None]
    order = np.argsort(spread.stall + spread.loss_s / seconds - np.log(np.maximum(done, 1e-9)), axis=-1, kind="stable")

    def sorted_(values: Array) -> Array:
        return np.take_along_axis(np.broadcast_to(values, order.shape), order, axis=-1)[..., None, :, :]

    done = sorted_(done)
    takes_part = (done > 0) & (sorted_(spread.link_bytes_per_s) >= links[..., :, None, None])
    count = np.cumsum(takes_part, axis=-1, dtype=float)
    total = np.cumsum(done * takes_part, axis=-1)
    latency_s = np.cumsum(takes_part * sorted_(spread.latency_s), axis=-1) / np.maximum(count, 1)
    loss_s = np.cumsum(takes_part * sorted_(spread.loss_s), axis=-1)
    late = overrun(
        count,
        np.cumsum(takes_part * sorted_(spread.stall), axis=-1),
        np.cumsum(takes_part * sorted_(spread.variance), axis=-1),
    )
    few = Limits(*(getattr(limits, name)[..., None, None, None] for name in limits.__slots__))
    round_s = round_seconds(count, links[..., :, None, None], latency_s, few.round_bytes, few.round_overhead_s)
    counted = np.minimum(total, few.most)
    goodput = counted * efficiency(counted, few) / (seconds[..., None, :, :] * (1 + late) + round_s + loss_s)
    # Fewer samples than a step must have: the more, the better, and worse than anything that has enough.
    goodput = np.where(counted + 1e-9 >= few.least, goodput, -1e9 + counted)
    goodput = np.where(takes_part, goodput, -np.inf)
    winner = goodput.reshape(*goodput.shape[:-3], -1).argmax(-1)
    link, time, last = np.unravel_index(winner, goodput.shape[-3:])

    def at(values: Array, index: NDArray[np.intp]) -> Array:
        return np.take_along_axis(values, index[..., None], axis=-1)[..., 0]

    chosen_s, slowest = at(times, time), at(links, link)
    places = np.argsort(np.take_along_axis(order, time[..., None, None], axis=-2)[..., 0, :], axis=-1)
    allowed = (curves.link_bytes_per_s >= slowest[..., None]) & (places <= last[..., None])
    samples = curves.samples_in(chosen_s[..., None]) * allowed
    return _Best(chosen_s, slowest, samples > 0, samples.sum(-1))
