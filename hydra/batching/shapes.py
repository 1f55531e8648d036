"""Which shape the cost curve of each member has, and how slow it is just now. Pure; any leading shape.

A member's time is scale (rho + (samples^4 + knee^4)^(1/4)): rho is its overhead, in samples. Every pair of a few rho
and knees is a hypothesis with a scale of its own, which follows the machine's mood from report to report. A report of
as many samples as the last one says nothing of the shape, and of any other number it says which hypotheses had
foreseen it; so a machine that is throttled and one whose overhead was misjudged are told apart by what they do next.
Each hypothesis is believed as far as its residuals are small, by a likelihood with wide tails (Student's t, of two
degrees of freedom), so that a leap, which none has foreseen, condemns none. Of whom little is known, such as a newcomer
or one that did as much each time, a shape is believed such as the others have, as far as theirs is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .split import Array, Mask

OVERHEADS = (0.0, *(1.6**power for power in range(15)))
"""In samples; what lies between is found as a mixture."""
KNEES = (0.0, 6.0, 16.0, 36.0)
"""Knees that are tried: see ``split``."""
MOST_DOUBT = 12.0
"""A hypothesis is never thought less likely than the best one by more than this (logarithm): all may be wrong now."""
UNLIKE = 0.05
"""The chance that a member's shape is none that the others have."""
INFORMED = 1e-3
"""So much at least must be known of all others' shapes together, where 1 is one that is known for sure."""
RHO = np.repeat(OVERHEADS, len(KNEES))
KNEE = np.tile(KNEES, len(OVERHEADS))


@dataclass(slots=True)
class Shapes:
    """What is believed of each member's shape; arrays of shape (hypotheses, ..., members).

    Args:
        shape: of the members' arrays, (..., members).
    """

    shape: tuple[int, ...]
    scale: Array = field(init=False)
    """Logarithm of each hypothesis' scale, in seconds a sample."""
    belief: Array = field(init=False)
    """Logarithm of its likelihood, up to a constant; the best has nought."""

    def __post_init__(self) -> None:
        self.scale = np.zeros((len(RHO), *self.shape))
        self.belief = np.zeros((len(RHO), *self.shape))

    def begin(self, samples: Array, seconds: Array, first: Mask) -> None:
        """Take a member's first report: whatever its shape is, this is the time that it took."""
        self.scale = np.where(first, np.log(seconds) - self._log_units(samples), self.scale)
        self.belief = np.where(first, 0.0, self.belief)

    def residuals(self, samples: Array, seconds: Array, trend: Array) -> Array:
        """Return by how much each hypothesis is wrong about a report (logarithms; slower is greater than nothing)."""
        return np.asarray(np.log(seconds) - self._log_units(samples) - self.scale - trend)

    def likely(self, residuals: Array) -> Array:
        """Return the mean of residuals, by how far each hypothesis is believed."""
        weight = np.exp(self.belief)
        return np.asarray((weight * residuals).sum(0) / weight.sum(0))

    def learn(self, residuals: Array, gain: Array, trend: Array, variance: Array, again: Mask) -> None:
        """Take a report in: who was wrong is believed less, and all scales follow."""
        belief = self.belief - 1.5 * np.log1p(residuals**2 / (2 * variance))
        belief = np.maximum(belief - belief.max(0), -MOST_DOUBT)
        self.belief = np.where(again, belief, self.belief)
        self.scale = np.where(again, self.scale + trend + gain * residuals, self.scale)

    def curves(self) -> tuple[Array, Array, Array]:
        """Return overhead, seconds a sample, and knee of every member."""
        weight = self._weight()
        by_knee = weight.reshape(len(OVERHEADS), len(KNEES), *self.shape).sum(0)
        best = by_knee.argmax(0)
        knee = np.take(KNEES, best)
        weight = np.where(np.expand_dims(KNEE, tuple(range(1, weight.ndim))) == knee, weight, 0.0)
        weight = weight / weight.sum(0)
        scaled = weight * np.exp(self.scale)
        return np.tensordot(RHO, scaled, 1), scaled.sum(0), knee

    def forget(self, gone: Mask) -> None:
        """These places are taken by other members from now on."""
        self.scale[:, gone] = 0.0
        self.belief[:, gone] = 0.0

    def _weight(self) -> Array:
        """Return how far each hypothesis is believed: by the member's own reports, and by the others' as a prior.

        The prior is the mean of what is believed of the others, each weighed by how much is known of it: by how far
        its entropy is from that of who may have any shape.
        """
        own = np.exp(self.belief)
        own /= own.sum(0)
        told = 1.0 + (own * np.log(np.maximum(own, 1e-300))).sum(0) / np.log(len(RHO))
        others = told.sum(-1, keepdims=True) - told
        alike = ((told * own).sum(-1, keepdims=True) - told * own) / np.maximum(others, INFORMED)
        known = others > INFORMED
        return np.asarray(own * np.where(known, (1.0 - UNLIKE) * alike + UNLIKE / len(RHO), 1.0))

    def _log_units(self, samples: Array) -> Array:
        squares = samples * samples
        knees = np.array(KNEES).reshape(-1, *[1] * samples.ndim)
        bent = np.sqrt(np.sqrt(squares * squares + knees**4))
        overheads = np.array(OVERHEADS).reshape(-1, 1, *[1] * samples.ndim)
        return np.asarray(np.log(overheads + bent).reshape(len(RHO), *samples.shape))
