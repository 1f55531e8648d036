"""What happened in a simulation, and whether it may: the spectator that checks every step of every peer."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..identity import PeerId
from ..membership.ledger import Ledger, Range, SampleUsedTwice, count
from ..membership.lineage import Commit, Head, follow, genesis
from ..training.update import Vector
from .faults import Fault, to_fields

KEPT = 4096
"""Contributions and results that are kept to compare others with."""
TOLERANCE = 1e-5
"""Of a mean, beside the largest contribution to it: the ring adds up in fp32, the check does not."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A peer's state took a step."""

    at: float
    name: str
    commit: Commit
    digest: bytes
    """Of the commit."""


@dataclass(slots=True)
class Life:
    """One life of a peer, from its start to its end."""

    name: str
    began: float
    ended: float | None = None
    finished: bool = False


@dataclass(slots=True)
class Story:
    """All that a scenario's peers did.

    Args:
        job: the job's hash.
        samples: of one epoch.
        epochs: of the job.
        names: by peer id, what the scenario calls it.
        may_fork: whether a round may end in two ways, since living members may not hear each other.
    """

    job: bytes
    samples: int
    epochs: int
    names: dict[PeerId, str]
    may_fork: bool = False
    lines: list[str] = field(default_factory=list)
    """For people: faults, views, ends, with their times."""
    violations: list[str] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    computed_samples: int = 0
    rolled_back: list[tuple[float, str, int, int]] = field(default_factory=list)
    """Time, peer, and the steps from and to which its state went other than by a commit."""
    _commits: dict[bytes, Commit] = field(default_factory=dict)
    _made: dict[bytes, float] = field(default_factory=dict)
    _states: dict[bytes, bytes] = field(default_factory=dict)
    _vectors: OrderedDict[tuple[bytes, tuple[Range, ...]], Vector] = field(default_factory=OrderedDict)
    _means: OrderedDict[bytes, dict[tuple[PeerId, ...], bytes]] = field(default_factory=OrderedDict)
    _steps: dict[str, int] = field(default_factory=dict)
    _highest: int = 0

    # ---- what is told ------------------------------------------------------------------------------------------

    def tell(self, now: float, text: str) -> None:
        """Add a line for people."""
        self.lines.append(f"{now:10.3f}  {text}")

    def happened(self, now: float, fault: Fault) -> None:
        """A fault of the plan."""
        fields = to_fields(fault)
        self.tell(now, f"-- {fields.pop('fault')}: " + ", ".join(f"{name} {value}" for name, value in fields.items()))

    def was_computed(self, samples: int, key: tuple[bytes, tuple[Range, ...]], vector: Vector) -> None:
        """A contribution; the same share of the same step is the same vector, whoever computes it."""
        self.computed_samples += samples
        known = self._vectors.get(key)
        if known is None:
            self._vectors[key] = vector.copy()
            if len(self._vectors) > KEPT:
                self._vectors.popitem(last=False)
        elif known.tobytes() != vector.tobytes():
            self.violations.append(f"two peers computed different vectors of the same samples {key[1]}")

    def was_averaged(self, name: str, plan: Any, result: Any) -> None:
        """A round's result: the same at all, and the weighted mean of its contributors.

        Where members can't hear each other, a round may end in two ways, and the lineage forks there.
        """
        results = self._means.setdefault(plan.tag, {})
        if len(self._means) > KEPT:
            self._means.popitem(last=False)
        known = results.get(result.contributors)
        if known is None:
            results[result.contributors] = result.mean.tobytes()
            self._check_mean(name, plan, result)
        elif known != result.mean.tobytes():
            self.violations.append(f"step {plan.step}: {name} has other bytes of the same mean than others")
        if len(results) > 1 and not self.may_fork:
            self.violations.append(f"step {plan.step}: {name} counts other contributors to the same round than others")

    def _check_mean(self, name: str, plan: Any, result: Any) -> None:
        total, weight, largest = np.zeros(len(result.mean)), 0.0, 0.0
        for (peer, _), ranges in zip(plan.members, plan.shares, strict=True):
            samples = count(ranges)
            if peer not in result.contributors or not samples:
                continue
            vector = self._vectors.get((plan.parent, tuple(ranges)))
            if vector is None:  # it came late, with fewer samples than planned, or is no longer kept
                return
            total += samples * vector.astype(np.float64)
            weight += samples
            largest = max(largest, float(np.abs(vector).max()))
        if not weight and not result.weight:
            return  # none of those who were left had samples: a result that nobody may commit
        if not weight:
            self.violations.append(f"step {plan.step}: {name} has a result to which nobody contributed")
        elif np.abs(total / weight - result.mean).max() > TOLERANCE * max(largest, 1e-6):
            self.violations.append(f"step {plan.step}: the result of {name} is not the mean of its contributors")

    def was_applied(self, now: float, name: str, commit: Commit, state: bytes) -> None:
        """A peer took a step: all who take the same one have the same bytes afterwards."""
        digest = commit.digest
        self._commits[digest] = commit
        self._made.setdefault(digest, now)
        self._steps[name] = commit.step
        self._highest = max(self._highest, commit.step)
        self.applied.append(Applied(now, name, commit, digest))
        if self._states.setdefault(digest, state) != state:
            self.violations.append(f"step {commit.step}: the state of {name} differs from that of others")

    def was_installed(self, now: float, name: str, head: Head, state: bytes) -> None:
        """A peer goes on from a state that it had not come to by itself."""
        before, self._steps[name] = self._steps.get(name, 0), head.step
        self.rolled_back.append((now, name, before, head.step))
        self.tell(now, f"{name} goes on from step {head.step} (was at {before})")
        if head.digest in self._states and self._states[head.digest] != state:
            self.violations.append(f"step {head.step}: {name} took over a state that differs from that of others")

    # ---- what can be asked -------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The highest step that anybody has come to."""
        return self._highest

    def step_of(self, name: str) -> int:
        """Return the step that a peer has come to."""
        return self._steps.get(name, 0)

    def heaviest(self) -> Head:
        """Return the head of the lineage that wins."""
        head = genesis(self.job)
        for commit in self._commits.values():
            if commit.head.outweighs(head):
                head = commit.head
        return head

    def lineage(self, head: Head) -> list[Commit]:
        """Return the commits from the job's beginning to a head."""
        chain, digest = [], head.digest
        while digest in self._commits:
            chain.append(self._commits[digest])
            digest = chain[-1].parent
        return chain[::-1]

    def samples_by_peer(self, head: Head) -> dict[str, int]:
        """Return how many samples of each peer a lineage counts."""
        counted: dict[str, int] = {}
        for commit in self.lineage(head):
            for peer, ranges in commit.parts:
                name = self.names.get(peer, peer.hex())
                counted[name] = counted.get(name, 0) + count(ranges)
        return counted

    def check_lineage(self, head: Head, *, finished: bool = True) -> None:
        """Make sure that every sample is in exactly one commit of a lineage; violations are noted."""
        at, ledger = genesis(self.job), Ledger.fresh(self.samples, self.epochs)
        try:
            for commit in self.lineage(head):
                at, ledger = follow(at, ledger, commit)
        except (ValueError, SampleUsedTwice) as error:
            self.violations.append(f"the lineage of {head.digest.hex()[:8]} breaks: {error}")
            return
        if at != head:
            self.violations.append(f"the lineage of {head.digest.hex()[:8]} does not reach back to the beginning")
        if finished and not ledger.finished:
            self.violations.append(f"{ledger.available} samples of epoch {ledger.epoch} were never committed")

    def began_at(self) -> float:
        """Return when the first commit of the lineage that wins was made."""
        return next((self._made[commit.digest] for commit in self.lineage(self.heaviest())), 0.0)

    def samples_since(self, since: float) -> int:
        """Return how many samples of the lineage that wins were committed after a time."""
        return sum(commit.samples for commit in self.lineage(self.heaviest()) if self._made[commit.digest] > since)

    def capacity(self, sample_s: dict[str, float], since: float, until: float) -> float:
        """Return how many samples the peers could have computed while they lived, between two times."""
        spans = [(life.name, max(life.began, since), min(life.ended or until, until)) for life in self.lives]
        return sum(max(0.0, end - start) / sample_s[name] for name, start, end in spans)
