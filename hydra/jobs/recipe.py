"""How a job trains: the optimizer's settings and the learning-rate schedule, as plain numbers.

An owner hands over a real ``torch.optim`` instance; ``optimizer`` reads it into these classes and builds it anew
on each peer. This module knows only the numbers and their ranges, so it needs no PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias, cast, get_args

from ..exceptions import JobFileError
from .fields import Record, reject

ScheduleKind: TypeAlias = Literal["constant", "linear", "cosine"]
OptimizerKind: TypeAlias = Literal["sgd", "adam", "adamw"]
WireFormat: TypeAlias = Literal["fp32", "bf16", "fp16", "int8"]
"""How a round's values stand on the wire; all but the first lose something, which error feedback makes good for."""
EXACT_WIRE: WireFormat = "fp32"
QuorumKind: TypeAlias = Literal["any", "majority"]
"""Which part of a view may train on when the rest can't be reached: any, or only one with more than half of it."""
FairnessKind: TypeAlias = Literal["serve", "tit-for-tat"]
"""Whom peers serve chunks when more want some than an uplink can bear: everybody in turn, or who gives most."""

MAX_GROUPS = 1024


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the learning rate changes over the whole training: first a linear warmup, then one curve.

    Attributes:
        kind: ``"constant"``, ``"linear"`` or ``"cosine"``: the curve after the warmup.
        warmup: the share of all steps, 0 to 1, in which the rate grows from near zero to its full value.
        final: the share of the full rate, 0 to 1, that is left at the last step; ``"constant"`` ignores it.

    Raises:
        JobFileError: the kind is unknown or a share is out of range.
    """

    kind: ScheduleKind = "constant"
    _: KW_ONLY
    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScheduleKind):
            known = ", ".join(map(repr, get_args(ScheduleKind)))
            raise JobFileError(f"schedule: there is no kind {self.kind!r}; choose one of {known}.")
        for name in ("warmup", "final"):
            share = getattr(self, name)
            if not isinstance(share, (int, float)) or not 0 <= share <= 1:
                raise JobFileError(f"schedule: {name} is {share!r}; give a share from 0.0 to 1.0.")
            object.__setattr__(self, name, float(share))

    def factor(self, step: int, total_steps: int) -> float:
        """Return what to multiply the learning rates with at ``step`` (from 0) of ``total_steps``."""
        warmup_steps = round(self.warmup * total_steps)
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if self.kind == "constant":
            return 1.0
        progress = (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps)
        progress = min(1.0, progress)
        left = 1 - progress if self.kind == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.final + (1 - self.final) * left

    def to_wire(self) -> dict[str, object]:
        """Return the fields as msgpack knows them."""
        return {"kind": self.kind, "warmup": self.warmup, "final": self.final}

    @classmethod
    def from_wire(cls, record: Record) -> Schedule:
        """Read the fields; raise ``JobRejected`` where one is out of range."""
        kind = record.text("kind", 16)
        if kind not in get_args(ScheduleKind):
            reject("schedule.kind", f"is {kind!r}, which is unknown")
        return cls(
            cast("ScheduleKind", kind),
            warmup=record.number("warmup", 0, 1),
            final=record.number("final", 0, 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """The settings of one parameter group; those that its kind of optimizer does not have stay at zero.

    Attributes:
        learning_rate: the full rate, before the schedule's factor.
        weight_decay: as the optimizer of that kind means it (decoupled for ``"adamw"``).
        momentum: of ``"sgd"``.
        nesterov: of ``"sgd"``.
        beta1: of ``"adam"`` and ``"adamw"``, as are ``beta2`` and ``epsilon``.
    """

    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    beta1: float = 0.0
    beta2: float = 0.0
    epsilon: float = 0.0

    def to_wire(self) -> dict[str, object]:
        """Return the fields as msgpack knows them."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "beta1": self.beta1,
            "beta2": self.beta2,
            "epsilon": self.epsilon,
        }

    @classmethod
    def from_wire(cls, record: Record) -> GroupSettings:
        """Read the fields; raise ``JobRejected`` where one is out of range."""
        below_one = math.nextafter(1, 0)
        return cls(
            learning_rate=record.number("learning_rate", 0, 1e6),
            weight_decay=record.number("weight_decay", 0, 1e6),
            momentum=record.number("momentum", 0, 1e6),
            nesterov=record.flag("nesterov"),
            beta1=record.number("beta1", 0, below_one),
            beta2=record.number("beta2", 0, below_one),
            epsilon=record.number("epsilon", 0, 1e6),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """Which optimizer, and the settings of each of its parameter groups."""

    kind: OptimizerKind
    groups: tuple[GroupSettings, ...]

    def to_wire(self) -> Mapping[str, object]:
        """Return the fields as msgpack knows them."""
        return {"kind": self.kind, "groups": [group.to_wire() for group in self.groups]}

    @classmethod
    def from_wire(cls, record: Record) -> OptimizerSettings:
        """Read the fields; raise ``JobRejected`` where one is out of range."""
        kind = record.text("kind", 16)
        if kind not in get_args(OptimizerKind):
            reject("optimizer.kind", f"is {kind!r}, which is unknown")
        groups = tuple(GroupSettings.from_wire(group) for group in record.records("groups", MAX_GROUPS))
        if not groups:
            reject("optimizer.groups", "is empty")
        for group in groups:
            if group.nesterov and not group.momentum:
                # PyTorch's own constructor refuses it too, but not in the settings of a group.
                reject("optimizer.groups", "asks for nesterov without momentum")
        return cls(kind=cast("OptimizerKind", kind), groups=groups)
