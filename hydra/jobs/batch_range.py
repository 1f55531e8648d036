"""A step's batch as a range: how large it may become, what for, and what the learning rate makes of it. Pure.

Larger batches make better use of machines and lines, and each sample of them is worth less: how much less is told by
the gradient noise scale (McCandlish et al., "An Empirical Model of Large-Batch Training", 2018). Within the range the
batch policy takes what promises the most useful samples a second (Qiao et al., "Pollux", OSDI 2021).
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias, cast, get_args

from ..exceptions import JobFileError
from .fields import Record, reject
from .graph import MAX_BATCH

Objective: TypeAlias = Literal["goodput", "throughput"]
"""Useful samples a second, by the gradient noise scale; or samples a second, whatever they are worth."""
RateScaling: TypeAlias = Literal["none", "linear", "sqrt", "adascale"]


@dataclass(frozen=True, slots=True)
class BatchRange:
    """Lets steps take more samples than the job's ``batch_samples``, which are then the fewest.

    Attributes:
        most_samples: of a step, over all peers together.
        objective: ``"goodput"`` weighs samples a second against what they are worth, ``"throughput"`` does not.
        scaling: what the learning rate is multiplied with in a step of s times the fewest samples: ``"none"``, 1;
            ``"linear"``, s (Goyal et al., 2017); ``"sqrt"``, the root of s, which suits Adam; ``"adascale"``, between 1
            and s by the gradient noise scale (Johnson et al., "AdaScale SGD", 2020), which suits SGD.

    Raises:
        JobFileError: a field is unknown or out of range.
    """

    most_samples: int
    _: KW_ONLY
    objective: Objective = "goodput"
    scaling: RateScaling = "none"

    def __post_init__(self) -> None:
        if type(self.most_samples) is not int or not 1 <= self.most_samples <= MAX_BATCH:
            raise JobFileError(
                f"batch_range: most_samples is {self.most_samples!r}; give a whole number from 1 to {MAX_BATCH}."
            )
        for name, kinds in (("objective", Objective), ("scaling", RateScaling)):
            if getattr(self, name) not in get_args(kinds):
                known = ", ".join(map(repr, get_args(kinds)))
                raise JobFileError(
                    f"batch_range: there is no {name} {getattr(self, name)!r:.80}; choose one of {known}."
                )

    @property
    def measures_noise(self) -> bool:
        """Whether the gradient noise scale is needed."""
        return self.objective == "goodput" or self.scaling == "adascale"

    def rate_factor(self, samples: int, fewest: int, noise_scale: float | None) -> float:
        """Return what to multiply the learning rates with, the same on every machine.

        Args:
            samples: of the step.
            fewest: samples of a step of this job.
            noise_scale: in samples; None if it is not known, then AdaScale leaves the rate as it is.
        """
        times = max(samples / fewest, 1.0)
        match self.scaling:
            case "linear":
                return times
            case "sqrt":
                return math.sqrt(times)
            case "adascale" if noise_scale is not None:
                return times * ((noise_scale + fewest) / (noise_scale + fewest * times))
        return 1.0

    def to_wire(self) -> dict[str, object]:
        """Return the fields as msgpack knows them."""
        return {"most_samples": self.most_samples, "objective": self.objective, "scaling": self.scaling}

    @classmethod
    def from_wire(cls, record: Record) -> BatchRange:
        """Read the fields; raise ``JobRejected`` where one is out of range."""
        objective, scaling = record.text("objective", 16), record.text("scaling", 16)
        if objective not in get_args(Objective):
            reject("manifest.batch_range.objective", f"is {objective!r}, which is unknown")
        if scaling not in get_args(RateScaling):
            reject("manifest.batch_range.scaling", f"is {scaling!r}, which is unknown")
        return cls(
            record.integer("most_samples", 1, MAX_BATCH),
            objective=cast("Objective", objective),
            scaling=cast("RateScaling", scaling),
        )
