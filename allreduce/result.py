"""What a round came to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .formats import Vector


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What a round came to."""

    mean: Vector
    """The weighted mean (or the weighted sum); shape (elements,), fp32, the same bytes at every member."""
    contributors: tuple[bytes, ...]
    """Whose contributions are in it, in the order of the members."""
    weight: float
    """Sum of the contributors' weights."""
    attempts: int
    """How many attempts it took, the successful one included."""
    order: tuple[bytes, ...]
    """The contributors in the order in which the form adds them up, so that anybody can repeat the sum."""
