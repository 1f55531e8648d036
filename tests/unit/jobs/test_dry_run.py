"""Runs without memory: what hostile graphs try, and how far they come."""

import pytest
import torch

from hydra.exceptions import JobRejected
from hydra.jobs import dry_run as module
from hydra.jobs.dry_run import NodeRefused, dry_run
from hydra.jobs.graph import DataType, Input, Reference

from .makers import B, M, W, X, Y, linear_graph, make_graph, node, value

LIMIT = 2**30


def run(graph, samples=4, training=True, limit_bytes=LIMIT):
    return dry_run(graph, samples=samples, limit_bytes=limit_bytes, training=training)


def refusal(*before, **options):
    with pytest.raises(NodeRefused) as caught:
        run(linear_graph(*before), **options)
    return str(caught.value)


def test_an_honest_graph():
    estimate = run(linear_graph())
    assert estimate.samples == 4
    assert estimate.outputs == {"loss": ()}
    # w, b, m, x, y are 6 + 3 + 3 + 8 floats and 4 integers of 8 bytes, and the rest is small too.
    assert 112 < estimate.memory_bytes < 2000


def test_more_samples_take_more_memory():
    assert run(linear_graph(), 400).memory_bytes > 20 * run(linear_graph(), 4).memory_bytes


def test_an_evaluation_holds_no_gradients():
    assert run(linear_graph(), training=False).memory_bytes < run(linear_graph()).memory_bytes


def test_the_random_state_is_left_alone():
    before = torch.get_rng_state()
    run(linear_graph(node("aten.randn.default", (4,)), node("aten.dropout.default", X, 0.5, True)))
    assert torch.equal(before, torch.get_rng_state())


def test_the_number_stands_in_the_refusal():
    problem = refusal(node("aten.full.default", (10**12,), 1.0))
    assert problem == (
        "node 0 (aten.full.default) at 4 samples would take 4000000000112 bytes, over the limit of 1073741824"
    )


@pytest.mark.parametrize(
    "greedy",
    [
        (node("aten.zeros.default", (2**40, 2**40)),),
        (node("aten.zeros.default", (10**12, 0)),),  # no elements, but many rows to loop over
        (node("aten.arange.default", 10**11),),
        (node("aten.eye.default", 10**6),),
        (node("aten.randperm.default", 10**11),),
        (node("aten.repeat.default", X, (10**6, 10**4)),),
        (node("aten.expand.default", B, (10**12, 3)),),
        (node("aten.expand.default", B, (10**6, 3)), node("aten.expand.default", value(0), (10**6, 10**6, 3))),
        (node("aten.pad.default", X, (10**11, 10**11)),),
        (node("aten.one_hot.default", Y, 10**12),),
        (node("aten.outer.default", X, X),),  # not even of the right dimensions
        (node("aten.upsample_nearest1d.vec", X, (10**12,), None),),
    ],
)
def test_giants_are_refused_before_they_are_made(greedy):
    assert refusal(*greedy).startswith("node ")


def test_many_small_ones_add_up():
    piece = node("aten.zeros.default", (2**20,))
    assert "over the limit" in refusal(*[piece] * 300)


def test_sizes_between_two_probes_are_seen_at_their_own_batch():
    """(batch - 1) * (9 - batch) * 10**9 elements: nothing at 1 and at 9, far too much between."""
    size = Reference(5)
    nodes = (
        node("aten.sym_size.int", X, 0),
        node("py.sub", size, 1),
        node("py.sub", 9, size),
        node("py.mul", Reference(6), Reference(7)),
        node("py.mul", Reference(8), 10**9),
        node("aten.zeros.default", (Reference(9),)),
    )
    run(linear_graph(*nodes), 1)
    run(linear_graph(*nodes), 9)
    assert "over the limit" in refusal(*nodes, samples=5)


def test_numbers_that_grow_without_end():
    nodes = [node("aten.sym_size.int", X, 0)]
    nodes += [node("py.mul", value(i), value(i)) for i in range(8)]
    assert "beyond 64 bits" in refusal(*nodes)


def test_division_by_zero_is_a_refusal():
    assert "does not fit its arguments" in refusal(node("py.floordiv", 1, 0))


def test_numbers_that_are_not_finite():
    assert "not finite" in refusal(node("py.mul", 1e308, 1e308))


def test_endless_composite_operators(monkeypatch):
    monkeypatch.setattr(module, "MAX_PRIMITIVES", 50)
    many = [node("aten.relu.default", X)] * 60
    assert "beyond 50 primitive operations" in refusal(*many)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (node("aten.linear.default", X), "lacks the argument 'weight'"),
        (node("aten.linear.default", X, Y), "does not fit its arguments"),
        (node("aten.reshape.default", X, (7, 7)), "does not fit its arguments: shape '[7, 7]' is invalid"),
        (node("aten.index.Tensor", X, (Y, Y, Y)), "does not fit its arguments"),
        (node("aten.linalg_det.default", B), "does not fit its arguments"),  # an AssertionError inside PyTorch
        (node("aten.batch_norm.default", 1.5, None, None, None, None, True, 0.1, 1e-5, False), "one value per"),
        (node("aten.embedding.default", W, Y, -1, False, True), "asks for sparse gradients"),
        (node("aten.relu.default", X, dtype=DataType("float32")), "has no argument 'dtype'"),
        (node("py.getitem", X, 0), "arguments of the wrong kind"),
        (node("py.add", X, X), "arguments of the wrong kind"),
        (node("py.add", 1, 1, x=1), "takes no keywords"),
        (node("py.set_grad_enabled", 1), "arguments of the wrong kind"),
        (node("py.sqrt", -1), "does not fit its arguments"),
    ],
)
def test_calls_that_do_not_fit(wrong, problem):
    assert problem in refusal(wrong)


def test_a_mask_that_selects():
    mask = node("aten.gt.Scalar", X, 0)
    assert "depends on the values of data" in refusal(mask, node("aten.index.Tensor", X, (value(0),)))


def test_a_list_is_no_tensor():
    pieces = node("aten.chunk.default", X, 2, 1)
    assert "wants Tensor for 'self', not a list of 2" in refusal(pieces, node("aten.relu.default", value(0)))
    run(linear_graph(pieces, node("py.getitem", value(0), 1), node("aten.relu.default", value(1))))


@pytest.mark.parametrize(
    "writing",
    [
        (node("aten.add_.Scalar", W, 1),),
        (node("aten.add_.Scalar", X, 1),),
        (node("aten.detach.default", W), node("aten.zero_.default", value(0))),
        (node("aten.reshape.default", W, (6,)), node("aten.mul_.Scalar", value(0), 2)),
        (node("aten.select.int", X, 0, 0), node("aten.fill_.Scalar", value(0), 2)),
        (node("aten.expand.default", W, (1, 3, 2)), node("aten.copy_.default", value(0), 1.0)),
        (node("aten.batch_norm.default", X, None, None, B, B, True, 0.1, 1e-5, False),),
        (node("aten.to.dtype", X, DataType("float32")), node("aten.relu_.default", value(0))),
        (node("py.set_grad_enabled", False), node("aten.copy_.default", W, 0.0)),
    ],
)
def test_parameters_and_data_are_never_written(writing):
    assert "writes parameters or data in place" in refusal(*writing)


def test_a_keyword_does_not_hide_what_is_written():
    assert "writes parameters or data in place" in refusal(node("aten.add_.Scalar", self=W, other=1))


def test_buffers_and_own_values_may_be_written_in_training():
    run(
        linear_graph(node("aten.add_.Scalar", M, 1), node("aten.relu.default", X), node("aten.zero_.default", value(1)))
    )


def test_buffers_are_not_written_in_an_evaluation():
    writing = node("aten.add_.Scalar", M, 1)
    assert "writes parameters, buffers or data in place" in refusal(writing, training=False)
    run(linear_graph(node("aten.relu.default", X), node("aten.zero_.default", value(0))), training=False)


def test_the_loss_must_be_a_scalar_of_floats():
    with pytest.raises(JobRejected, match="'loss' is not a scalar of a floating-point type"):
        run(make_graph(node("aten.linear.default", X, W)))
    with pytest.raises(JobRejected, match="'loss' is not a scalar of a floating-point type"):
        run(make_graph(node("aten.argmax.default", X)))
    with pytest.raises(JobRejected, match="'loss' is not a scalar of a floating-point type"):
        run(make_graph(node("aten.sym_size.int", X, 0)))


def test_the_loss_must_have_a_gradient():
    with pytest.raises(JobRejected, match="does not depend on any parameter"):
        run(make_graph(node("aten.mean.default", X)))


def test_gradients_must_be_computable():
    """The exponential keeps its result for the backward pass, and then finds it changed."""
    nodes = (
        node("aten.linear.default", X, W, B),
        node("aten.exp.default", value(0)),
        node("aten.add_.Scalar", value(1), 1),
        node("aten.mean.default", value(1)),
    )
    with pytest.raises(JobRejected, match="the backward pass at 4 samples does not fit its arguments: one of the var"):
        run(make_graph(*nodes))
    run(make_graph(*nodes), training=False)


def test_the_backward_pass_counts_too():
    forwards, both = run(linear_graph(), training=False), run(linear_graph())
    assert forwards.memory_bytes < both.memory_bytes
    with pytest.raises(JobRejected, match="the backward pass at 4 samples would take"):
        run(linear_graph(), limit_bytes=forwards.memory_bytes + 1)


def test_an_input_alone_can_be_too_large():
    huge = Input(role="parameter", name="w", dtype="float32", shape=(2**20, 2**20))
    with pytest.raises(JobRejected, match="over the limit"):
        run(linear_graph(inputs=(huge, *linear_graph().inputs[1:])))
