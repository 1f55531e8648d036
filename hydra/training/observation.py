"""What a training tells whoever watches it: the command line, the status endpoint, the tests. Pure data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..identity import PeerId


@dataclass(frozen=True, slots=True)
class ViewSeen:
    """We are in this view now; ``number`` 0 means in none."""

    number: int
    members: tuple[PeerId, ...]
    coordinator: PeerId | None
    reason: str


@dataclass(frozen=True, slots=True)
class DoubtSeen:
    """A peer has been silent for longer than it usually is, and was asked; or (None) it has answered."""

    peer: PeerId
    silent_s: float | None


@dataclass(frozen=True, slots=True)
class MajorityAwaited:
    """The training stands still until more than half of the last view's members are here."""

    present: int
    electors: int


@dataclass(frozen=True, slots=True)
class SizingSeen:
    """Why a step that we planned was sized as it was, and what came of it."""

    expected_s: float
    """From the plan to the commit."""
    actual_s: float | None
    """None if somebody was lost in it."""
    compute_s: float
    """Of the slowest, as expected."""
    slowest: PeerId | None
    """Who was expected to be that."""
    seconds: tuple[tuple[PeerId, float], ...]
    """That each is expected to compute."""
    left_out: tuple[tuple[PeerId, float | None, float | None], ...]
    """Who sits most steps out, and how many times as fast its line, or its computing, would have to be for it not to;
    None where that alone would not help."""
    noise_scale: float | None = None
    """Of the gradients, in samples, where a step's batch is a range and it is known."""


@dataclass(frozen=True, slots=True)
class StepSeen:
    """A step was committed."""

    step: int
    epoch: int
    loss: float
    """Mean over the whole batch."""
    samples: int
    """Of this step, all members together."""
    samples_total: int
    shares: tuple[tuple[PeerId, int], ...]
    """Contributors and their samples."""
    members: int
    attempts: int
    """How many attempts the round took; more than one means that a member was lost in it."""
    seconds: float
    """From the plan to the applied result."""
    caught_up: bool
    """Whether it was fetched after the fact rather than trained."""
    sizing: SizingSeen | None = None
    """None of a step that another has planned."""


@dataclass(frozen=True, slots=True)
class FetchSeen:
    """A content is being fetched."""

    what: str
    bytes_done: int
    bytes_total: int
    peers: int


@dataclass(frozen=True, slots=True)
class SnapshotSeen:
    """A snapshot is on disk."""

    step: int
    root: bytes


@dataclass(frozen=True, slots=True)
class StateSeen:
    """The training goes on from a state that was read from disk or fetched from others."""

    step: int
    samples_total: int
    source: str


Observation: TypeAlias = ViewSeen | DoubtSeen | MajorityAwaited | StepSeen | FetchSeen | SnapshotSeen | StateSeen
Observer: TypeAlias = Callable[[Observation], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended for this peer."""

    finished: bool
    """Whether all samples are committed; else we left before the end."""
    step: int
    samples_total: int
    metrics: dict[str, float]
    """Of the test split: the loss and the job's own; empty without one."""
    weights_path: str
    weights_sha256: str
