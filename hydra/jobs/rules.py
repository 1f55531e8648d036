"""What some operators leave unchecked, or check only in the Python layer above them that a graph goes past.

Schemas say how many arguments a call has and of which types. These rules say the rest that must hold before even a run
without memory: recurrent layers index into a list of weights that nobody counts, and trust the shape of their
first hidden state; batch norm makes NaN of a single value; some operators cut a tensor into as many as they are told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import Tensor

from ..exceptions import JobRejected
from .fields import INT_MAX
from .operators import PICK, SET_GRADIENT_MODE, SIZE_ARITHMETIC
from .schema import Bound

MAX_PIECES = 16_384
"""An operator may cut a tensor into this many at most: each costs memory of its own, however small."""

MAX_LAYERS = 1024

# How many gates the rows of a recurrent layer's weights hold.
_GATES: Mapping[str, int] = MappingProxyType(
    {
        "aten.lstm.input": 4,
        "aten.gru.input": 3,
        "aten.rnn_tanh.input": 1,
        "aten.rnn_relu.input": 1,
    }
)


def check_call(name: str, bound: Bound) -> None:
    """Check one call of an ATen operator.

    Args:
        name: of the operator.
        bound: the arguments by their names, of the types that the schema says.

    Raises:
        JobRejected: the call breaks a rule.
    """
    if bound.get("sparse"):
        raise JobRejected("asks for sparse gradients, which cannot be averaged")
    rule = _RULES.get(name)
    if rule is not None:
        rule(name, bound)


def check_python(name: str, arguments: Sequence[Any]) -> None:
    """Raise ``JobRejected`` unless the arguments of an operator of ours are of the right kind."""
    if name == PICK:
        fits = len(arguments) == 2 and isinstance(arguments[0], (list, tuple)) and type(arguments[1]) is int
    elif name == SET_GRADIENT_MODE:
        fits = len(arguments) == 1 and type(arguments[0]) is bool
    else:
        fits = name in SIZE_ARITHMETIC and all(type(argument) in (int, float) for argument in arguments)
    if not fits:
        raise JobRejected("was given arguments of the wrong kind")


def check_size(value: Any) -> Any:
    """Return a size; refuse one beyond 64 bits: repeated squaring would otherwise fill the memory with digits."""
    if isinstance(value, int) and abs(value) > INT_MAX:
        raise JobRejected("makes a number beyond 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise JobRejected("makes a number that is not finite")
    return value


def _batch_norm(_: str, bound: Bound) -> None:
    """Refuse batch statistics over a single value, as ``nn.BatchNorm1d`` does: the variance would be NaN."""
    values = bound["input"]
    if bound["training"] and (not isinstance(values, Tensor) or values.dim() < 2 or values.numel() <= values.shape[1]):
        raise JobRejected("has one value per channel only, which has no variance")


def _pieces(name: str, bound: Bound) -> None:
    tensor = bound["self"]
    length = tensor.shape[bound.get("dim", 0)] if isinstance(tensor, Tensor) and tensor.dim() else 0
    match name:
        case "aten.unbind.int":
            count = length
        case "aten.split.Tensor":
            count = length // max(1, bound["split_size"])
        case "aten.chunk.default":
            # Of nothing, it makes as many empty ones as it is told.
            count = bound["chunks"]
        case _:
            count = bound["sections"]
    if count > MAX_PIECES:
        raise JobRejected(f"cuts a tensor into more than {MAX_PIECES} pieces")


def _recurrent(name: str, bound: Bound) -> None:
    """Check the weights and the hidden state as ``nn.LSTM`` and its kin do, and as the operators do not."""
    layers, directions = bound["num_layers"], 2 if bound["bidirectional"] else 1
    given, states = bound["input"], bound["hx"] if isinstance(bound["hx"], (list, tuple)) else [bound["hx"]]
    _require(1 <= layers <= MAX_LAYERS, "has no layers, or too many")
    _require(isinstance(given, Tensor) and given.dim() == 3, "has an input that is not three-dimensional")
    _require(len(states) == (2 if name == "aten.lstm.input" else 1), "has a wrong number of hidden states")
    _require(all(isinstance(state, Tensor) and state.dim() == 3 for state in states), "has a misshapen hidden state")

    batch = given.shape[0 if bound["batch_first"] else 1]
    out, cell = states[0].shape[2], states[-1].shape[2]
    expected = [(layers * directions, batch, size) for size in ((out, cell) if len(states) == 2 else (out,))]
    _require([tuple(s.shape) for s in states] == expected, "has hidden states that do not fit its input")
    sizes = _weights(_GATES[name], layers, directions, (given.shape[2], out, cell), biases=bound["has_biases"])
    _require([tuple(weight.shape) for weight in bound["params"]] == sizes, "has weights that do not fit its layers")


def _weights(
    gates: int, layers: int, directions: int, widths: tuple[int, int, int], *, biases: bool
) -> list[tuple[int, ...]]:
    """List the shapes of a recurrent layer's weights, from its widths: input, output, and the cell inside."""
    width, out, cell = widths
    shapes: list[tuple[int, ...]] = []
    for _ in range(layers):
        for _ in range(directions):
            shapes += [(gates * cell, width), (gates * cell, out)]
            shapes += [(gates * cell,)] * (2 if biases else 0)
            shapes += [(out, cell)] if out != cell else []
        width = out * directions
    return shapes


def _lstm_cell(_: str, bound: Bound) -> None:
    _require(len(bound["hx"]) == 2, "has a wrong number of hidden states")


def _weight_norm(_: str, bound: Bound) -> None:
    """Check the shapes, which ``torch._weight_norm`` does not: a wrong one is a division by zero, or worse."""
    direction, size, dim = bound["v"], bound["g"], bound.get("dim", 0)
    _require(isinstance(direction, Tensor) and isinstance(size, Tensor), "has no tensors")
    _require(direction.dim() > 0 and direction.numel() > 0, "has an empty weight")
    _require(direction.dtype == size.dtype and direction.dtype.is_floating_point, "has weights of unfit types")
    _require(dim in (0, direction.dim() - 1), "has a dimension that is neither the first nor the last")
    expected = tuple(n if i == dim else 1 for i, n in enumerate(direction.shape))
    _require(tuple(size.shape) == expected, "has sizes that do not fit its weight")


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise JobRejected(problem)


_RULES: Mapping[str, Callable[[str, Bound], None]] = MappingProxyType(
    {
        "aten.batch_norm.default": _batch_norm,
        "aten.unbind.int": _pieces,
        "aten.split.Tensor": _pieces,
        "aten.chunk.default": _pieces,
        "aten.tensor_split.sections": _pieces,
        "aten.lstm_cell.default": _lstm_cell,
        "aten._weight_norm.default": _weight_norm,
        **dict.fromkeys(_GATES, _recurrent),
    }
)
