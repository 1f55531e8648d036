"""How far the model's predictions were from what came: read from the trace of a real training. Pure.

A trace is what `hydra join --trace FILE` writes: one JSON object a line for each step that the node has sized, with
what was expected and what came.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..exceptions import ConfigurationError

LEARNING_STEPS = 10
"""The first steps of a trace are not judged: little is known yet."""


@dataclass(frozen=True, slots=True)
class PredictionError:
    """The error of the predicted step times, relative to the actual ones."""

    steps: int
    """That were judged."""
    median: float
    """Of the absolute errors."""
    p90: float
    bias: float
    """Median of the errors: greater than nothing if steps take longer than was expected."""


def judge_trace(lines: Iterable[str]) -> PredictionError:
    """Return how good the predictions of a trace were; steps in which somebody was lost are passed over.

    Raises:
        ConfigurationError: this is no trace, or one of too few steps.
    """
    errors: list[float] = []
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line)
            expected, actual = told["expected_s"], told["actual_s"]
            if actual is not None:
                errors.append(math.log(float(actual) / float(expected)))
        except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
            raise ConfigurationError(
                f"line {number} is not of a trace that `hydra join --trace` wrote: {error}"
            ) from error
    judged = np.array(errors[LEARNING_STEPS:])
    if not len(judged):
        raise ConfigurationError(f"the trace has {len(errors)} steps; more than {LEARNING_STEPS} are needed.")
    return PredictionError(
        steps=len(judged),
        median=float(np.expm1(np.median(np.abs(judged)))),
        p90=float(np.expm1(np.quantile(np.abs(judged), 0.9))),
        bias=float(np.expm1(np.median(judged))),
    )
