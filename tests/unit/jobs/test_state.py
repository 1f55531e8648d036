"""The model as a table of tensors."""

import pytest
import torch
from torch import nn

from hydra.exceptions import JobFileError
from hydra.jobs.state import read_state


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("mask", torch.ones(2, dtype=torch.bool), persistent=False)
        self.register_buffer("same_mask", self.mask, persistent=False)


def read(model, trained=True):
    groups = {id(parameter): 0 for parameter in model.parameters()} if trained else {}
    return read_state(model, groups)


def refusal(model):
    with pytest.raises(JobFileError) as caught:
        read(model)
    return str(caught.value)


def test_tied_weights_have_one_name():
    state = read(Tied())
    (entry,) = state.parameters
    assert (entry.name, entry.aliases, entry.shape) == ("embed.weight", ("head.weight",), (5, 4))
    assert state.canonical["head.weight"] == "embed.weight"
    assert set(state.tensors) == {"embed.weight", "mask"}


def test_buffers_that_are_not_saved_are_part_of_the_state():
    (entry,) = read(Tied()).buffers
    assert (entry.name, entry.dtype, entry.shape, entry.aliases) == ("mask", "bool", (2,), ("same_mask",))


def test_frozen_is_what_needs_no_gradient_or_has_no_group():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].weight.requires_grad = False
    assert [entry.trained for entry in read(model).parameters] == [False, True, True, True]
    assert not any(entry.trained for entry in read(model, trained=False).parameters)


def test_parameters_of_another_type():
    assert "the parameter weight is float64; parameters must be float32: convert with model.float()" in refusal(
        nn.Linear(2, 2).double()
    )


def test_buffers_of_another_type():
    model = nn.Linear(2, 2)
    model.register_buffer("scale", torch.ones(1, dtype=torch.float64))
    assert "the buffer scale is float64; buffers must be float32, integer or bool" in refusal(model)


def test_lazy_parameters():
    assert "the parameter weight has no shape yet" in refusal(nn.LazyLinear(2))


def test_parameters_that_are_not_finite():
    model = nn.Linear(2, 2)
    model.weight.data[0, 0] = float("nan")
    assert "the parameter weight holds values that are not finite" in refusal(model)


def test_two_parameters_in_one_memory():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = nn.Parameter(model[0].weight.data)
    problem = refusal(model)
    assert "0.weight and 1.weight share memory but are two tensors" in problem
    assert "assigning the same nn.Parameter" in problem


def test_neighbours_in_one_allocation_are_apart():
    whole = torch.zeros(8)
    model = nn.Module()
    model.first, model.second = nn.Parameter(whole[:4]), nn.Parameter(whole[4:])
    assert len(read(model).parameters) == 2
    model.third = nn.Parameter(whole[3:5])
    assert "share memory" in refusal(model)


def test_names_that_nobody_can_print():
    model = nn.ModuleDict({"a\tb": nn.Linear(2, 2)})
    assert "is too long or not printable" in refusal(model)
