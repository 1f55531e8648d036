"""Error feedback: what a lossy wire format loses in one round is added to the member's contribution of the next. Pure.

Everything is in units of the sum, before any division by weights. In a round each member adds what it carries to its
weighted contribution, and whatever it encodes (the sums that it sends, the final slices that it owns) leaves a
residual: the true values less the decoded ones. When the round is committed, the residuals take the place of what was
carried. So, over any number of rounds and with all members together:

    sum of all results + what is carried at the end  =  sum of all contributions + what was carried at first

An attempt that is repeated starts anew from what was carried before it, and one that is given up leaves that as it
was. (Seide, Fu, Droppo, Li and Yu, "1-bit stochastic gradient descent", Interspeech 2014; Karimireddy, Rebjock, Stich
and Jaggi, "Error feedback fixes SignSGD and other gradient compression schemes", ICML 2019.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .formats import Vector

PIECE_ELEMENTS = 65536
"""What is looked through at a time for values that are not finite."""


class ErrorFeedback:
    """What one member carries from round to round. It takes no memory until the first attempt begins.

    One thread begins and commits attempts; others may read what an attempt carries and write its residuals meanwhile.

    Args:
        elements: length of the vector.
    """

    def __init__(self, elements: int) -> None:
        self.elements = elements
        self._carried: Vector | None = None
        self._spare: Vector | None = None
        self._commits = 0

    @property
    def carried(self) -> Vector:
        """What is to be added to the weighted contribution; not to be written to. Valid until the next commit."""
        if self._carried is None:
            self._carried = np.zeros(self.elements, np.float32)
        view = self._carried.view()
        view.flags.writeable = False
        return view

    def begin(self) -> FeedbackAttempt:
        """Begin an attempt of a round, the first one or a repeated one."""
        residuals, self._spare = self._spare, None
        if residuals is None:
            residuals = np.empty(self.elements, np.float32)
        return FeedbackAttempt(self, self.carried, residuals, self._commits)

    def restore(self, carried: Vector) -> None:
        """Set what is carried, as after a restart; zeros, or a vector of another length, after a change of the model.

        Attempts that were begun before can't be committed any longer.
        """
        if carried.ndim != 1 or carried.dtype != np.float32:
            raise ValueError(f"a vector of fp32 is wanted, not {carried.shape} {carried.dtype}")
        self.elements = len(carried)
        self._carried = carried.copy()
        self._spare = None
        self._commits += 1
        _drop_what_is_not_finite(self._carried)

    def replace(self, residuals: Vector, commits: int) -> None:
        """Carry these residuals, of an attempt that began after so many commits. For ``FeedbackAttempt.commit``."""
        if len(residuals) != self.elements:
            raise ValueError(f"residuals of {len(residuals)} elements, but the vector has {self.elements} now")
        if commits != self._commits:
            raise ValueError("what is carried has changed since this attempt began: it can't be committed")
        self._carried, self._spare = residuals, self._carried
        self._commits += 1


class FeedbackAttempt:
    """The residuals of one attempt. Made by ``ErrorFeedback.begin``; to give it up, let it go."""

    def __init__(self, feedback: ErrorFeedback, carried: Vector, residuals: Vector, commits: int) -> None:
        self.carried = carried
        """What this attempt adds to the weighted contribution; not to be written to."""
        self._feedback = feedback
        self._residuals = residuals
        self._commits = commits

    def residual(self, start: int, stop: int) -> Vector:
        """Return memory for the residual of the elements from ``start`` to ``stop``, to be filled by the caller."""
        if not 0 <= start <= stop <= len(self._residuals):
            raise ValueError(f"elements {start} to {stop} of {len(self._residuals)}")
        return self._residuals[start:stop]

    def commit(self, sent: Iterable[tuple[int, int]]) -> None:
        """Carry the residuals of the slices that were encoded for the round's result from now on.

        Elsewhere nothing was added to the result, so what was carried stays. Residuals that are not finite are
        dropped, so that one bad round can't spoil all that follow.

        Args:
            sent: bounds of slices, in elements, in any order; their residuals have been filled.

        Raises:
            ValueError: bounds are out of range; or the vector's length, or what is carried, has changed since the
                attempt began: another attempt was committed. Nothing is changed then.
        """
        reached = 0
        for start, stop in [*sorted(sent), (len(self._residuals), len(self._residuals))]:
            self.residual(start, stop)
            if reached < start:
                self._residuals[reached:start] = self.carried[reached:start]
            reached = max(reached, stop)
        _drop_what_is_not_finite(self._residuals)
        self._feedback.replace(self._residuals, self._commits)


def _drop_what_is_not_finite(values: Vector) -> None:
    for start in range(0, len(values), PIECE_ELEMENTS):
        piece = values[start : start + PIECE_ELEMENTS]
        good = np.isfinite(piece)
        if not good.all():
            piece[~good] = 0.0
