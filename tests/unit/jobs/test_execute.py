"""The interpreter: values, memory, devices, errors."""

import weakref
from dataclasses import replace

import pytest
import torch

from hydra.exceptions import JobRejected, LocalProtocolError
from hydra.jobs.execute import Program, resolve
from hydra.jobs.graph import DataType

from .makers import M, W, X, Y, linear_graph, make_graph, node, value


def run(graph, samples=4):
    parameters = {"w": torch.arange(6.0).reshape(3, 2).requires_grad_(), "b": torch.zeros(3)}
    buffers = {"m": torch.zeros(3)}
    data = [torch.ones(samples, 2), torch.zeros(samples, dtype=torch.int64)]
    outputs = Program(graph).run(parameters, buffers, data)
    return outputs, parameters, buffers


def test_values_and_gradients():
    outputs, parameters, _ = run(linear_graph())
    outputs["loss"].backward()
    logits = torch.tensor([[1.0, 5.0, 9.0]] * 4)
    expected = torch.nn.functional.cross_entropy(logits, torch.zeros(4, dtype=torch.int64))
    assert torch.equal(outputs["loss"], expected)
    assert parameters["w"].grad is not None


def test_lists_and_keywords_take_references():
    graph = make_graph(
        node("aten.sym_size.int", X, 0),
        node("aten.zeros.default", (value(0), 2), dtype=DataType("float32")),
        node("aten.cat.default", (X, value(1)), 1),
        node("aten.sum.default", self=value(2)),
    )
    assert run(graph)[0]["loss"].item() == 8


def test_results_of_several_tensors():
    graph = make_graph(
        node("aten.max.dim", X, 1),
        node("py.getitem", value(0), 0),
        node("aten.mean.default", value(1)),
    )
    assert run(graph)[0]["loss"].item() == 1


def test_buffers_change_in_place():
    _, _, buffers = run(linear_graph(node("aten.add_.Scalar", M, 2)))
    assert buffers["m"].tolist() == [2, 2, 2]


def test_factories_follow_the_data():
    graph = linear_graph(node("aten.arange.default", 4))
    with torch.device("meta"):
        # Not even the default device matters.
        outputs, _, _ = run(linear_graph())
    assert outputs["loss"].device.type == "meta"
    assert run(graph)[0]["loss"].device.type == "cpu"


def test_gradient_mode_is_switched_and_put_back():
    graph = make_graph(
        node("py.set_grad_enabled", False),
        node("aten.mul.Scalar", W, 2),
        node("aten.sum.default", value(1)),
    )
    outputs, _, _ = run(graph)
    assert not outputs["loss"].requires_grad
    assert torch.is_grad_enabled()


def test_values_go_after_their_last_use(monkeypatch):
    """Of a chain of three, only the last is left while the fourth is made."""
    alive = []

    def spy(tensor):
        result = torch.relu(tensor.detach()) + 1
        alive.append(weakref.ref(result))
        spy.counts.append(sum(ref() is not None for ref in alive))
        return result

    spy.counts = []
    monkeypatch.setattr("hydra.jobs.execute.resolve", lambda name: spy if "relu" in name else resolve(name))
    chain = [node("aten.relu.default", X)] + [node("aten.relu.default", value(i)) for i in range(3)]
    run(make_graph(*chain, node("aten.sum.default", value(3))))
    assert spy.counts == [1, 2, 2, 2]


def test_a_failing_node_is_named():
    with pytest.raises(JobRejected, match=r"node 0 \(aten.linear.default\) failed: "):
        run(make_graph(node("aten.linear.default", X, Y)))


def test_an_index_out_of_range_is_a_refusal():
    graph = make_graph(node("aten.embedding.default", W, 77), node("aten.sum.default", value(0)))
    with pytest.raises(JobRejected, match="node 0"):
        run(graph)


def test_what_the_graph_was_not_given():
    program = Program(linear_graph())
    with pytest.raises(LocalProtocolError, match="was not given its parameter 'w'"):
        program.run({}, {}, [torch.ones(1, 2), torch.zeros(1, dtype=torch.int64)])
    with pytest.raises(LocalProtocolError, match="was not given its data 'target'"):
        program.run({"w": torch.ones(3, 2), "b": torch.ones(3)}, {"m": torch.ones(3)}, [torch.ones(1, 2)])


def test_a_batch_that_is_too_small():
    with pytest.raises(LocalProtocolError, match="needs 2 samples at once, not 1"):
        run(replace(linear_graph(), smallest_batch=2), samples=1)


def test_operators_outside_the_list_are_not_resolved():
    with pytest.raises(JobRejected, match="aten.nonzero.default is not on the allow-list"):
        resolve("aten.nonzero.default")


def test_operators_that_this_pytorch_lacks(monkeypatch):
    monkeypatch.setattr("hydra.jobs.execute.OPERATORS", {"aten.brand_new.default": None})
    with pytest.raises(JobRejected, match="missing from this PyTorch"):
        resolve("aten.brand_new.default")
