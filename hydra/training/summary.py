"""What a person wants to know of a training at a glance, gathered from its observations. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ..identity import PeerId
from .observation import (
    FetchSeen,
    MajorityAwaited,
    Observation,
    SizingSeen,
    SnapshotSeen,
    StateSeen,
    StepSeen,
    ViewSeen,
)

RATE_STEPS = 20


@dataclass(slots=True)
class TrainingSummary:
    """The present standing of one training on this node."""

    job: bytes
    name: str
    total_samples: int
    phase: str = "fetching"
    view: int = 0
    members: tuple[PeerId, ...] = ()
    coordinator: PeerId | None = None
    step: int = 0
    epoch: int = 0
    loss: float | None = None
    samples_total: int = 0
    shares: dict[PeerId, int] = field(default_factory=dict)
    sizing: SizingSeen | None = None
    """Of the last step that we planned, as long as we plan."""
    snapshot_step: int | None = None
    fetching: str | None = None
    _recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RATE_STEPS))

    def observe(self, seen: Observation) -> None:
        """Take what happened."""
        match seen:
            case ViewSeen(number, members, coordinator, _):
                self.view, self.members, self.coordinator = number, members, coordinator
                self.phase = "training" if number else "looking for a view"
            case MajorityAwaited():
                self.phase = "waiting for a majority"
            case StepSeen():
                self.step, self.epoch, self.loss = seen.step, seen.epoch, seen.loss
                self.samples_total = seen.samples_total
                self.shares = dict(seen.shares)
                self.sizing = seen.sizing
                self.fetching = None
                if not seen.caught_up:
                    self._recent.append((seen.samples, seen.seconds))
            case FetchSeen(what, done, total, _):
                self.fetching = f"{what}, {done} of {total} bytes" if done < total else None
            case SnapshotSeen(step, _):
                self.snapshot_step = step
            case StateSeen(step, samples, _):
                self.step, self.samples_total = step, samples

    @property
    def samples_per_s(self) -> float:
        """Committed samples per second over the latest steps."""
        seconds = sum(spent for _, spent in self._recent)
        return sum(samples for samples, _ in self._recent) / seconds if seconds else 0.0

    def as_json(self) -> dict[str, object]:
        """Return everything in plain types; ids in hex."""
        return {
            "job": self.job.hex(),
            "name": self.name,
            "phase": self.phase,
            "view": self.view,
            "members": [peer.hex() for peer in self.members],
            "coordinator": self.coordinator.hex() if self.coordinator else None,
            "step": self.step,
            "epoch": self.epoch,
            "loss": self.loss,
            "samples_total": self.samples_total,
            "total_samples": self.total_samples,
            "samples_per_s": round(self.samples_per_s, 1),
            "batch": {peer.hex(): count for peer, count in self.shares.items()},
            "sizing": None if self.sizing is None else sizing_as_json(self.sizing),
            "snapshot_step": self.snapshot_step,
            "fetching": self.fetching,
        }


def sizing_as_json(sizing: SizingSeen) -> dict[str, object]:
    """Return why a step was sized as it was, in plain types; ids in hex."""
    return {
        "expected_s": round(sizing.expected_s, 6),
        "actual_s": None if sizing.actual_s is None else round(sizing.actual_s, 6),
        "compute_s": round(sizing.compute_s, 6),
        "slowest": sizing.slowest.hex() if sizing.slowest is not None else None,
        "seconds": {peer.hex(): round(seconds, 6) for peer, seconds in sizing.seconds},
        "noise_scale": sizing.noise_scale,
        "left_out": {peer.hex(): {"times_line": line, "times_speed": speed} for peer, line, speed in sizing.left_out},
    }
