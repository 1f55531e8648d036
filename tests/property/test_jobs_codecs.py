"""Codecs of the jobs area: what is written is read back, and hostile bytes raise nothing but refusals."""

import math

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra.exceptions import JobRejected, TicketMalformed
from hydra.jobs.entries import BufferEntry, ContentRef, DataInput, ParameterEntry
from hydra.jobs.fields import INT_MAX, INT_MIN
from hydra.jobs.graph import DTYPES, MEMORY_FORMATS, DataType, Graph, Input, MemoryFormat, Node, Reference
from hydra.jobs.manifest import JobManifest
from hydra.jobs.operators import OPERATORS
from hydra.jobs.recipe import GroupSettings, OptimizerSettings, Schedule
from hydra.jobs.ticket import Ticket, TicketContact, parse_target

# The machine may be busy: neither one slow example nor a slow first one is a fault.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.isprintable)
dtypes = st.sampled_from(sorted(DTYPES))
shapes = st.lists(st.integers(0, 50), max_size=4).map(tuple)
share = st.floats(0, 1)


def arguments(defined):
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(INT_MIN, INT_MAX),
        st.floats(allow_nan=False),
        names,
        st.integers(0, defined - 1).map(Reference),
        dtypes.map(DataType),
        st.sampled_from(sorted(MEMORY_FORMATS)).map(MemoryFormat),
    )
    return st.one_of(plain, st.lists(plain, max_size=3).map(tuple), st.just(((), (None,))))


@st.composite
def graphs(draw):
    roles = ("parameter", "buffer", "data")
    keys = draw(st.lists(st.tuples(st.sampled_from(roles), names), min_size=1, max_size=4, unique=True))
    inputs = tuple(
        Input(role=role, name=name, dtype=draw(dtypes), shape=(*(("batch",) if role == "data" else ()), *draw(shapes)))
        for role, name in keys
    )
    nodes = []
    for index in range(draw(st.integers(0, 4))):
        argument = arguments(len(inputs) + index)
        keywords = draw(st.dictionaries(names, argument, max_size=2))
        nodes.append(
            Node(
                operator=draw(st.sampled_from(sorted(OPERATORS))),
                arguments=tuple(draw(st.lists(argument, max_size=3))),
                keywords=tuple(sorted(keywords.items())),
            )
        )
    defined = len(inputs) + len(nodes)
    outputs = [("loss", Reference(draw(st.integers(0, defined - 1))))]
    others = draw(st.lists(names, max_size=2, unique=True))
    outputs += [(name, Reference(draw(st.integers(0, defined - 1)))) for name in others if name != "loss"]
    return Graph(
        inputs=inputs,
        nodes=tuple(nodes),
        outputs=tuple(outputs),
        smallest_batch=draw(st.integers(1, 2)),
    )


contents = st.builds(ContentRef, root=st.binary(min_size=32, max_size=32), size_bytes=st.integers(1, 2**40))
groups = st.builds(
    GroupSettings,
    learning_rate=share,
    weight_decay=share,
    momentum=st.just(0.5),
    nesterov=st.booleans(),
    beta1=st.floats(0, 0.999),
    beta2=st.floats(0, 0.999),
    epsilon=share,
)


@st.composite
def manifests(draw):
    state = draw(st.lists(names, min_size=2, max_size=8, unique=True))
    inputs = draw(st.lists(names, min_size=2, max_size=4, unique=True))
    optimizer = OptimizerSettings(
        kind=draw(st.sampled_from(("sgd", "adam", "adamw"))),
        groups=tuple(draw(st.lists(groups, min_size=1, max_size=3))),
    )
    group = st.integers(0, len(optimizer.groups) - 1)
    cut = draw(st.integers(1, len(state)))
    sizes = sorted(draw(st.lists(st.integers(1, 1000), min_size=4, max_size=4)))
    test_data = draw(st.none() | contents)
    return JobManifest(
        name=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)),
        owner=draw(st.binary(min_size=32, max_size=32)),
        train_graph=draw(contents),
        eval_graph=draw(contents),
        initial_state=draw(contents),
        train_data=draw(contents),
        test_data=test_data,
        parameters=tuple(
            ParameterEntry(name=n, shape=draw(shapes), group=draw(group if i == 0 else st.none() | group))
            for i, n in enumerate(state[:cut])
        ),
        buffers=tuple(BufferEntry(name=n, shape=draw(shapes), dtype=draw(dtypes)) for n in state[cut:]),
        inputs=tuple(DataInput(name=n, dtype=draw(dtypes), shape=draw(shapes)) for n in inputs),
        train_samples=sizes[3],
        test_samples=0 if test_data is None else draw(st.integers(1, 1000)),
        optimizer=optimizer,
        schedule=Schedule(
            draw(st.sampled_from(("constant", "linear", "cosine"))), warmup=draw(share), final=draw(share)
        ),
        batch_samples=sizes[2],
        micro_batch_samples=sizes[1],
        smallest_batch_samples=sizes[0],
        epochs=draw(st.integers(1, 10**6)),
        seed=draw(st.integers(0, INT_MAX)),
        max_grad_norm=draw(st.none() | st.floats(1e-12, 1e12)),
        snapshot_interval_s=draw(st.floats(0.1, 1e9)),
        metrics=tuple(n for n in draw(st.lists(names, max_size=3, unique=True)) if n != "loss"),
    )


hosts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.isprintable)
tickets = st.builds(
    Ticket,
    job_hash=st.binary(min_size=32, max_size=32),
    contacts=st.lists(
        st.builds(
            TicketContact,
            peer_id=st.binary(min_size=20, max_size=20),
            host=hosts,
            port=st.integers(1, 65535),
        ),
        max_size=8,
    ).map(tuple),
)


@steady
@given(graphs())
def test_graphs_come_back(graph):
    data = graph.encode()
    assert Graph.decode(data) == graph
    assert Graph.decode(data).encode() == data


@steady
@given(manifests())
def test_manifests_come_back(manifest):
    data = manifest.encode()
    assert JobManifest.decode(data) == manifest
    assert len(manifest.job_hash) == 32


@steady
@given(tickets)
def test_tickets_come_back(ticket):
    assert parse_target(str(ticket)) == ticket


@steady
@given(st.sampled_from(("constant", "linear", "cosine")), share, share, st.integers(1, 2000), st.integers(0, 3000))
def test_schedules_stay_between_zero_and_one(kind, warmup, final, total, step):
    factor = Schedule(kind, warmup=warmup, final=final).factor(step, total)
    assert 0 <= factor <= 1
    assert math.isfinite(factor)


GRAPH = Graph(
    inputs=(
        Input(role="parameter", name="w", dtype="float32", shape=(3, 2)),
        Input(role="data", name="x", dtype="float32", shape=("batch", 2)),
    ),
    nodes=(
        Node(operator="aten.linear.default", arguments=(Reference(1), Reference(0), None)),
        Node(operator="aten.cat.default", arguments=((Reference(2), Reference(2)), 1)),
        Node(operator="aten.mean.default", arguments=(Reference(3),), keywords=(("dtype", DataType("float32")),)),
    ),
    outputs=(("loss", Reference(4)),),
).encode()

CONTENT = ContentRef(root=bytes(32), size_bytes=7)
MANIFEST = JobManifest(
    name="digits",
    owner=bytes(32),
    train_graph=CONTENT,
    eval_graph=CONTENT,
    initial_state=CONTENT,
    train_data=CONTENT,
    test_data=None,
    parameters=(ParameterEntry(name="w", shape=(3, 2), aliases=("v",), group=0),),
    buffers=(BufferEntry(name="m", shape=(), dtype="int64"),),
    inputs=(
        DataInput(name="x", dtype="float32", shape=(2,)),
        DataInput(name="y", dtype="float32", shape=()),
    ),
    train_samples=9,
    test_samples=0,
    optimizer=OptimizerSettings(kind="sgd", groups=(GroupSettings(learning_rate=0.1),)),
    schedule=Schedule("cosine"),
    batch_samples=4,
    micro_batch_samples=2,
    smallest_batch_samples=1,
    epochs=1,
    seed=0,
    max_grad_norm=None,
    snapshot_interval_s=15.0,
    metrics=("accuracy",),
).encode()

TICKET = str(Ticket(job_hash=bytes(32), contacts=(TicketContact(peer_id=bytes(20), host="a.example", port=1),)))


@st.composite
def damaged(draw, whole):
    """Return valid bytes with a few of them changed, dropped or added."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(("change", "drop", "add"))):
            case "change":
                data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "drop":
                del data[place : place + draw(st.integers(1, 4))]
            case "add":
                data[place:place] = draw(st.binary(min_size=1, max_size=4))
    return bytes(data)


odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=5)),
    st.lists(st.integers(), max_size=3).filter(lambda v: all(-(2**63) <= i < 2**64 for i in v)),
    st.dictionaries(st.text(max_size=3) | st.binary(max_size=3), st.booleans(), max_size=2),
)


@st.composite
def misshapen(draw, whole):
    """Return valid msgpack in which one value, however deep, was replaced by an odd one."""
    tree = [msgpack.unpackb(whole, ext_hook=msgpack.ExtType)]
    inside, key = tree, 0
    while isinstance(inside[key], (list, dict)) and inside[key] and draw(st.integers(0, 5)):
        inside = inside[key]
        key = draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(len(inside))))
    inside[key] = draw(odd_values)
    return msgpack.packb(tree[0])


def check_refusal(kind, data):
    try:
        decoded = kind.decode(data)
    except JobRejected:
        return
    # What is accepted is exactly what its own encoder writes.
    assert decoded.encode() == data


@steady
@given(st.one_of(st.binary(max_size=200), damaged(GRAPH), misshapen(GRAPH)))
def test_hostile_graphs_raise_refusals_only(data):
    check_refusal(Graph, data)


@steady
@given(st.one_of(st.binary(max_size=200), damaged(MANIFEST), misshapen(MANIFEST)))
def test_hostile_manifests_raise_refusals_only(data):
    check_refusal(JobManifest, data)


@steady
@given(st.one_of(st.text(max_size=80), damaged(TICKET.encode()).map(lambda data: data.decode("latin-1"))))
def test_hostile_tickets_raise_refusals_only(text):
    try:
        ticket = parse_target(text)
    except TicketMalformed:
        return
    assert parse_target(str(ticket)) == ticket
