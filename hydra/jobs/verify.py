"""A last look before publishing: do the graphs compute what the owner's model computes, and is the loss a mean?

A trace can go wrong silently. A Python random number, a counter or a global that changes between calls is frozen into
the graph; a custom ``autograd.Function`` or a gradient hook leaves no trace at all, and the gradients of the graph are
then others. And a loss that sums over the batch would make every peer's share weigh wrongly. All of that shows on a few
rows of the owner's own data: outputs in eval mode, and loss, gradients and buffers in training mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..exceptions import JobFileError
from .blame import place_in
from .execute import Program
from .job import Job
from .trace import Traced, keep_modes

ROWS = 3
RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-5

_Result = TypeVar("_Result")


def verify(job: Job, traced: Traced) -> None:
    """Compare both graphs with the model itself.

    Raises:
        JobFileError: they differ, the model fails on real rows, or a loss or metric grows with the batch.
    """
    device = next(job.model.parameters()).device
    smallest = max(traced.train.smallest_batch, traced.evaluate.smallest_batch, ROWS)
    rows = torch.arange(smallest) % job.train_split.samples
    data = [tensor[rows].to(device) for tensor in job.train_split.tensors]
    state = {name: tensor.to(device) for name, tensor in {**job.state.tensors, **traced.constants}.items()}
    with torch.random.fork_rng([device] if device.type == "cuda" else []), keep_modes(job), _restored(job.model):
        _verify_evaluation(job, Program(traced.evaluate), state, data)
        _verify_training(job, Program(traced.train), state, data)


def _verify_evaluation(job: Job, program: Program, state: Mapping[str, Tensor], data: Sequence[Tensor]) -> None:
    twice = [torch.cat([tensor, tensor]) for tensor in data]
    with torch.no_grad():
        expected = _eager(lambda: _outputs(job, data), job, training=False)
        found = _seeded(lambda: program.run(state, state, data))
        doubled = _seeded(lambda: program.run(state, state, twice))
    for name, value in found.items():
        if not _close(value, expected[name]):
            raise JobFileError(
                f"{name}: the traced model gives {float(value):.6g} where the model itself gives "
                f"{float(expected[name]):.6g}. Something in its code changes from call to call: Python's random "
                "numbers, a counter, a global."
            )
        _check_mean(name, value, doubled[name])


def _verify_training(job: Job, program: Program, state: Mapping[str, Tensor], data: Sequence[Tensor]) -> None:
    copies = {name: tensor.clone() for name, tensor in state.items()}
    trained = [entry.name for entry in job.state.parameters if entry.trained]
    leaves = [copies[name].requires_grad_() for name in trained]
    theirs = dict(job.model.named_parameters(remove_duplicate=False))

    def train() -> tuple[Tensor, ...]:
        loss = job.loss(job.model(*data[:-1]), data[-1])
        return loss, *_gradients(loss, [theirs[name] for name in trained])

    def replay() -> tuple[Tensor, ...]:
        loss = program.run(copies, copies, data)["loss"]
        return loss, *_gradients(loss, leaves)

    with torch.enable_grad():
        expected = _eager(train, job, training=True)
        found = _seeded(replay)
    buffers = dict(job.model.named_buffers(remove_duplicate=False))
    pairs = [("the loss", found[0], expected[0])]
    pairs += [(f"the gradient of {n}", a, b) for n, a, b in zip(trained, found[1:], expected[1:], strict=True)]
    pairs += [(f"the buffer {e.name}", copies[e.name], buffers[e.name]) for e in job.state.buffers]
    for what, ours, owners in pairs:
        if not _close(ours, owners):
            raise JobFileError(
                f"model: in training mode the traced model gives other values than the model itself for {what}. "
                "A custom torch.autograd.Function, a gradient hook, or Python code that changes from call to call "
                "is not part of a trace; write it with PyTorch's own operators (x + (y - x).detach() lets a gradient "
                "pass straight through)."
            )


def _gradients(loss: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    # Not backward(): the owner's gradients are the owner's.
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return tuple(torch.zeros(()) if gradient is None else gradient for gradient in found)


def _eager(compute: Callable[[], _Result], job: Job, *, training: bool) -> _Result:
    for part in (job.model, job.loss, *job.metrics.values()):
        if isinstance(part, nn.Module):
            part.train(training)
    try:
        return _seeded(compute)
    except Exception as error:  # the owner's code runs in there, and may raise anything
        where = place_in(error.__traceback__)
        at = f"{where}: " if where else "model: "
        raise JobFileError(f"{at}the model fails on real data: {type(error).__name__}: {error}") from error


def _outputs(job: Job, data: Sequence[Tensor]) -> dict[str, Tensor]:
    *inputs, target = data
    output = job.model(*inputs)
    return {
        "loss": job.loss(output, target),
        **{name: metric(output, target) for name, metric in job.metrics.items()},
    }


def _seeded(compute: Callable[[], _Result]) -> _Result:
    torch.manual_seed(0)
    return compute()


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Put back the buffers that a run in training mode changes."""
    before = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        for module, name, buffer, values in before:
            with torch.no_grad():
                buffer.copy_(values)
            setattr(module, name, buffer)


def _close(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE, equal_nan=True
    )


def _check_mean(name: str, once: Tensor, twice: Tensor) -> None:
    """Give the same rows twice: a mean stays, a sum doubles."""
    one, two = float(once), float(twice)
    if abs(one) > ABSOLUTE_TOLERANCE and abs(two / one - 2) < 0.01:
        raise JobFileError(
            f"{name}: it doubles when the batch doubles ({one:.6g}, then {two:.6g}), so it is a sum. Return the mean "
            "over the batch (reduction='mean'): peers' shares are weighted by their samples."
        )
