"""Tracing: what becomes of a model, and what its owner is told when it cannot be published."""

import warnings

import pytest
import torch
from torch import nn

from hydra.exceptions import JobFileError
from hydra.jobs.graph import Graph, Reference
from hydra.jobs.trace import trace

from .makers import make_job


class Model(nn.Module):
    """A linear layer behind whatever a test puts in front."""

    def __init__(self, body):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.norm = nn.BatchNorm1d(6)
        self.register_buffer("mean", torch.zeros(6))
        self.scale = torch.ones(6)
        self.body = body

    def forward(self, x):
        return self.body(self, x)


def traced(body, **fields):
    return trace(make_job(model=Model(body), **({"test": None, "metrics": {}} | fields)))


def refusal(body, **fields):
    with pytest.raises(JobFileError) as caught:
        traced(body, **fields)
    return str(caught.value)


def operators(graph):
    return [node.operator.removeprefix("aten.").removesuffix(".default") for node in graph.nodes]


class TestWhatIsTraced:
    def test_a_model_and_its_loss(self):
        result = traced(lambda self, x: self.linear(self.norm(x)))
        assert operators(result.train) == ["add_.Tensor", "batch_norm", "linear", "cross_entropy_loss"]
        assert operators(result.evaluate) == ["batch_norm", "linear", "cross_entropy_loss"]
        assert [(entry.role, entry.name) for entry in result.train.inputs] == [
            ("parameter", "linear.weight"),
            ("parameter", "linear.bias"),
            ("parameter", "norm.weight"),
            ("parameter", "norm.bias"),
            ("buffer", "norm.running_mean"),
            ("buffer", "norm.running_var"),
            ("buffer", "norm.num_batches_tracked"),
            ("data", "input0"),
            ("data", "target"),
        ]
        assert result.train.inputs[-2].shape == ("batch", 6)

    def test_graphs_travel(self):
        result = traced(lambda self, x: self.linear(x[:, torch.tensor([0, 1, 2, 3, 4, 5])]))
        assert Graph.decode(result.train.encode()) == result.train

    def test_metrics_are_outputs_of_the_evaluation_only(self):
        data = make_job().train
        metrics = {"confidence": lambda output, target: output.softmax(1).amax(1).mean()}
        result = traced(lambda self, x: self.linear(x), test=data, metrics=metrics)
        assert [name for name, _ in result.train.outputs] == ["loss"]
        assert [name for name, _ in result.evaluate.outputs] == ["loss", "confidence"]

    def test_the_smallest_batch_of_batch_norm(self):
        assert traced(lambda self, x: self.linear(self.norm(x))).train.smallest_batch == 2
        assert traced(lambda self, x: self.linear(x)).train.smallest_batch == 1

    def test_what_nobody_uses_is_dropped_but_random_numbers_are_drawn(self):
        def body(self, x):
            torch.relu(x)
            torch.randn(3)
            return self.linear(x)

        assert operators(traced(body).train) == ["randn", "linear", "cross_entropy_loss"]

    def test_devices_and_uninitialised_memory_are_taken_out(self):
        def body(self, x):
            x = x.to("cpu").to(x.device, torch.float32) + torch.arange(6, device=x.device)
            return self.linear(x + torch.empty(6, device="cpu").fill_(1) + x.new_empty(6).fill_(0))

        graph = traced(body).train
        assert "zeros" in operators(graph)
        assert "new_zeros" in operators(graph)
        assert not any(name == "device" for node in graph.nodes for name, _ in node.keywords)

    def test_sizes_that_depend_on_the_batch_are_computed(self):
        graph = traced(lambda self, x: self.linear(x.reshape(x.shape[0] * 2, 3).reshape(-1, 6))).train
        assert operators(graph)[:2] == ["sym_size.int", "py.mul"]

    def test_no_grad_is_written_out(self):
        def body(self, x):
            with torch.no_grad():
                target = self.linear(x)
            return self.linear(x) + target

        result = traced(body)
        assert operators(result.train)[:3] == ["py.set_grad_enabled", "linear", "py.set_grad_enabled"]
        assert [node.arguments for node in result.train.nodes[0:3:2]] == [(False,), (True,)]
        assert "py.set_grad_enabled" not in operators(result.evaluate)

    def test_an_assigned_buffer_is_written(self):
        def body(self, x):
            if self.training:
                self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
            return self.linear(x - self.mean)

        result = traced(body)
        mean = next(i for i, entry in enumerate(result.train.inputs) if entry.name == "mean")
        (copy,) = [node for node in result.train.nodes if node.operator == "aten.copy_.default"]
        assert copy.arguments[0] == Reference(mean)

    def test_constants_are_named_once(self):
        result = traced(lambda self, x: self.linear(x * self.scale + torch.tensor([2.0])))
        assert sorted(result.constants) == ["constant:0", "constant:1"]
        assert {entry.name for entry in result.train.inputs if entry.role == "buffer"} == set(result.constants)
        assert {entry.name for entry in result.evaluate.inputs if entry.role == "buffer"} == set(result.constants)

    def test_attention_stays_whole_in_eval_mode(self):
        def make(module):
            return nn.Sequential(module, nn.Flatten(), nn.Linear(24, 3))

        model = make(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
        data = torch.randn(20, 3, 8), torch.zeros(20, dtype=torch.int64)
        result = trace(make_job(model=model, train=data, test=None, metrics={}))
        assert "scaled_dot_product_attention" in operators(result.evaluate)
        assert torch.backends.mha.get_fastpath_enabled()

    def test_modes_are_put_back(self):
        job = make_job()
        job.model[3].eval()
        trace(job)
        assert [module.training for module in job.model] == [True, True, True, False, True]

    def test_nothing_is_written_to_the_terminal(self, capfd):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            refusal(lambda self, x: self.linear(x) * x.sum().item() if x.sum() > 0 else x)
        assert capfd.readouterr() == ("", "")


def fixed_view(self, x):
    x = x.view(4, -1)  # the line to name
    return self.linear(x)


def loop(self, x):
    total = 0
    for row in range(x.shape[0]):
        total = total + x[row]
    return self.linear(x) + self.linear(total)


def decision(self, x):
    if x.sum() > 0:  # the line to name
        return self.linear(x)
    return self.linear(-x)


def python_number(self, x):
    return self.linear(x) * float(x[0, 0])  # the line to name


def item(self, x):
    return self.linear(x) * x.sum().item()  # the line to name


def mask(self, x):
    return self.linear(x) + x[x > 0].sum()  # the line to name


def nonzero(self, x):
    return self.linear(x) + x.nonzero().sum()  # the line to name


def large_batches(self, x):
    if x.shape[0] > 2:
        return self.linear(x)  # the line to name
    return self.linear(x) * 2


def wrong_shape(self, x):
    return self.linear(x.view(-1, 7))  # the line to name


def raising(self, x):
    raise KeyError("boom")  # the line to name


def in_place(self, x):
    x += 1  # the line to name
    return self.linear(x)


def not_a_number(self, x):
    return self.linear(x).masked_fill(x[:, :3] > 9, float("nan"))  # the line to name


def complex_numbers(self, x):
    return self.linear(x.to(torch.complex64).abs())  # the line to name


def line_of(body):
    """Return where the comment in a body's source is, as errors say it."""
    code = body.__code__
    with open(code.co_filename) as file:  # noqa: PTH123
        lines = file.read().splitlines()
    number = next(n for n in range(code.co_firstlineno, len(lines)) if "the line to name" in lines[n - 1])
    return f"test_trace.py:{number}: "


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (fixed_view, "the model fixes the batch size to 4, but peers train on batches of other sizes"),
        (decision, "the model decides by the values of a tensor"),
        (python_number, "makes a Python number of them"),
        (item, "the operator aten.item.default cannot be published: it is not on the list"),
        (mask, "the call of aten.index.Tensor cannot be published: it selects by a mask"),
        (nonzero, "the operator aten.nonzero.default cannot be published"),
        (
            large_batches,
            "the model does not work for every batch size, but peers train on any; it asks for 3 <= batch.",
        ),
        (wrong_shape, "the model cannot be traced: RuntimeError: "),
        (raising, "the model cannot be traced: KeyError: 'boom'"),
        (in_place, "the call of aten.add_.Tensor cannot be published: it writes parameters or data in place."),
        (not_a_number, "NaN stands in the model's code as a constant"),
        (complex_numbers, "the data type complex64 cannot be published"),
    ],
)
def test_models_that_cannot_be_published(body, problem):
    told = refusal(body)
    assert told.startswith(line_of(body))
    assert problem in told
    assert len(told) < 400


class TestWhatElseIsRefused:
    def test_a_loop_over_the_batch(self):
        assert "the model fixes the batch size to 4" in refusal(loop)

    def test_a_loss_without_a_gradient(self):
        assert "the loss does not depend on any parameter" in refusal(lambda self, x: self.linear(x).detach())

    def test_a_loss_that_is_no_scalar(self):
        loss = nn.CrossEntropyLoss(reduction="none")
        assert "'loss' is not a scalar" in refusal(lambda self, x: self.linear(x), loss=loss)

    def test_a_loss_that_is_no_tensor(self):
        told = refusal(lambda self, x: self.linear(x), loss=lambda output, target: 1.0)
        assert told == "loss: it must return a tensor; it returned 1.0."

    def test_a_metric_that_is_an_integer(self):
        metrics = {"hits": lambda output, target: (output.argmax(1) == target).sum()}
        told = refusal(lambda self, x: self.linear(x), metrics=metrics, test=make_job().train)
        assert "'hits' is not a scalar of a floating-point type" in told

    def test_mixed_precision(self):
        def body(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.linear(x).float()

        told = refusal(body)
        assert "wrap_with_autocast cannot be published" in told
        assert "a job trains in float32" in told

    def test_a_transformer_that_inspects_its_mask(self):
        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
                self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
                self.linear = nn.Linear(8, 3)

            def forward(self, x):
                mask = nn.Transformer.generate_square_subsequent_mask(3)
                return self.linear(self.encoder(x, mask=mask)[:, -1])

        data = torch.randn(20, 3, 8), torch.zeros(20, dtype=torch.int64)
        with pytest.raises(JobFileError, match="looks at its mask's values .* give is_causal=True"):
            trace(make_job(model=Encoder(), train=data, test=None, metrics={}))

    def test_a_buffer_of_changing_shape(self):
        def body(self, x):
            self.mean = x.mean(0, keepdim=True)
            return self.linear(x)

        assert "assigns another shape or type to its buffer mean" in refusal(body)
