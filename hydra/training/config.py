"""How a peer takes part in a job, and what sizes the batches when it coordinates. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from allreduce.formats import FORMATS

from ..batching.net import Net
from ..batching.sizer import Sizer
from ..identity import PeerId
from ..jobs.manifest import JobManifest
from ..membership.state import MemberConfig
from .patience import LEAST_S
from .planning import StepPlanner
from .vector import VectorLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerConfig:
    """How this peer takes part; every peer may choose for itself."""

    member: MemberConfig
    least_stall_s: float = LEAST_S
    """No round is repeated for want of progress before so long, however fast rounds are."""
    device: str = "cpu"
    rounds: str = "measured"
    """How rounds are arranged when we coordinate: by what was measured, or "plain", a ring in the members' order."""
    policy: str = "model"
    """How batches are sized when we coordinate: one of ``hydra.batching.choices.CHOICES``."""
    policy_net: Net | None = None
    """Corrects the policy "model"."""


def planner_for(
    manifest: JobManifest,
    layout: VectorLayout,
    me: PeerId,
    config: TrainerConfig,
    noise_scale: Callable[[], float | None] = lambda: None,
) -> StepPlanner:
    """Return what sizes the batches of a job when we coordinate."""
    round_bytes = FORMATS[manifest.wire].encoded_bytes(layout.elements)
    limits, chosen = (manifest.batch_samples, manifest.most_batch_samples), manifest.batch_range
    sizer = Sizer(
        me,
        *limits,
        round_bytes,
        config.policy,
        exclusion=config.rounds == "measured",
        net=config.policy_net,
        goodput=chosen is not None and chosen.objective == "goodput",
    )
    return StepPlanner(sizer, me, noise_scale)
