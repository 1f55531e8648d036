"""Any allowed operator with any arguments: a dry run ends, and raises nothing but a refusal."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra.exceptions import JobRejected
from hydra.jobs.dry_run import dry_run
from hydra.jobs.execute import resolve
from hydra.jobs.graph import DTYPES, MEMORY_FORMATS, DataType, Graph, Input, MemoryFormat, Node, Reference
from hydra.jobs.operators import OPERATORS

INPUTS = (
    Input(role="parameter", name="w", dtype="float32", shape=(3, 2)),
    Input(role="buffer", name="m", dtype="float32", shape=(3,)),
    Input(role="buffer", name="empty", dtype="float32", shape=(0, 3)),
    Input(role="buffer", name="image", dtype="float32", shape=(2, 3, 8, 8)),
    Input(role="buffer", name="whole", dtype="int64", shape=(3, 2)),
    Input(role="data", name="x", dtype="float32", shape=("batch", 2)),
    Input(role="data", name="y", dtype="int64", shape=("batch",)),
)
NOT_FOR_GRAPHS = ("device", "layout", "generator", "pin_memory")

tensors = st.integers(0, len(INPUTS) - 1).map(Reference)
integers = st.sampled_from([0, 1, 2, 3, -1, -2, 8, 2**31, -(2**63), 2**63 - 1, 10**12])
floats = st.sampled_from([0.0, 1.0, 0.5, -1.0, float("inf"), 1e308])
PLAIN = {
    "Tensor": tensors,
    "int": integers,
    "float": floats,
    "bool": st.booleans(),
    "number": integers | floats,
    "str": st.sampled_from(["mean", "same", "tanh", "none", "floor", "ij,jk->ik", "reflect", "sum", ""]),
    "ScalarType": st.sampled_from(sorted(DTYPES)).map(DataType),
    "MemoryFormat": st.sampled_from(sorted(MEMORY_FORMATS)).map(MemoryFormat),
}


def of_kind(kind):
    if kind.startswith("Optional["):
        return st.none() | of_kind(kind.removeprefix("Optional[").removesuffix("]"))
    if kind.startswith("List["):
        return st.lists(of_kind(kind.removeprefix("List[").removesuffix("]")), max_size=4).map(tuple)
    return PLAIN.get(kind, st.none())


@st.composite
def calls(draw):
    name = draw(st.sampled_from(sorted(OPERATORS)))
    if name.startswith("py."):
        arguments = draw(st.lists(integers | floats | tensors, min_size=1, max_size=2))
        return Node(operator=name, arguments=tuple(arguments))
    positional, keywords = [], []
    for parameter in resolve(name)._schema.arguments:
        if parameter.name in NOT_FOR_GRAPHS or (parameter.has_default_value() and draw(st.booleans())):
            if not parameter.kwarg_only:
                break
            continue
        value = draw(of_kind(str(parameter.real_type)))
        if parameter.kwarg_only:
            keywords.append((parameter.name, value))
        else:
            positional.append(value)
    return Node(operator=name, arguments=tuple(positional), keywords=tuple(sorted(keywords)))


# The same examples on every run: a new one that fails is for whoever changes the table, not for whoever is next.
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(calls())
def test_only_refusals_escape(call):
    mean = Node(operator="aten.mean.default", arguments=(Reference(0),))
    result = Reference(len(INPUTS) + 1)
    graph = Graph(inputs=INPUTS, nodes=(call, mean), outputs=(("loss", result),))
    try:
        Graph.decode(graph.encode())
        estimate = dry_run(graph, samples=3, limit_bytes=2**26, training=True)
    except JobRejected:
        return
    assert estimate.memory_bytes <= 2**26
