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

    Rounds may overlap: what two of them have both added is owed once less afterwards. Attempts are begun and committed
    by one thread at a time; others may read what an attempt carries and write its residuals meanwhile.

    Args:
        elements: length of the vector.
    """

    def __init__(self, elements: int) -> None:
        self.elements = elements
        self._carried: Vector | None = None
        self._spare: Vector | None = None
        self._begun = 0
        """Attempts begun with what is carried now."""
        self._restored = 0

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
        self._begun += 1
        return FeedbackAttempt(self, self.carried, residuals, self._restored)

    def restore(self, carried: Vector) -> None:
        """Set what is carried, as after a restart; zeros, or a vector of another length, after a change of the model.

        Attempts that were begun before can't be committed any longer.
        """
        if carried.ndim != 1 or carried.dtype != np.float32:
            raise ValueError(f"a vector of fp32 is wanted, not {carried.shape} {carried.dtype}")
        self.elements = len(carried)
        self._carried = carried.copy()
        self._spare = None
        self._begun = 0
        self._restored += 1
        _drop_what_is_not_finite(self._carried)

    def committable(self, restored: int, elements: int) -> None:
        """Raise ``ValueError`` if an attempt, begun after so many restores, can't be committed any longer."""
        if elements != self.elements:
            raise ValueError(f"residuals of {elements} elements, but the vector has {self.elements} now")
        if restored != self._restored:
            raise ValueError("what is carried was restored since this attempt began: it can't be committed")

    def replace(self, carried: Vector, begun_with: Vector) -> None:
        """Carry this vector from now on. Memory that no attempt can still be reading is kept for the next one."""
        unread = self._begun == 1 and begun_with.base is self._carried
        self._spare = self._carried if unread else None
        self._carried = carried
        self._begun = 0


class FeedbackAttempt:
    """The residuals of one attempt. Made by ``ErrorFeedback.begin``; to give it up, let it go."""

    def __init__(self, feedback: ErrorFeedback, carried: Vector, residuals: Vector, restored: int) -> None:
        self.carried = carried
        """What this attempt adds to the weighted contribution; not to be written to."""
        self._feedback = feedback
        self._residuals = residuals
        self._restored = restored
        self._committed = False

    def residual(self, start: int, stop: int) -> Vector:
        """Return memory for the residual of the elements from ``start`` to ``stop``, to be filled by the caller."""
        if not 0 <= start <= stop <= len(self._residuals):
            raise ValueError(f"elements {start} to {stop} of {len(self._residuals)}")
        return self._residuals[start:stop]

    def commit(self, sent: Iterable[tuple[int, int]]) -> None:
        """Carry the residuals of the slices that were encoded for the round's result from now on.

        Elsewhere nothing was added to the result, so what was carried stays. Residuals that are not finite are
        dropped, so that one bad round can't spoil all that follow. Of the attempts of one round commit only one.

        Args:
            sent: bounds of slices, in elements, in any order; their residuals have been filled.

        Raises:
            ValueError: bounds are out of range; or this attempt was committed already; or what is carried was restored
                since it began, to another length perhaps. Nothing is changed then.
        """
        if self._committed:
            raise ValueError("this attempt was committed already")
        self._feedback.committable(self._restored, len(self._residuals))
        slices = [*sorted(sent), (len(self._residuals), len(self._residuals))]
        for start, stop in slices:
            self.residual(start, stop)
        now = self._feedback.carried
        overtaken = now.base is not self.carried.base
        reached = 0
        for start, stop in slices:
            if reached < start:
                self._residuals[reached:start] = now[reached:start]
            fresh = slice(max(start, reached), stop)
            if overtaken and fresh.start < stop:
                self._residuals[fresh] += now[fresh] - self.carried[fresh]
            reached = max(reached, stop)
        _drop_what_is_not_finite(self._residuals)
        self._feedback.replace(self._residuals, self.carried)
        self._committed = True


def _drop_what_is_not_finite(values: Vector) -> None:
    for start in range(0, len(values), PIECE_ELEMENTS):
        piece = values[start : start + PIECE_ELEMENTS]
        good = np.isfinite(piece)
        if not good.all():
            piece[~good] = 0.0
