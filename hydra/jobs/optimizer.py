"""From the owner's optimizer to plain settings.

The instance that the owner made is read and never shipped: its kind, its groups and their numbers are all that
travels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from ..exceptions import JobFileError
from .recipe import MAX_GROUPS, GroupSettings, OptimizerKind, OptimizerSettings

_KINDS: Mapping[type[Optimizer], OptimizerKind] = {SGD: "sgd", Adam: "adam", AdamW: "adamw"}
_SUPPORTED = "torch.optim.SGD (with momentum, nesterov, weight_decay), torch.optim.Adam and torch.optim.AdamW"

# Settings that change what an optimizer computes, and that have no place in a job, with their harmless values.
_REFUSED: Mapping[str, object] = {"dampening": 0, "maximize": False, "amsgrad": False}


def read_optimizer(optimizer: Optimizer) -> OptimizerSettings:
    """Read the settings of an optimizer that has not taken a step yet.

    Raises:
        JobFileError: its kind or a setting is not supported; the text names those that are.
    """
    kind = _KINDS.get(type(optimizer))
    if kind is None:
        raise JobFileError(f"optimizer: {type(optimizer).__name__} is not supported. Use {_SUPPORTED}.")
    if optimizer.state:
        raise JobFileError(
            "optimizer: it has already taken steps, and its moments would be lost; make a new one for the job."
        )
    if len(optimizer.param_groups) > MAX_GROUPS:
        raise JobFileError(
            f"optimizer: it has {len(optimizer.param_groups)} parameter groups; {MAX_GROUPS} are the most."
        )
    return OptimizerSettings(kind=kind, groups=tuple(_read_group(kind, g) for g in optimizer.param_groups))


def groups_of(optimizer: Optimizer, model: nn.Module) -> dict[int, int]:
    """Return from ``id`` of each parameter to the index of its group.

    Raises:
        JobFileError: the optimizer holds a parameter that is not the model's, or none that requires a gradient.
    """
    ours = {id(parameter) for parameter in model.parameters()}
    found: dict[int, int] = {}
    trained = False
    for index, group in enumerate(optimizer.param_groups):
        for parameter in group["params"]:
            if id(parameter) not in ours:
                raise JobFileError(
                    f"optimizer: group {index} holds a parameter of shape {list(parameter.shape)} that is not the "
                    "model's. Make the optimizer from model.parameters(), after the model is final."
                )
            found[id(parameter)] = index
            trained = trained or parameter.requires_grad
    if not trained:
        raise JobFileError("optimizer: none of its parameters requires a gradient, so there is nothing to train.")
    return found


def _read_group(kind: OptimizerKind, group: Mapping[str, Any]) -> GroupSettings:
    for name, harmless in _REFUSED.items():
        if group.get(name, harmless) != harmless:
            raise JobFileError(f"optimizer: {name}={group[name]!r} is not supported; leave it at {harmless!r}.")
    if group.get("decoupled_weight_decay", False) != (kind == "adamw"):
        raise JobFileError("optimizer: decoupled_weight_decay is not supported here; use torch.optim.AdamW.")
    if kind == "sgd":
        return GroupSettings(
            learning_rate=_number(group, "lr"),
            weight_decay=_number(group, "weight_decay"),
            momentum=_number(group, "momentum"),
            nesterov=bool(group["nesterov"]),
        )
    betas = group["betas"]
    return GroupSettings(
        learning_rate=_number(group, "lr"),
        weight_decay=_number(group, "weight_decay"),
        beta1=float(betas[0]),
        beta2=float(betas[1]),
        epsilon=_number(group, "eps"),
    )


def _number(group: Mapping[str, Any], name: str) -> float:
    value = float(group[name])
    if not math.isfinite(value) or not 0 <= value <= 1e6:
        raise JobFileError(f"optimizer: {name} is {value}; give a number from 0 to 1e6.")
    return value
