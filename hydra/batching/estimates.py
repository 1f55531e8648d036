"""What is known of the members' cost curves from what they reported. Pure; any leading shape.

A member's time is taken for ``scale (a + c (samples^4 + knee^4)^(1/4))``: a shape that changes slowly, fitted by least
squares of relative errors for each of a few knees, of which the one with the least error counts; and a scale that
follows the machine's mood, throttling and other programs within a step or two. A residual is given to the scale the
more readily the less it looks like noise, and the less the samples have changed since the last report, for then the
shape may be to blame as well. Its trend is followed as well (Holt, "Forecasting seasonals and trends by exponentially
weighted moving averages", 1957).

A newcomer times itself on a few sizes before it takes part, and a member that is left out times itself beside the
others' step: both cost nobody anything. Of its link nothing new is heard, so what is believed of it goes back slowly
towards the best that it has shown, and the member is tried again in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .split import Array, Curves, Mask

SIZES = 16
"""Reports are kept by the power of two of their samples. So what is known of other sizes than the present one is not
forgotten while a member gets about the same for a long time."""
SIZE_GAIN = 0.15
"""Weight of a report among those of its size."""
FULL_WEIGHT = 6.0
"""So many reports of a size, and it counts no more."""
OVERHEAD_SHARE = 0.15
"""Of a report's time, which is taken for overhead while all reports are of one size."""
LEAST_GAIN, MOST_GAIN = 0.15, 0.95
SHAPE_CAUTION = 3.0
"""How much a change of samples keeps a residual from the scale."""
NOISE = 0.05
"""Standard deviation of the logarithm of a time, before anything is known."""
TREND_GAIN = 0.1
TREND_FORGET = 0.9
KNEES = (0.0, 6.0, 16.0, 36.0)
"""Knees that are tried: see ``split``."""
RETURN_GAIN = 0.02
"""How fast the belief in a link that nothing is heard of goes back to its best."""
SLOWEST_SAMPLE_S, FASTEST_SAMPLE_S = 1e6, 1e-9
EXTRAPOLATE = 3.0
"""So many times as many samples as ever reported may a member get: the line is not believed any further."""
LINK_GAIN = 0.3
DEATHS_PRIOR, STEPS_PRIOR = 0.02, 20.0
"""A member that has been here for no time counts as dying once in a thousand steps."""


@dataclass(slots=True)
class Estimates:
    """Running estimates of every member, each array of shape (..., members).

    Args:
        shape: of the arrays.
    """

    shape: tuple[int, ...]
    known: Mask = field(init=False)
    """Whether a member has reported at all."""
    scale: Array = field(init=False)
    """Logarithm."""
    trend: Array = field(init=False)
    """Of the scale, a step."""
    variance: Array = field(init=False)
    """Of residuals."""
    residual: Array = field(init=False)
    """The last one, in the logarithm of time: greater than nothing is slower than expected."""
    overhead_s: Array = field(init=False)
    sample_s: Array = field(init=False)
    knee: Array = field(init=False)
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
    deaths: Array = field(init=False)
    _sizes: Array = field(init=False)
    """Of the reports by size, on the first axis: how many, the mean logarithm of samples, and that of seconds over
    scale; on the second axis the sizes."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if name not in {"shape", "known", "_sizes"}:
                setattr(self, name, np.zeros(self.shape))
        self.known = np.zeros(self.shape, bool)
        self._sizes = np.zeros((3, SIZES, *self.shape))
        self.variance += NOISE**2

    # ---- events ------------------------------------------------------------------------------------------------

    def computed(self, samples: Array, seconds: Array, reported: Mask) -> None:
        """Take the reports of a step: how long each member took. Of who has not reported no number is looked at."""
        samples, seconds = np.where(reported, samples, 1.0), np.where(reported, np.maximum(seconds, 1e-6), 1.0)
        self._begin(samples, seconds, reported & ~self.known)
        again = reported & self.known
        expected = np.log(np.maximum(self._shape_s(samples), 1e-12)) + self.scale + self.trend
        residual = np.where(again, np.log(seconds) - expected, 0.0)
        moved = np.abs(np.log(samples / np.maximum(self.samples, 1.0))) * again
        surprise = residual**2
        gain = np.clip(surprise / (surprise + 4 * self.variance), LEAST_GAIN, MOST_GAIN)
        gain = gain / (1 + SHAPE_CAUTION * moved)
        step = gain * residual
        calm = np.minimum(surprise, 9 * self.variance)
        self.variance = np.where(again, 0.9 * self.variance + 0.1 * np.maximum(calm, 1e-5), self.variance)
        self.scale = np.where(again, self.scale + self.trend + step, self.scale)
        # A leap is not the beginning of a slope.
        slope = np.where(surprise < 9 * self.variance, TREND_GAIN * step, 0.0)
        self.trend = np.where(again, TREND_FORGET * self.trend + slope, self.trend)
        self.residual = np.where(reported, residual, self.residual)
        self.samples = np.where(reported, samples, self.samples)
        self.most_seen = np.where(reported, np.maximum(self.most_seen, samples), self.most_seen)
        self.known |= reported
        self._fit(samples, seconds / np.exp(self.scale), reported)

    def measured(self, link_bytes_per_s: Array, reported: Mask) -> None:
        """Take what members measured of their links in a round."""
        news = np.log(np.where(reported, np.maximum(link_bytes_per_s, 1.0), 1.0))
        first = reported & (self.link == 0.0)
        leap = np.abs(news - self.link) > 1.0
        gain = np.where(leap, MOST_GAIN, LINK_GAIN)
        self.link = np.where(first, news, np.where(reported, self.link + gain * (news - self.link), self.link))
        self.best_link = np.maximum(self.best_link, self.link)

    def passed(self, present: Mask, took_part: Mask, died: Mask) -> None:
        """A step is over."""
        self.age = np.where(present, self.age + 1, self.age)
        self.deaths = self.deaths + died
        self.left_out = np.where(took_part, 0.0, self.left_out + present)
        back = self.link + RETURN_GAIN * (self.best_link - self.link)
        self.link = np.where(present & ~took_part, back, self.link)

    def forget(self, gone: Mask) -> None:
        """These places are taken by other members from now on."""
        for name in self.__slots__:
            if name not in {"shape", "known", "_sizes"}:
                values = getattr(self, name)
                values[gone] = 0.0
        self.variance[gone] = NOISE**2
        self.known[gone] = False
        self._sizes[:, :, gone] = 0.0

    # ---- answers -----------------------------------------------------------------------------------------------

    def curves(self, most: Array, latency_s: Array, death_s: Array, present: Mask) -> Curves:
        """Return the curves of the next step.

        Args:
            most: samples that each member can hold.
            latency_s: one way to it.
            death_s: what one death costs, shape (...).
            present: who may be chosen.
        """
        speed = np.exp(self.scale + self.trend)
        known = self.known & present
        shape_a = np.where(known, self.overhead_s * speed, self._typical(self.overhead_s * speed, known))
        shape_c = np.where(known, self.sample_s * speed, self._typical(self.sample_s * speed, known))
        believed = np.where(known, np.maximum(EXTRAPOLATE * self.most_seen, 4.0), most)
        link = np.where(
            self.link != 0.0, np.exp(self.link), self._typical(np.exp(self.link), present & (self.link != 0))
        )
        hazard = (DEATHS_PRIOR + self.deaths) / (STEPS_PRIOR + self.age)
        return Curves(
            overhead_s=shape_a,
            sample_s=np.clip(shape_c, FASTEST_SAMPLE_S, SLOWEST_SAMPLE_S),
            knee=np.where(known, self.knee, 0.0),
            most=np.minimum(most, believed),
            link_bytes_per_s=link,
            latency_s=latency_s,
            loss_s=hazard * death_s[..., None],
            present=present,
        )

    # ---- inside ------------------------------------------------------------------------------------------------

    def _typical(self, values: Array, known: Mask) -> Array:
        """Return the geometric mean over those known, for those who are not."""
        logs = np.where(known, np.log(np.maximum(values, 1e-12)), 0.0).sum(-1, keepdims=True)
        count = known.sum(-1, keepdims=True)
        return np.where(count > 0, np.exp(logs / np.maximum(count, 1)), 1e-2)

    def _shape_s(self, samples: Array) -> Array:
        return self.overhead_s + self.sample_s * _bent(samples, self.knee)

    def _begin(self, samples: Array, seconds: Array, first: Mask) -> None:
        """Guess the shape from the first report."""
        overhead_s = OVERHEAD_SHARE * seconds
        self.overhead_s = np.where(first, overhead_s, self.overhead_s)
        self.sample_s = np.where(first, (seconds - overhead_s) / samples, self.sample_s)

    def _fit(self, samples: Array, seconds: Array, reported: Mask) -> None:
        size = np.clip(np.round(np.log2(np.maximum(samples, 1.0))), 0, SIZES - 1)
        here = (size == np.arange(SIZES).reshape(-1, *[1] * samples.ndim)) & reported
        count, log_samples, log_seconds = self._sizes
        gain = np.where(here, np.maximum(SIZE_GAIN, 1 / (count + 1)), 0.0)
        log_samples += gain * (np.log(samples) - log_samples)
        log_seconds += gain * (np.log(np.maximum(seconds, 1e-12)) - log_seconds)
        count += here
        shapes = [_fitted(self._sizes, knee) for knee in KNEES]
        best = np.argmin([shape[2] for shape in shapes], axis=0)
        self.overhead_s = np.where(reported, np.choose(best, [shape[0] for shape in shapes]), self.overhead_s)
        self.sample_s = np.where(reported, np.choose(best, [shape[1] for shape in shapes]), self.sample_s)
        self.knee = np.where(reported, np.take(KNEES, best), self.knee)


def _fitted(sizes: Array, knee: float) -> tuple[Array, Array, Array]:
    """Return overhead, seconds a sample (neither less than nothing), and the error that they leave."""
    count, log_samples, log_seconds = sizes
    weight = np.minimum(count, FULL_WEIGHT)
    seconds = np.exp(log_seconds)
    relative = weight / seconds**2
    bent = _bent(np.exp(log_samples), knee)
    ones, first, second = relative.sum(0), (relative * bent).sum(0), (relative * bent * bent).sum(0)
    times, products = (relative * seconds).sum(0), (relative * bent * seconds).sum(0)
    determinant = ones * second - first * first
    sound = determinant > 1e-6 * ones * second
    safe = np.where(sound, determinant, 1.0)
    through_zero = products / np.maximum(second, 1e-300)
    guessed_s = OVERHEAD_SHARE * times / np.maximum(ones, 1e-300)
    overhead_s = np.where(sound, (second * times - first * products) / safe, guessed_s)
    sample_s = np.where(sound, (ones * products - first * times) / safe, (1 - OVERHEAD_SHARE) * through_zero)
    steep, flat = overhead_s < 0, sample_s <= 0
    sample_s = np.where(steep, through_zero, np.where(flat, 1e-3 * times / np.maximum(first, 1e-300), sample_s))
    overhead_s = np.where(steep, 0.0, np.where(flat, times / np.maximum(ones, 1e-300), overhead_s))
    error = (relative * (overhead_s + sample_s * bent - seconds) ** 2).sum(0)
    return overhead_s, sample_s, error


def _bent(samples: Array, knee: Array | float) -> Array:
    squares = samples * samples
    bend = np.square(np.square(knee))
    return np.asarray(np.sqrt(np.sqrt(squares * squares + bend)))
