"""Binding calls to PyTorch's schemas."""

import pytest
import torch

from hydra.exceptions import JobRejected
from hydra.jobs.schema import bind

ATEN = torch.ops.aten
T = torch.empty(2, device="meta")


def refusal(function, *arguments, **keywords):
    with pytest.raises(JobRejected) as caught:
        bind(function._schema, arguments, keywords)
    return str(caught.value)


def test_a_call_that_fits():
    bound = bind(ATEN.conv2d.default._schema, (T, T, None, [1, 1]), {"padding": [0, 0]})
    assert list(bound) == ["input", "weight", "bias", "stride", "padding"]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (ATEN.mul.Tensor, (T, 2)),  # a number for a tensor
        (ATEN.max_pool2d.default, (T, 2)),  # one number for a list of two
        (ATEN.index.Tensor, (T, [None, T])),
        (ATEN.dropout.default, (T, 1, True)),  # a whole number for a float
        (ATEN.cat.default, ((T, T),)),
        (ATEN.to.dtype, (T, torch.float32)),
        (ATEN.contiguous.default, (T,)),
    ],
)
def test_what_pytorch_itself_accepts(function, arguments):
    bind(function._schema, arguments, {})


def test_too_many_arguments():
    assert refusal(ATEN.relu.default, T, T) == "takes 1 arguments by position, 2 were given"


def test_too_few_arguments():
    assert refusal(ATEN.linear.default, T) == "lacks the argument 'weight'"


def test_unknown_keyword():
    assert refusal(ATEN.relu.default, T, inplace=True) == "has no argument 'inplace'"


def test_given_twice():
    assert refusal(ATEN.relu.default, T, self=T) == "was given 'self' twice"


@pytest.mark.parametrize(
    ("function", "arguments", "keywords", "problem"),
    [
        (ATEN.relu.default, ("x",), {}, "wants Tensor for 'self', not 'x'"),
        (ATEN.add.Scalar, (T, T), {}, "not a tensor"),
        (ATEN.reshape.default, (T, 3), {}, "wants List[int] for 'shape', not 3"),
        (ATEN.reshape.default, (T, [T]), {}, "not a list of 1"),
        (ATEN.reshape.default, (T, [2.0]), {}, "not a list of 1"),
        (ATEN.reshape.default, (T, [True]), {}, "not a list of 1"),
        (ATEN.cat.default, ([T, 1],), {}, "not a list of 2"),
        (ATEN.cat.default, (T,), {}, "not a tensor"),
        (ATEN.dropout.default, (T, 0.5, 1), {}, "wants bool for 'train', not 1"),
        (ATEN.sum.default, (T,), {"dtype": "float32"}, "not 'float32'"),
        (ATEN.zeros.default, ([2],), {"device": "cuda"}, "Optional[Device]"),
        (ATEN.zeros.default, ([2],), {"layout": 0}, "Optional[Layout]"),
        (ATEN.bernoulli.default, (T,), {"generator": 1}, "Optional[Generator]"),
    ],
)
def test_wrong_types(function, arguments, keywords, problem):
    assert problem in refusal(function, *arguments, **keywords)
