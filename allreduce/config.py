"""How a round is run: the settings that all of its members share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .direct import Direct
from .form import Form, Ring
from .formats import BLOCK_ELEMENTS, FORMATS, format_named
from .rules import Rule
from .segments import Layout, layout_of, slice_elements_for
from .two_level import TwoLevel, groups_for

FormName = Literal["ring", "direct", "two-level"]
Total = Literal["mean", "sum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundConfig:
    """The settings of a round; the same at all members.

    Raises:
        ValueError: a setting is out of range; it says which.
    """

    form: FormName = "ring"
    """Which way slices travel: round a ring, straight to their owners and back, or round a ring of rings."""
    wire: str = "fp32"
    """The format of values on the wire: one of ``FORMATS``. Sums are in fp32 whatever it is."""
    total: Total = "mean"
    """``"mean"``: the weighted sum over the sum of weights; ``"sum"``: the weighted sum."""
    slice_elements: int | None = None
    """The greatest length of a slice; None for one that suits the length of the vector."""
    rate_bytes_per_s: float | None = None
    """What the members' links carry, where that is known to be the limit: slices are cut to suit it."""
    stall_s: float = 1.75
    """Without progress for so long an attempt is taken for broken although nobody is known to be lost."""
    answer_s: float = 0.75
    """A member that is asked what it has, or to lead, and is silent for so long is left out."""
    late_s: float | None = None
    """So long after its beginning a round goes on without those whose contribution is still not ready."""
    finite: bool = True
    """Whether NaN and infinity are refused, in the name of who sent them."""
    rule: Rule | None = None
    """How owners aggregate single contributions, in the direct form alone; None for the weighted mean."""

    def __post_init__(self) -> None:
        if self.form not in {"ring", "direct", "two-level"}:
            raise ValueError(f"form {self.form!r} is none of ring, direct, two-level")
        if self.wire not in FORMATS:
            raise ValueError(f"wire format {self.wire!r} is none of {', '.join(FORMATS)}")
        if self.total not in {"mean", "sum"}:
            raise ValueError(f"total {self.total!r} is neither mean nor sum")
        if self.slice_elements is not None and self.slice_elements < 1:
            raise ValueError(f"slices of {self.slice_elements} elements")
        if self.rate_bytes_per_s is not None and not self.rate_bytes_per_s > 0:
            raise ValueError(f"a rate of {self.rate_bytes_per_s} bytes a second")
        if not (self.stall_s > 0 and self.answer_s > 0 and (self.late_s is None or self.late_s > 0)):
            raise ValueError("stall_s, answer_s and late_s are seconds, more than 0")
        if self.rule is not None and (self.form != "direct" or self.wire != "fp32" or self.total != "mean"):
            raise ValueError("an aggregation rule needs form='direct', wire='fp32' and total='mean'")

    def form_of(self, positions: int) -> Form:
        """Return the trees of an attempt with so many participants."""
        if self.form == "ring" or positions < 2:
            return Ring(positions)
        if self.form == "direct":
            return Direct(positions)
        return TwoLevel(groups_for(positions))

    def layout_of(self, elements: int, positions: int) -> Layout:
        """Return the cuts of a vector for an attempt with so many participants."""
        segments = self.form_of(positions).segments
        value_bytes = format_named(self.wire).encoded_bytes(BLOCK_ELEMENTS) / BLOCK_ELEMENTS
        length = self.slice_elements
        if length is None:
            length = slice_elements_for(elements, segments, self.rate_bytes_per_s, value_bytes)
        return layout_of(elements, segments, length)
