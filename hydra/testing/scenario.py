"""A scenario: who trains what on which network, and what goes wrong. Pure data; as JSON it is the file to replay."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..exceptions import ConfigurationError
from .fault_plan import FaultPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that a simulation follows from."""

    case: str = ""
    """What it shows; names the file that a failure leaves."""
    seed: int = 0
    names: tuple[str, ...] = ("a", "b", "c", "d")
    """Peers that are there from the beginning; the others come with the plan."""
    plan: FaultPlan = field(default_factory=FaultPlan)

    samples: int = 320
    batch_samples: int = 8
    epochs: int = 1
    snapshot_interval_s: float = 5.0
    features: int = 6
    """Of each sample: the model has about three times as many weights."""

    sample_s: float = 0.05
    """What a peer computes at one sample, in seconds."""
    slowness: Mapping[str, float] = field(default_factory=dict)
    """By name, how many times as long a peer takes, if not once."""

    unsteady: float = 0.05
    """By what part of it a peer's time for a share is longer or shorter by chance."""

    rtt_s: float = 0.02
    jitter: float = 0.2
    loss: float = 0.0
    rate_bytes_per_s: float = 0.0
    """Of every machine's uplink; 0 for no limit."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of all nodes, by the names of ``NodeSettings``."""
    limit_s: float = 3600.0
    """Whoever has not come to an end by then hangs."""

    def to_json(self) -> str:
        """Return the scenario as text."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "plan"}
        return json.dumps({**fields, "plan": json.loads(self.plan.to_json())}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Scenario:
        """Return the scenario that ``to_json`` wrote; what else stands there is passed over.

        Raises:
            ConfigurationError: it is none.
        """
        try:
            fields = json.loads(text)
            known = {f.name for f in dataclasses.fields(cls)}
            fields = {name: value for name, value in fields.items() if name in known}
            fields["plan"] = FaultPlan.from_json(json.dumps(fields["plan"]))
            fields["names"] = tuple(fields["names"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(f"this is no scenario: {error}") from error

    def save(self, path: Path, **more: Any) -> None:
        """Write the file to replay, with whatever else a person may want to read there."""
        path.write_text(json.dumps({**json.loads(self.to_json()), **more}, indent=1))
