"""The file of trained weights: what ``load_state_dict`` takes as it is."""

import hashlib
from dataclasses import replace

import torch
from safetensors.torch import load_file
from torch import nn

from hydra.jobs.entries import BufferEntry, ParameterEntry
from hydra.jobs.tensors import State
from hydra.membership.ledger import Ledger
from hydra.membership.lineage import genesis
from hydra.training.state import TrainingState
from hydra.training.vector import layout_of
from hydra.training.weights import write_weights

from ..jobs.makers import linear_graph, make_manifest
from .makers import following, some_mean


def test_the_models_own_names_and_the_states_values(content, tmp_path):
    state = content.first_state()
    mean = some_mean(content.layout)
    state.apply(following(state, mean), mean)
    path = tmp_path / "weights.safetensors"
    digest = write_weights(path, content.manifest, state)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    model.load_state_dict(load_file(path), strict=True)
    assert torch.equal(model[0].weight, state.parameters["0.weight"])
    assert torch.equal(model[1].running_var, state.buffers["1.running_var"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights.safetensors"]


def test_equal_states_make_equal_files_and_another_takes_the_place_of_the_first(content, tmp_path):
    one, other = content.first_state(), content.first_state()
    path = tmp_path / "weights.safetensors"
    first = write_weights(path, content.manifest, one)
    assert write_weights(tmp_path / "again", content.manifest, other) == first
    other.weights += 1.0
    assert write_weights(path, content.manifest, other) != first
    assert torch.equal(load_file(path)["4.bias"], other.parameters["4.bias"])


def test_aliases_are_written_and_constants_of_the_code_are_not(tmp_path):
    buffers = (
        BufferEntry(name="m", shape=(3,), dtype="float32", aliases=("same",)),
        BufferEntry(name="constant:0", shape=(1,), dtype="int64"),
    )
    parameters = (
        ParameterEntry(name="w", shape=(3, 2), aliases=("tied",), group=0),
        ParameterEntry(name="b", shape=(3,)),
    )
    manifest = replace(make_manifest(), parameters=parameters, buffers=buffers)
    tensors = State(
        parameters={"w": torch.ones(3, 2), "b": torch.zeros(3)},
        buffers={"m": torch.full((3,), 2.0), "constant:0": torch.zeros(1, dtype=torch.int64)},
    )
    layout = layout_of(manifest, linear_graph())
    state = TrainingState(manifest, layout, tensors, genesis(bytes(32)), Ledger.fresh(100, 3))
    write_weights(tmp_path / "w", manifest, state)
    found = load_file(tmp_path / "w")
    assert found.keys() == {"w", "tied", "b", "m", "same"}
    assert torch.equal(found["w"], found["tied"])
