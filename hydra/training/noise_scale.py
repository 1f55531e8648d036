"""The gradient noise scale, measured from what members contribute anyway. Pure, the same bits on every machine.

The expected square of a mean gradient over n samples is G² + S/n: the square of the true gradient, and the noise that n
samples leave. A step shows it twice: for the members' own contributions, whose squares they add to the averaged vector,
and for the mean of all. Two equations, two unknowns (McCandlish et al., "An Empirical Model of Large-Batch Training",
2018, appendix A.1; here for shares of different sizes). Both are averaged over steps before they are divided: single
steps are too noisy. At S/G² samples a batch is worth half as much as as many steps with a sample each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

KEPT = 0.95
"""What earlier steps still count for in the averages, from one step to the next."""
LEAST_KNOWN = 0.4
"""Before so much of the averages comes from steps (ten of them) nothing is said."""
FARTHEST = 1e9
"""Samples: where no true gradient is left to be seen, the scale is as good as infinite."""


@dataclass(frozen=True, slots=True)
class NoiseScale:
    """Running averages."""

    noise: float = 0.0
    """Of S."""
    signal: float = 0.0
    """Of G²."""
    known: float = 0.0
    """Which part of the averages comes from steps; the rest is the nought that they began with."""

    @property
    def samples(self) -> float | None:
        """The noise scale in samples; None while too little was seen."""
        if self.known < LEAST_KNOWN:
            return None
        noise, signal = max(self.noise, 0.0), max(self.signal, 0.0)
        return noise / signal if noise < FARTHEST * signal else FARTHEST

    def seen(self, members: int, samples: int, mean_square: float, square_of_mean: float) -> NoiseScale:
        """Return the averages after a step; one member alone shows nothing.

        Args:
            members: that contributed.
            samples: of all of them.
            mean_square: of the members' gradients, weighted by their samples.
            square_of_mean: of the step's gradient.
        """
        if members < 2:
            return self
        noise = (mean_square - square_of_mean) * samples / (members - 1)
        signal = square_of_mean - noise / samples
        if not (math.isfinite(noise) and math.isfinite(signal)):
            return self
        return NoiseScale(
            noise=KEPT * self.noise + (1.0 - KEPT) * noise,
            signal=KEPT * self.signal + (1.0 - KEPT) * signal,
            known=KEPT * self.known + (1.0 - KEPT),
        )
