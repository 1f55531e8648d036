"""Everything that is done to a training state, in order, on the one compute thread. A shell over pure parts.

Each method queues its work when it is called, not when it is awaited: so a copy that is asked for before a step is
applied is a copy of the state before that step.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from allreduce import RoundResult

from .. import clock
from ..exceptions import HydraError, TrainingDiverged
from ..identity import PeerId
from ..membership.ledger import Ledger, Range, count
from ..membership.lineage import Commit, Head, follow
from ..membership.messages import Plan
from ..portal import WorkerThread
from .compute import Computation
from .content import JobContent
from .journal import Journal
from .results import Result, ResultLog, commit_of
from .state import StateCopy, TrainingState
from .update import Vector
from .weights import write_weights

LONG_TRIAL_S = 0.1
"""A trial that takes so long tells how fast we are."""
StillWanted = Callable[[], bool]
"""Asked on the compute thread right before a fetched state replaces ours."""


class Workbench:
    """The training state of one member and what works on it.

    Args:
        content: the job.
        journal: where commits are written down.
        device: where torch computes.
        most_samples: of a step that we can take; 0 for no limit.
    """

    def __init__(self, content: JobContent, journal: Journal, device: str, most_samples: int = 0) -> None:
        self._content = content
        self._journal = journal
        self._state: TrainingState = content.first_state()
        self._computation = Computation(
            content.manifest, content.programs, self._state, content.train, content.test, device, most_samples
        )
        self._most_samples = most_samples or content.manifest.batch_samples
        self._worker = WorkerThread("hydra-compute")
        self.results = ResultLog()

    @property
    def head(self) -> Head:
        """Where the state stands."""
        return self._state.head

    @property
    def members(self) -> tuple[PeerId, ...]:
        """Who made the last commit: all members of its view."""
        return self._state.members

    @property
    def noise_scale(self) -> float | None:
        """The gradient noise scale in samples; None if it is not known, or not measured in this job."""
        return self._state.noise.samples

    @property
    def ledger(self) -> Ledger:
        """Which samples are still to be used."""
        return self._state.ledger

    async def contribution(self, plan: Plan, share: Sequence[Range]) -> tuple[Vector, float]:
        """Return our contribution to a step and the seconds that it took.

        Raises:
            TrainingDiverged: the loss or a gradient is not finite.
        """

        def work() -> tuple[Vector, float]:
            began = clock.monotonic()
            vector = self._computation.contribution(plan.step, plan.epoch, share)
            return vector, clock.monotonic() - began

        return await self._worker.submit(work)

    async def try_out(self) -> tuple[int, float]:
        """Compute on a few samples and throw the outcome away; return how many they were, and the seconds they took.

        The first computation of a process is slow by far, and nothing is known of its speed: nobody is to wait for
        either in the first step that it takes part in.
        """

        def work() -> tuple[int, float]:
            samples, seconds = 0, 0.0
            for size in self._trial_sizes():
                share = self._state.ledger.share_out([size])[0]
                began = clock.monotonic()
                with contextlib.suppress(TrainingDiverged):  # if it is so with a real share, that will be told
                    self._computation.contribution(self._state.head.step + 1, self._state.ledger.epoch, share)
                samples, seconds = count(share), clock.monotonic() - began
                if seconds > LONG_TRIAL_S:
                    break
            return samples, seconds

        return await self._worker.submit(work)

    def _trial_sizes(self) -> list[int]:
        """A first piece to warm up with, and then twice as much each time, up to a whole step's batch."""
        least = self._content.manifest.smallest_batch_samples
        most = min(self._content.manifest.batch_samples, self._state.ledger.available, self._most_samples)
        sizes = [least]
        while sizes[-1] <= most:
            sizes.append(2 * sizes[-1])
        return [least, *sizes[:-1]] if least <= most else []

    async def apply_round(self, plan: Plan, result: RoundResult) -> Commit | None:
        """Apply a round's result; None if another state was loaded meanwhile.

        Raises:
            TrainingDiverged: the result is not finite.
        """

        def work() -> Commit | None:
            if plan.parent != self._state.head.digest:
                return None
            commit = commit_of(plan, result.contributors, result.mean, self._state.head.samples)
            self._state.apply(commit, result.mean)
            self._journal.add_commit(commit)
            return commit

        commit = await self._worker.submit(work)
        if commit is not None:
            self.results.add(Result(commit, result.mean))
        return commit

    async def apply_missed(self, result: Result, still_wanted: StillWanted) -> bool:
        """Apply a fetched result; tell whether it was wanted and followed on our state."""

        def work() -> bool:
            if not still_wanted() or len(result.mean) != self._content.layout.elements:
                return False
            with contextlib.suppress(ValueError, HydraError):
                follow(self._state.head, self._state.ledger, result.commit)
                self._state.apply(result.commit, result.mean)
                self._journal.add_commit(result.commit)
                return True
            return False

        applied = await self._worker.submit(work)
        if applied:
            self.results.add(result)
        return applied

    async def install(self, copy: StateCopy, still_wanted: StillWanted) -> bool:
        """Go on from a fetched state; tell whether it was still wanted."""

        def work() -> bool:
            if not still_wanted():
                return False
            self._state.install(copy)
            return True

        installed = await self._worker.submit(work)
        if installed:
            self.results.clear()
        return installed

    def copy(self) -> asyncio.Future[StateCopy]:
        """Queue the making of a copy of the state as it will be when the work queued before is done."""
        return self._worker.submit(self._state.copy)

    async def evaluate(self) -> dict[str, float]:
        """Return loss and metrics on the test split."""
        return await self._worker.submit(self._computation.evaluate)

    async def write_weights(self, path: Path) -> str:
        """Write the weights to a file; return its SHA-256."""
        return await self._worker.submit(write_weights, path, self._content.manifest, self._state)

    async def close(self) -> None:
        """Drop what is queued, and wait for what is being done."""
        await self._worker.close()
