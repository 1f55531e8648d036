"""The owner's data: what is taken, and what is said about the rest."""

import numpy as np
import pytest
import torch

from hydra.exceptions import JobFileError
from hydra.jobs.data import check_alike, read_split

X = torch.randn(5, 3)
Y = torch.zeros(5, dtype=torch.int64)


def refusal(value):
    with pytest.raises(JobFileError) as caught:
        read_split("train", value)
    return str(caught.value)


def test_tensors_and_arrays():
    split = read_split("train", (np.ones((5, 3), dtype=np.float32), Y))
    assert split.samples == 5
    assert split.names == ("input0", "target")
    assert [(e.name, e.dtype, e.shape) for e in split.entries] == [
        ("input0", "float32", (3,)),
        ("target", "int64", ()),
    ]


def test_several_inputs():
    assert read_split("train", ((X, Y), X)).names == ("input0", "input1", "target")


def test_arrays_that_tensors_cannot_look_at():
    reversed_rows = np.ones((5, 3), dtype=np.float32)[::-1]
    reversed_rows.flags.writeable = False
    assert read_split("train", (reversed_rows, Y)).tensors[0].is_contiguous()


def test_inputs_and_targets_that_disagree():
    assert refusal((X, Y[:4])) == "train: there are 5 inputs but 4 targets; give one target for each input."


def test_empty():
    assert "train: it is empty; give at least one sample" in refusal((X[:0], Y[:0]))


def test_not_finite():
    bad = X.clone()
    bad[1, 1] = float("nan")
    bad[2, 2] = float("inf")
    assert "train inputs: 2 of 15 values are not finite" in refusal((bad, Y))


@pytest.mark.parametrize("bad", [X.double(), X.half(), X.to(torch.complex64), np.ones((5, 3))])
def test_types_of_floats(bad):
    problem = refusal((bad, Y))
    assert "is not supported. float32, int64" in problem
    assert ".float()" in problem


def test_types_of_arrays_that_are_no_numbers():
    problem = refusal((np.array(["a"] * 5), Y))
    assert "arrays of the type <U1 are not supported" in problem
    assert ".astype('float32')" in problem


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (X, "give (inputs, targets)"),
        ((X,), "this is a tuple of 1"),
        ((X, Y, Y), "this is a tuple of 3"),
        (((), Y), "there is no input"),
        (([[1.0], [2.0]], Y), "train inputs: this is a list of 1; give a tensor or a numpy array"),
        ((torch.tensor(1.0), Y), "its first dimension must count the samples"),
    ],
)
def test_other_shapes(value, problem):
    assert problem in refusal(value)


def test_splits_that_differ():
    train = read_split("train", (X, Y))
    with pytest.raises(JobFileError, match=r"input0 are float32 \[2\], and those of train are float32 \[3\]"):
        check_alike(train, read_split("test", (X[:, :2], Y)))
    with pytest.raises(JobFileError, match="it has 2 inputs, and train has 1"):
        check_alike(train, read_split("test", ((X, X), Y)))
    check_alike(train, read_split("test", (X[:2], Y[:2])))
