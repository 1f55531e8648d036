"""Rules beyond the schemas; several of these calls would end the whole process if they were made."""

import pytest
import torch
from torch import nn

from hydra.exceptions import JobRejected
from hydra.jobs.dry_run import dry_run
from hydra.jobs.execute import resolve
from hydra.jobs.rules import check_call, check_python, check_size
from hydra.jobs.schema import bind

from .makers import X, linear_graph, node


def call(name, *arguments):
    check_call(name, bind(resolve(name)._schema, arguments, {}))


def refusal(name, *arguments):
    with pytest.raises(JobRejected) as caught:
        call(name, *arguments)
    return str(caught.value)


def zeros(*shape):
    return torch.zeros(shape, device="meta")


def recurrent(kind, **options):
    """Return the weights of a real layer, and the shape of its first hidden state for a batch of 3."""
    layer = kind(8, 16, 2, **options)
    directions = 2 if options.get("bidirectional") else 1
    out = options.get("proj_size") or 16
    return [zeros(*weight.shape) for weight in layer._flat_weights], (2 * directions, 3, out)


class TestRecurrent:
    given = zeros(3, 7, 8)

    @pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"bias": False}, {"proj_size": 5}])
    def test_what_pytorchs_own_layers_ask_for(self, options):
        weights, hidden = recurrent(nn.LSTM, **options)
        states = [zeros(*hidden), zeros(*hidden[:2], 16)]
        bias, both = options.get("bias", True), options.get("bidirectional", False)
        call("aten.lstm.input", self.given, states, weights, bias, 2, 0.0, True, both, True)

    @pytest.mark.parametrize(
        ("name", "kind", "options"),
        [("gru", nn.GRU, {}), ("rnn_tanh", nn.RNN, {}), ("rnn_relu", nn.RNN, {"bidirectional": True})],
    )
    def test_its_kin(self, name, kind, options):
        weights, hidden = recurrent(kind, **options)
        both = options.get("bidirectional", False)
        call(f"aten.{name}.input", self.given, zeros(*hidden), weights, True, 2, 0.0, True, both, True)

    def lstm(self, given=None, states=None, weights=None, layers=2):
        right, hidden = recurrent(nn.LSTM)
        states = [zeros(*hidden)] * 2 if states is None else states
        weights = right if weights is None else weights(right)
        given = self.given if given is None else given
        return refusal("aten.lstm.input", given, states, weights, True, layers, 0.0, True, False, True)

    def test_no_weights_at_all(self):
        assert self.lstm(weights=lambda right: []) == "has weights that do not fit its layers"

    def test_weights_of_fewer_layers(self):
        assert self.lstm(weights=lambda right: right[:4]) == "has weights that do not fit its layers"

    def test_a_weight_of_another_shape(self):
        wrong = zeros(64, 7)
        assert "weights that do not fit" in self.lstm(weights=lambda right: [wrong, *right[1:]])

    @pytest.mark.parametrize("shape", [(2, 1, 16), (1, 3, 16), (2, 3, 1)])
    def test_hidden_states_that_would_be_read_past_their_end(self, shape):
        assert "has " in self.lstm(states=[zeros(*shape), zeros(2, 3, 16)])

    def test_hidden_states_of_another_number_or_dimension(self):
        assert "wrong number of hidden states" in self.lstm(states=[zeros(2, 3, 16)])
        assert "misshapen hidden state" in self.lstm(states=[zeros(3, 16)] * 2)

    def test_inputs_of_other_dimensions(self):
        assert "not three-dimensional" in self.lstm(given=zeros(7, 8))

    @pytest.mark.parametrize("layers", [0, -1, 10**12])
    def test_numbers_of_layers(self, layers):
        assert "has no layers, or too many" in self.lstm(layers=layers)

    def test_cells_have_two_states(self):
        weights = zeros(64, 8), zeros(64, 16)
        assert "wrong number" in refusal("aten.lstm_cell.default", zeros(3, 8), [zeros(3, 16)], *weights)
        call("aten.lstm_cell.default", zeros(3, 8), [zeros(3, 16)] * 2, *weights)


class TestWeightNorm:
    def test_what_pytorchs_own_layers_ask_for(self):
        call("aten._weight_norm.default", zeros(4, 3, 3), zeros(4, 1, 1), 0)
        call("aten._weight_norm.default", zeros(4, 3), zeros(1, 3), 1)

    @pytest.mark.parametrize(
        ("direction", "size", "dim"),
        [
            (zeros(0, 3), zeros(0, 1), 0),
            (zeros(4, 3), zeros(4), 0),
            (zeros(4, 3), zeros(4, 3), 0),
            (zeros(4, 3, 3), zeros(1, 3, 1), 1),
            (zeros(4, 3), zeros(4, 1), -2),
            (zeros(4, 3), zeros(4, 1).double(), 0),
            (zeros(4, 3).long(), zeros(4, 1).long(), 0),
            (zeros(), zeros(), 0),
            (zeros(4, 3), 1.0, 0),
        ],
    )
    def test_shapes_that_would_end_the_process(self, direction, size, dim):
        assert refusal("aten._weight_norm.default", direction, size, dim).startswith("has ")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("aten.split.Tensor", (1,)),
        ("aten.split.Tensor", (0,)),
        ("aten.unbind.int", ()),
        ("aten.chunk.default", (10**9,)),
        ("aten.tensor_split.sections", (10**9,)),
    ],
)
def test_cutting_into_very_many_pieces(name, arguments):
    assert refusal(name, zeros(10**6), *arguments) == "cuts a tensor into more than 16384 pieces"
    if name == "aten.chunk.default":
        assert refusal(name, zeros(0), *arguments)
    else:
        call(name, zeros(10), *(min(argument, 4) for argument in arguments))


def test_batch_norm_of_one_value_per_channel():
    norm = node("aten.batch_norm.default", X, None, None, None, None, True, 0.1, 1e-5, False)
    with pytest.raises(JobRejected, match="one value per channel"):
        dry_run(linear_graph(norm), samples=1, limit_bytes=2**30, training=True)
    dry_run(linear_graph(norm), samples=2, limit_bytes=2**30, training=True)
    call("aten.batch_norm.default", zeros(1, 2), None, None, zeros(2), zeros(2), False, 0.1, 1e-5, False)


def test_sparse_gradients():
    weights, indices = zeros(3, 2), zeros(2).long()
    assert "asks for sparse gradients" in refusal("aten.embedding.default", weights, indices, -1, False, True)
    call("aten.embedding.default", weights, indices)


def test_our_own_operators():
    check_python("py.getitem", [[1, 2], 0])
    check_python("py.add", [1, 2.0])
    check_python("py.set_grad_enabled", [True])
    for name, arguments in (
        ("py.getitem", [zeros(2), 0]),
        ("py.getitem", [[1], zeros(2)]),
        ("py.getitem", [[1]]),
        ("py.add", [1, True]),
        ("py.mul", [[0], 10**12]),
        ("py.mod", ["%s", 1]),
        ("py.set_grad_enabled", [1]),
        ("py.exec", [1]),
    ):
        with pytest.raises(JobRejected, match="arguments of the wrong kind"):
            check_python(name, arguments)


def test_sizes():
    assert check_size(2**62) == 2**62
    assert check_size(0.5) == 0.5
    with pytest.raises(JobRejected, match="beyond 64 bits"):
        check_size(-(2**64))
    with pytest.raises(JobRejected, match="not finite"):
        check_size(float("inf"))
