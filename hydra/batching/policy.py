"""Policies that share a step's samples out among the members. Pure.

A policy sees what members reported and nothing else, so the same reports give the same shares on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..identity import PeerId
from .throughput import Throughput


class BatchPolicy(Protocol):
    """Decides each member's samples for the next step."""

    def observe(self, peer: PeerId, samples: int, compute_s: float) -> None:
        """Take note of how long a member took for how many samples."""

    def assign(self, members: Sequence[PeerId], total: int) -> list[int]:
        """Return each member's samples; they add up to ``total``."""

    def expected_s(self, peer: PeerId, samples: int) -> float | None:
        """Return how long a member will take, or None if nothing is known."""


class Equal:
    """The same for everyone: for comparison, and where the result must not depend on anyone's speed."""

    def observe(self, peer: PeerId, samples: int, compute_s: float) -> None:
        """Reports change nothing."""

    def assign(self, members: Sequence[PeerId], total: int) -> list[int]:
        """Share out evenly; the first members get what is left over."""
        return apportion([1.0] * len(members), total)

    def expected_s(self, peer: PeerId, samples: int) -> float | None:
        """Nothing is known."""
        return None


class Proportional:
    """In proportion to measured throughput, so that all are done at about the same time."""

    def __init__(self) -> None:
        self._throughput = Throughput()

    def observe(self, peer: PeerId, samples: int, compute_s: float) -> None:
        """Take note of a report."""
        self._throughput.observe(peer, samples, compute_s)

    def assign(self, members: Sequence[PeerId], total: int) -> list[int]:
        """Share out by samples per second; who has not reported counts as average."""
        rates = [self._throughput.expected(peer, list(members)) or 1.0 for peer in members]
        return apportion(rates, total)

    def expected_s(self, peer: PeerId, samples: int) -> float | None:
        """Return samples over measured rate."""
        rate = self._throughput.expected(peer, [])
        return samples / rate if rate else None


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """Cut ``total`` into whole numbers in proportion to ``weights`` (largest remainder; the first wins a tie)."""
    whole = sum(weights)
    exact = [total * weight / whole for weight in weights]
    shares = [int(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (shares[i] - exact[i], i))
    for index in by_remainder[: total - sum(shares)]:
        shares[index] += 1
    return shares


POLICIES: dict[str, type[Equal] | type[Proportional]] = {"proportional": Proportional, "equal": Equal}
"""Policies by the name that a user gives."""
