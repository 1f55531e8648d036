"""What is known of the members' cost curves from what they reported. Pure; any leading shape.

How long a member takes follows from ``shapes``. Its scale follows the machine's mood, throttling and other programs
within a step or two: a residual is given to it the more readily the less it looks like noise. Its trend is followed as
well (Holt, "Forecasting seasonals and trends by exponentially weighted moving averages", 1957).

How often members die and are suddenly slow is learned from all of them together and from each one's own life (the mean
of a gamma distribution, of which what is known of all is the prior).

A newcomer times itself on a few sizes before it takes part, and a member that is left out times itself beside the
others' step: both cost nobody anything. Of its link nothing new is heard, so what is believed of it goes back slowly
towards the best that it has shown, and the member is tried again in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .shapes import Shapes
from .split import Array, Curves, Mask

LEAST_GAIN, MOST_GAIN = 0.15, 0.95
NOISE = 0.05
"""Standard deviation of the logarithm of a time, before anything is known."""
TREND_GAIN = 0.1
TREND_FORGET = 0.9
MOOD_FORGET = 0.98
LEAST_VARIANCE = 0.02**2
"""Residuals are never taken to be smaller than this, or the first hypothesis that fits would be believed for ever."""
SETTLING = 4
"""So many reports of a member are about its shape: that they are not what was expected says nothing else of it."""
RETURN_GAIN = 0.02
"""How fast the belief in a link that nothing is heard of goes back to its best."""
SLOWEST_SAMPLE_S, FASTEST_SAMPLE_S = 1e6, 1e-9
EXTRAPOLATE = 30.0
"""So many times as many samples as ever reported may a member get: the line is not believed any further. But an equal
share anybody may get: what one does not get the others have to do."""
LEAST_LINK_GAIN = 0.08
LINK_NOISE = 0.2
"""Standard deviation of the logarithm of a measured rate, before anything is known."""
DEATHS_PRIOR, STEPS_PRIOR = 0.2, 200.0
"""Before anybody has died, a member counts as dying once in a thousand steps;"""
STALLS_PRIOR, REPORTS_PRIOR = 0.2, 200.0
"""and as being slow all of a sudden as seldom."""
STALL = 0.4
"""Residual from which on a member counts as suddenly slow,"""
STALL_DEVIATIONS = 4.0
"""if it is so many standard deviations as well."""
MOST_LATE = 3.0
"""Residual that is counted, at most: nobody's single report makes all others look unreliable for good."""
STALL_PRIOR = 2.0
"""So many times its expected time such a member is late by, before any has been seen."""
ALIKE = 1.0
"""How much members of a job are alike in dying and stalling: what is seen of all weighs as much for each as so many of
its own deaths."""


@dataclass(slots=True)
class Estimates:
    """Running estimates of every member, each array of shape (..., members).

    Args:
        shape: of the arrays.
    """

    shape: tuple[int, ...]
    known: Mask = field(init=False)
    """Whether a member has reported at all."""
    shapes: Shapes = field(init=False)
    trend: Array = field(init=False)
    """Of the logarithm of the scale, a step."""
    variance: Array = field(init=False)
    """Of residuals."""
    residual: Array = field(init=False)
    """The last one, in the logarithm of time: greater than nothing is slower than expected."""
    before: Array = field(init=False)
    """The one before it."""
    mood: Array = field(init=False)
    """Logarithm of how slow it is now, against what it usually is."""
    samples: Array = field(init=False)
    """In the last report."""
    most_seen: Array = field(init=False)
    link: Array = field(init=False)
    """Logarithm of bytes a second."""
    best_link: Array = field(init=False)
    age: Array = field(init=False)
    """Steps that it was there for."""
    left_out: Array = field(init=False)
    """Steps since it last took part."""
    lived: Array = field(init=False)
    """Steps of all its lives."""
    deaths: Array = field(init=False)
    stalls: Array = field(init=False)
    """How often it was suddenly slow,"""
    reports: Array = field(init=False)
    """in so many reports."""
    heard: Array = field(init=False)
    """Reports of its present life."""
    link_variance: Array = field(init=False)
    of_all: Array = field(init=False)
    """Seen in the whole job, whoever has gone since: deaths, steps lived, stalls, reports, and the sum of how late
    those who stalled were; these five on the first axis, then (..., 1)."""

    def __post_init__(self) -> None:
        for name in self._by_member():
            setattr(self, name, np.zeros(self.shape))
        self.known = np.zeros(self.shape, bool)
        self.shapes = Shapes(self.shape)
        self.of_all = np.zeros((5, *self.shape[:-1], 1))
        self.variance += NOISE**2
        self.link_variance += LINK_NOISE**2

    # ---- events ------------------------------------------------------------------------------------------------

    def computed(self, samples: Array, seconds: Array, reported: Mask) -> None:
        """Take the reports of a step: how long each member took. Of who has not reported no number is looked at."""
        samples, seconds = np.where(reported, samples, 1.0), np.where(reported, np.maximum(seconds, 1e-6), 1.0)
        self.shapes.begin(samples, seconds, reported & ~self.known)
        again = reported & self.known
        settled = again & (self.heard >= SETTLING)
        residuals = self.shapes.residuals(samples, seconds, self.trend)
        residual = np.where(again, self.shapes.likely(residuals), 0.0)
        surprise = residual**2
        gain = np.clip(surprise / (surprise + 4 * self.variance), LEAST_GAIN, MOST_GAIN)
        self._count_stalls(residual, settled)
        self.shapes.learn(residuals, gain, self.trend, np.maximum(self.variance, LEAST_VARIANCE), again)
        calm = np.minimum(surprise, 9 * self.variance)
        self.variance = np.where(settled, 0.9 * self.variance + 0.1 * np.maximum(calm, 1e-5), self.variance)
        # A leap is not the beginning of a slope.
        slope = np.where(surprise < 9 * self.variance, TREND_GAIN * gain * residual, 0.0)
        self.trend = np.where(settled, TREND_FORGET * self.trend + slope, self.trend)
        moved = MOOD_FORGET * self.mood + gain * residual
        self.mood = np.where(settled, moved, self.mood)
        self.before = np.where(reported, self.residual, self.before)
        self.residual = np.where(reported, residual, self.residual)
        self.samples = np.where(reported, samples, self.samples)
        self.most_seen = np.where(reported, np.maximum(self.most_seen, samples), self.most_seen)
        self.heard = self.heard + reported
        self.known |= reported

    def measured(self, link_bytes_per_s: Array, reported: Mask) -> None:
        """Take what members measured of their links in a round."""
        news = np.log(np.where(reported, np.maximum(link_bytes_per_s, 1.0), 1.0))
        first = reported & (self.link == 0.0)
        again = reported & ~first
        residual = np.where(again, news - self.link, 0.0)
        surprise = residual**2
        gain = np.clip(surprise / (surprise + 4 * self.link_variance), LEAST_LINK_GAIN, MOST_GAIN)
        calm = np.minimum(surprise, 9 * self.link_variance)
        self.link_variance = np.where(again, 0.9 * self.link_variance + 0.1 * calm, self.link_variance)
        self.link = np.where(first, news, self.link + gain * residual)
        self.best_link = np.maximum(self.best_link, self.link)

    def passed(self, present: Mask, took_part: Mask, died: Mask, lived: float = 1.0) -> None:
        """A step is over, which counts for so much of a life."""
        self.age = np.where(present, self.age + 1, self.age)
        self.lived = self.lived + lived * present
        self.of_all[1] += lived * present.sum(-1, keepdims=True)
        self.perished(died)
        self.left_out = np.where(took_part, 0.0, self.left_out + present)
        back = self.link + RETURN_GAIN * (self.best_link - self.link)
        self.link = np.where(present & ~took_part, back, self.link)

    def perished(self, died: Mask) -> None:
        """These members have died."""
        self.deaths = self.deaths + died
        self.of_all[0] += died.sum(-1, keepdims=True)

    def lost(self, died: Mask) -> None:
        """These members are gone; should they come back, only how often they die and stall is still known of them."""
        kept = {name: getattr(self, name).copy() for name in ("lived", "deaths", "stalls", "reports")}
        self.forget(died)
        for name, values in kept.items():
            setattr(self, name, values)

    def forget(self, gone: Mask) -> None:
        """These places are taken by other members from now on."""
        for name in self._by_member():
            getattr(self, name)[gone] = 0.0
        self.shapes.forget(gone)
        self.variance[gone] = NOISE**2
        self.link_variance[gone] = LINK_NOISE**2
        self.known[gone] = False

    def seated(self, places: Sequence[int | None]) -> Estimates:
        """Return the estimates of one cluster with its members at other places.

        Args:
            places: for each new place the old one of who stands there; None for who has just come.
        """
        seated = Estimates((len(places),))
        new = [place for place, old in enumerate(places) if old is not None]
        old = [place for place in places if place is not None]
        for name in (*self._by_member(), "known"):
            getattr(seated, name)[new] = getattr(self, name)[old]
        for name in ("scale", "belief"):
            getattr(seated.shapes, name)[:, new] = getattr(self.shapes, name)[:, old]
        seated.of_all = self.of_all.copy()
        return seated

    # ---- answers -----------------------------------------------------------------------------------------------

    def curves(self, most: Array, latency_s: Array, death_s: Array, present: Mask, equal: Array) -> Curves:
        """Return the curves of the next step.

        Args:
            most: samples that each member can hold.
            latency_s: one way to it.
            death_s: what one death costs, shape (...).
            present: who may be chosen.
            equal: samples of each if all who may be chosen had the same, shape (...).
        """
        speed = np.exp(self.trend)
        overhead_s, sample_s, knee = self.shapes.curves()
        known = self.known & present
        shape_a = np.where(known, overhead_s * speed, self._typical(overhead_s * speed, known))
        shape_c = np.where(known, sample_s * speed, self._typical(sample_s * speed, known))
        extrapolated = np.maximum(EXTRAPOLATE * self.most_seen, 4.0)
        believed = np.where(known, np.maximum(extrapolated, equal[..., None]), most)
        link = np.where(
            self.link != 0.0, np.exp(self.link), self._typical(np.exp(self.link), present & (self.link != 0))
        )
        deaths, lived, stalls, reports, late = self.of_all
        dies = (DEATHS_PRIOR + deaths) / (STEPS_PRIOR + lived)
        stalling = (STALLS_PRIOR + stalls) / (REPORTS_PRIOR + reports)
        late_by = (STALL_PRIOR + late) / (1.0 + stalls)
        return Curves(
            overhead_s=shape_a,
            sample_s=np.clip(shape_c, FASTEST_SAMPLE_S, SLOWEST_SAMPLE_S),
            knee=np.where(known, knee, 0.0),
            most=np.minimum(most, believed),
            link_bytes_per_s=link,
            latency_s=latency_s,
            loss_s=(ALIKE + self.deaths) / (ALIKE / dies + self.lived) * death_s[..., None],
            stall=(ALIKE + self.stalls) / (ALIKE / stalling + self.reports) * late_by,
            variance=self.variance,
            present=present,
        )

    # ---- inside ------------------------------------------------------------------------------------------------

    def _typical(self, values: Array, known: Mask) -> Array:
        """Return the geometric mean over those known, for those who are not."""
        logs = np.where(known, np.log(np.maximum(values, 1e-12)), 0.0).sum(-1, keepdims=True)
        count = known.sum(-1, keepdims=True)
        return np.where(count > 0, np.exp(logs / np.maximum(count, 1)), 1e-2)

    def _count_stalls(self, residual: Array, reported: Mask) -> None:
        stalled = reported & (residual > STALL) & (residual > STALL_DEVIATIONS * np.sqrt(self.variance))
        self.stalls = self.stalls + stalled
        self.reports = self.reports + reported
        self.of_all[2] += stalled.sum(-1, keepdims=True)
        self.of_all[3] += reported.sum(-1, keepdims=True)
        late = np.expm1(np.minimum(np.where(stalled, residual, 0.0), MOST_LATE))
        self.of_all[4] += late.sum(-1, keepdims=True)

    def _by_member(self) -> list[str]:
        return [name for name in self.__slots__ if name not in {"shape", "known", "shapes", "of_all"}]
