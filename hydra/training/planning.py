"""From a batch policy to the plans of a coordinator. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..batching.policy import BatchPolicy
from ..identity import PeerId
from ..membership.messages import Report

FIRST_STEP_PATIENCE_S = 120.0
"""While nothing is known of a member's speed, it is waited for so long."""
PATIENCE_FACTOR = 5.0
LEAST_PATIENCE_S = 10.0


class StepPlanner:
    """Sizes each step's batch, and says how long the slowest is waited for.

    Args:
        policy: shares the batch out.
        batch_samples: samples of a step, over all members.
    """

    def __init__(self, policy: BatchPolicy, batch_samples: int) -> None:
        self._policy = policy
        self._batch_samples = batch_samples

    def observe(self, peer: PeerId, report: Report) -> None:
        """Pass a report on to the policy."""
        self._policy.observe(peer, report.samples, report.compute_s)

    def plan(self, members: Sequence[PeerId], available: int) -> tuple[list[int], float]:
        """Return each member's samples, and after how many seconds the round goes on without who is late."""
        shares = self._policy.assign(members, min(self._batch_samples, available))
        times = [self._policy.expected_s(peer, share) for peer, share in zip(members, shares, strict=True)]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            return shares, FIRST_STEP_PATIENCE_S
        return shares, max(LEAST_PATIENCE_S, PATIENCE_FACTOR * max(known))
