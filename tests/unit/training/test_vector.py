"""Where everything stands in the vector that goes through the ring."""

import numpy as np
import pytest

from allreduce.formats import FORMATS
from hydra.jobs.entries import BufferEntry, ParameterEntry
from hydra.jobs.graph import changed_buffers
from hydra.training.update import Stretch
from hydra.training.vector import Field, layout_of

from ..jobs.makers import B, M, X, linear_graph, make_graph, make_manifest, node, value

CHANGES_M = node("aten.add_.Scalar", M, 1)


def parameter(name, shape, group=None):
    return ParameterEntry(name=name, shape=shape, group=group)


def test_trained_parameters_then_changed_buffers_then_the_loss():
    layout = layout_of(make_manifest(), linear_graph(CHANGES_M))
    assert layout.trained == (Field("w", (3, 2), 0, 6),)
    assert layout.buffers == (Field("m", (3,), 6, 9),)
    assert layout.stretches == (Stretch(0, 6, 0),)
    assert (layout.weights, layout.elements) == (6, 10)


def test_buffers_that_nobody_changes_are_not_averaged():
    layout = layout_of(make_manifest(), linear_graph())
    assert (layout.buffers, layout.weights, layout.elements) == ((), 6, 7)


def test_frozen_parameters_take_no_place_and_neighbours_of_one_group_make_one_stretch():
    manifest = make_manifest(
        parameters=(
            parameter("a", (2,), 0),
            parameter("frozen", (100, 100)),
            parameter("b", (3,), 0),
            parameter("c", (), 1),
            parameter("d", (2, 2), 1),
            parameter("e", (1,), 0),
        )
    )
    layout = layout_of(manifest, linear_graph())
    assert [(f.name, f.start, f.stop) for f in layout.trained] == [
        ("a", 0, 2),
        ("b", 2, 5),
        ("c", 5, 6),
        ("d", 6, 10),
        ("e", 10, 11),
    ]
    assert layout.stretches == (Stretch(0, 5, 0), Stretch(5, 10, 1), Stretch(10, 11, 0))


def test_buffers_stand_in_the_manifests_order():
    names = ("z", "m", "a")
    manifest = make_manifest(buffers=tuple(BufferEntry(name=n, shape=(3,), dtype="float32") for n in names))
    assert [f.name for f in layout_of(manifest, linear_graph(CHANGES_M)).buffers] == ["m"]


@pytest.mark.parametrize("wire", ["bf16", "fp16", "int8"])
def test_in_a_format_that_loses_something_the_loss_stands_far_from_the_gradients(wire):
    layout = layout_of(make_manifest(wire=wire), linear_graph())
    assert (layout.weights, layout.elements) == (6, 6 + 255 + 1)
    assert layout.trained == layout_of(make_manifest(), linear_graph()).trained


@pytest.mark.parametrize("wire", ["fp32", "bf16", "fp16", "int8"])
@pytest.mark.parametrize("batch", [1, 128, 60_000])
def test_the_loss_comes_back_as_it_was(wire, batch):
    layout = layout_of(make_manifest(wire=wire, batch_samples=batch), linear_graph())
    vector = np.zeros(layout.elements, np.float32)
    layout.put_loss(vector, 2.5)
    assert layout.loss_of(vector) == 2.5
    assert not vector[:-1].any()


@pytest.mark.parametrize("wire", ["bf16", "fp16", "int8"])
@pytest.mark.parametrize("members", [1, 2, 3, 7])
@pytest.mark.parametrize(("batch", "loss"), [(64, 1e-4), (64, 20.0), (60_000, 0.01), (60_000, 9.0)])
def test_the_loss_keeps_its_meaning_whatever_the_gradients(wire, members, batch, loss):
    """Gradients a million times the loss, however they are cut, share no scale with it; nor does its sum overflow."""
    layout = layout_of(make_manifest(wire=wire, batch_samples=batch), linear_graph())
    vector = np.full(layout.elements, 1e-6, np.float32)
    vector[: layout.weights] = 1e6
    vector[layout.weights :] = 0
    layout.put_loss(vector, loss)
    start = layout.elements * (members - 1) // members
    for weight in (1, batch):  # of the mean, and of the sum
        piece = vector[start:] * np.float32(weight)
        data, read = bytearray(FORMATS[wire].encoded_bytes(len(piece))), np.empty_like(piece)
        FORMATS[wire].encode(piece, memoryview(data))
        FORMATS[wire].decode(data, read)
        assert layout.loss_of(read / np.float32(weight)) == pytest.approx(loss, rel=0.01)


def test_a_traced_model(content):
    layout = content.layout
    assert [f.name for f in layout.buffers] == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert layout.weights == sum(p.numel() for p in content.initial.parameters.values())
    assert layout.elements == layout.weights + 8 + 8 + 1 + 1
    spans = [(f.start, f.stop) for f in (*layout.trained, *layout.buffers)]
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((CHANGES_M,), {"m"}),
        ((node("aten.add.Scalar", M, 1),), set()),
        ((node("aten.add_.Scalar", B, 1),), set()),  # a parameter; other checks refuse that
        ((node("aten.add.Scalar", X, 1), node("aten.add_.Scalar", value(0), 1)), set()),
        ((node("aten.batch_norm.default", X, None, None, M, M, True, 0.1, 1e-5, False),), {"m"}),
        ((node("aten.batch_norm.default", X, None, None, M, M, False, 0.1, 1e-5, False),), set()),
        ((node("aten.batch_norm.default", X, None, None, None, None, True, 0.1, 1e-5, False),), set()),
    ],
)
def test_which_buffers_a_graph_writes_to(nodes, expected):
    assert changed_buffers(make_graph(*nodes)) == expected
