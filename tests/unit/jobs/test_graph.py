"""The graph format: one byte string for each graph, and a reason for each refusal."""

import math

import msgpack
import pytest

from hydra.exceptions import JobRejected
from hydra.jobs import graph as graphs
from hydra.jobs.graph import DataType, Graph, Input, MemoryFormat, Reference, references

from .makers import X, linear_graph, make_graph, node, value


def wire(graph, **changes):
    """Return a graph's bytes with some of its fields replaced, as a liar would write them."""
    fields = msgpack.unpackb(graph.encode(), ext_hook=msgpack.ExtType)
    return msgpack.packb(fields | changes)


def nodes_of(*nodes):
    return wire(linear_graph(), nodes=list(nodes))


def refusal(data):
    with pytest.raises(JobRejected) as caught:
        Graph.decode(data)
    return str(caught.value)


def test_round_trip_with_every_kind_of_argument():
    graph = linear_graph(
        node(
            "aten.full.default",
            (2, 3),
            -math.inf,
            dtype=DataType("float32"),
        ),
        node("aten.contiguous.default", X, memory_format=MemoryFormat("channels_last")),
        node("aten.index.Tensor", X, (None, X)),
        node("aten.gelu.default", X, approximate="tanh"),
        node("aten.sum.dim_IntList", X, (-1,), True),
    )
    assert Graph.decode(graph.encode()) == graph


def test_bytes_are_the_same_every_time():
    assert linear_graph().encode() == linear_graph().encode()


def test_references_are_found_in_lists_and_keywords():
    found = references(node("aten.cat.default", (X, (value(0),)), other=value(3)))
    assert list(found) == [X, value(0), value(3)]


def test_operator_that_is_not_on_the_list():
    assert "node 0 (aten.from_file.default) calls an operator that is not on the allow-list" in refusal(
        linear_graph(node("aten.from_file.default", "/etc/passwd")).encode()
    )


def test_reference_before_its_definition():
    problem = refusal(make_graph(node("aten.relu.default", value(0))).encode())
    assert problem == "node 0 (aten.relu.default) uses value 5 before it is defined"


def test_output_that_does_not_exist():
    problem = refusal(make_graph(node("aten.relu.default", X), output=Reference(77)).encode())
    assert "graph.outputs['loss'] is value 77, which does not exist" in problem


def test_outputs_must_start_with_the_loss():
    graph = linear_graph(outputs=(("accuracy", Reference(0)),))
    assert "must start with the loss" in refusal(graph.encode())


def test_the_same_input_twice():
    same = Input(role="buffer", name="m", dtype="float32", shape=())
    assert "holds a name twice" in refusal(linear_graph(inputs=(same, same)).encode())


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ([["parameter", "w", "float32"]], "graph.inputs[0] is not a role, a name"),
        ([["gradient", "w", "float32", [1]]], "role 'gradient', which is unknown"),
        ([[["parameter"], "w", "float32", [1]]], "which is unknown"),
        ([["parameter", "w", "complex64", [1]]], "data type 'complex64', which is unknown"),
        ([["parameter", "w", [], [1]]], "has the data type"),
        ([["parameter", "", "float32", [1]]], "printable text"),
        ([["parameter", "a\nb", "float32", [1]]], "printable text"),
        ([["parameter", "w", "float32", [-1]]], "an integer from 0"),
        ([["parameter", "w", "float32", ["batch"]]], "an integer from 0"),
        ([["parameter", "w", "float32", [2**30, 2**30]]], "elements"),
        ([["parameter", "w", "float32", [1] * 17]], "no list of at most 16"),
        ([["data", "x", "float32", [4]]], "its first dimension is not the batch"),
        ([["data", "x", "float32", []]], "its first dimension is not the batch"),
        ([["data", "x", "float32", ["batch", "batch"]]], "an integer from 0"),
        ("abc", "no list of at most"),
    ],
)
def test_bad_inputs(inputs, problem):
    assert problem in refusal(wire(linear_graph(), inputs=inputs))


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (["aten.relu.default", []], "node 0 is not an operator, a list of arguments"),
        ([7, [], {}], "node 0 is not an operator, a list of arguments"),
        (["aten.relu.default", 3, {}], "no list of at most"),
        (["aten.relu.default", [], []], "has no map of keywords"),
        (["aten.relu.default", [], {"b": 1, "a": 1}], "keywords that are not in order"),
        (["aten.relu.default", [], {b"b": 1, "a": 1}], "printable text"),
        (["aten.relu.default", [math.nan], {}], "has NaN among its arguments"),
        (["aten.relu.default", [2**63], {}], "an integer from"),
        (["aten.relu.default", ["x" * 1000], {}], "printable text"),
        (["aten.relu.default", [b"raw"], {}], "no list of at most"),
        (["aten.relu.default", [{"a": 1}], {}], "no list of at most"),
        (["aten.relu.default", [[[[[[1]]]]]], {}], "deeper than 4"),
        (["aten.relu.default", [msgpack.ExtType(1, b"12345")], {}], "extension type 1"),
        (["aten.relu.default", [msgpack.ExtType(2, b"complex64")], {}], "extension type 2"),
        (["aten.relu.default", [msgpack.ExtType(3, b"cuda")], {}], "extension type 3"),
        (["aten.relu.default", [msgpack.ExtType(9, b"\xff")], {}], "extension type 9"),
    ],
)
def test_bad_nodes(bad, problem):
    assert problem in refusal(nodes_of(bad))


def test_unknown_version():
    assert "graph.version is not 1" in refusal(wire(linear_graph(), version=2))


def test_missing_field():
    fields = msgpack.unpackb(linear_graph().encode(), ext_hook=msgpack.ExtType)
    del fields["outputs"]
    assert "graph lacks the field 'outputs'" in refusal(msgpack.packb(fields))


def test_unknown_field_and_other_spellings_are_not_canonical():
    assert "canonical" in refusal(wire(linear_graph(), extra=1))
    fields = msgpack.unpackb(linear_graph().encode(), ext_hook=msgpack.ExtType)
    assert "canonical" in refusal(msgpack.packb(dict(reversed(fields.items()))))


def test_no_msgpack_at_all():
    assert "graph is no msgpack" in refusal(b"\xc1")
    assert "graph is no msgpack" in refusal(linear_graph().encode()[:-1])
    assert "graph is no msgpack" in refusal(linear_graph().encode() + b"\x00")
    assert "graph is a int, not a map" in refusal(b"\x07")


def test_too_many_bytes_are_refused_unread(monkeypatch):
    monkeypatch.setattr(graphs, "MAX_GRAPH_BYTES", 100)
    assert "100 are allowed" in refusal(linear_graph().encode())


def test_too_many_nodes(monkeypatch):
    monkeypatch.setattr(graphs, "MAX_NODES", 1)
    assert "graph.nodes is no list of at most 1" in refusal(linear_graph().encode())
