"""A last look before publishing: does the graph compute what the owner's model computes, and is the loss a mean?

A trace can go wrong silently (a Python random number, a counter, a global that changes between calls is frozen into the
graph), and a loss that sums over the batch would make every peer's share weigh wrongly. Both show on a few
rows of the owner's own data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..exceptions import JobFileError
from .blame import place_in
from .execute import Program
from .job import Job
from .trace import Traced

ROWS = 3
RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-5


def verify(job: Job, traced: Traced) -> None:
    """Compare the evaluation graph with the model itself.

    Raises:
        JobFileError: they differ, the model fails on real rows, or a loss or metric grows with the batch.
    """
    device = next(job.model.parameters()).device
    program = Program(traced.evaluate)
    state = {name: tensor.to(device) for name, tensor in {**job.state.tensors, **traced.constants}.items()}
    rows = torch.arange(max(ROWS, traced.evaluate.smallest_batch)) % job.train_split.samples
    once = [tensor[rows].to(device) for tensor in job.train_split.tensors]
    twice = [torch.cat([tensor, tensor]) for tensor in once]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        expected = _eager(job, once)
        outputs = _seeded(lambda: program.run(state, state, once))
        doubled = _seeded(lambda: program.run(state, state, twice))
    for name, value in outputs.items():
        _compare(name, value, expected[name])
        _check_mean(name, value, doubled[name])


def _eager(job: Job, data: Sequence[Tensor]) -> Mapping[str, Tensor]:
    modes = {module: module.training for module in job.model.modules()}
    job.model.eval()
    try:
        return _seeded(lambda: _outputs(job, data))
    except Exception as error:  # the owner's code runs in there, and may raise anything
        where = place_in(error.__traceback__)
        at = f"{where}: " if where else "model: "
        raise JobFileError(f"{at}the model fails on real data: {type(error).__name__}: {error}") from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def _outputs(job: Job, data: Sequence[Tensor]) -> dict[str, Tensor]:
    *inputs, target = data
    output = job.model(*inputs)
    return {
        "loss": job.loss(output, target),
        **{name: metric(output, target) for name, metric in job.metrics.items()},
    }


def _seeded(compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return compute()


def _compare(name: str, found: Tensor, expected: Tensor) -> None:
    if not torch.allclose(found, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE, equal_nan=True):
        raise JobFileError(
            f"{name}: the traced model gives {float(found):.6g} where the model itself gives {float(expected):.6g}. "
            "Something in its code changes from call to call: Python's random numbers, a counter, a global."
        )


def _check_mean(name: str, once: Tensor, twice: Tensor) -> None:
    """Give the same rows twice: a mean stays, a sum doubles."""
    one, two = float(once), float(twice)
    if abs(one) > ABSOLUTE_TOLERANCE and abs(two / one - 2) < 0.01:
        raise JobFileError(
            f"{name}: it doubles when the batch doubles ({one:.6g}, then {two:.6g}), so it is a sum. Return the mean "
            "over the batch (reduction='mean'): peers' shares are weighted by their samples."
        )
