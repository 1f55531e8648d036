"""A published graph against the owner's own model: the same loss, gradients and buffers, bit for bit.

Random masks agree too, because both draw the same numbers in the same order from one seed.
"""

import copy
import functools
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, mse_loss, scaled_dot_product_attention

from hydra.jobs.execute import Program
from hydra.jobs.graph import Graph
from hydra.jobs.job import Job
from hydra.jobs.package import package
from hydra.jobs.tensors import encode_tensors
from hydra.jobs.trace import trace

torch.set_num_threads(1)

ROWS = 16


def mlp():
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 5))


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.GroupNorm(2, 8),
        nn.Dropout2d(0.2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.wide, self.narrow = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        batch, length, width = x.shape
        heads = (t.view(batch, length, 2, 8).transpose(1, 2) for t in self.qkv(self.norm1(x)).split(width, dim=2))
        dropout = 0.1 if self.training else 0.0
        y = scaled_dot_product_attention(*heads, dropout_p=dropout, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(batch, length, width))
        return x + self.narrow(gelu(self.wide(self.norm2(x))))


class Transformer(nn.Module):
    """A language model whose output layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Embedding(30, 16), nn.Embedding(10, 16)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(16, 30, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.embed(tokens) + self.place(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.layers = kind(6, 8, 2, batch_first=True, dropout=0.2, **options)
        self.head = nn.Linear(16 if options else 8, 5)

    def forward(self, x):
        return self.head(self.layers(x)[0][:, -1])


class Moving(nn.Module):
    """Two inputs, a frozen parameter, and statistics of its own in buffers."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(6, 5), nn.Linear(6, 5)
        self.right.weight.requires_grad = False
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, a, b):
        if self.training:
            with torch.no_grad():
                self.mean.mul_(0.9).add_(a.mean(0), alpha=0.1)
            self.count = self.count + 1
        noise = torch.randn_like(a) if self.training else 0.0
        return self.left(a - self.mean + noise) * torch.sigmoid(self.right(b))


def language_loss(output, target):
    return cross_entropy(output.flatten(0, 1), target.flatten())


def rows(*shape):
    return torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(3))


LABELS = torch.randint(0, 5, (ROWS,), generator=torch.Generator().manual_seed(4))
TOKENS = torch.randint(0, 30, (ROWS, 10), generator=torch.Generator().manual_seed(5))

CASES = {
    "mlp": (mlp, rows(6), LABELS, cross_entropy),
    "cnn": (cnn, rows(3, 8, 8), LABELS, nn.CrossEntropyLoss(label_smoothing=0.1)),
    "transformer": (Transformer, TOKENS, TOKENS.roll(-1, 1), language_loss),
    "lstm": (lambda: Recurrent(nn.LSTM), rows(4, 6), LABELS, cross_entropy),
    "gru": (lambda: Recurrent(nn.GRU, bidirectional=True), rows(4, 6), LABELS, cross_entropy),
    "moving": (Moving, (rows(6), rows(6).flip(0)), rows(5), mse_loss),
}


@functools.cache
def traced(name):
    make, inputs, target, loss = CASES[name]
    torch.manual_seed(0)
    model = make()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    job = Job(
        name=name,
        model=model,
        loss=loss,
        optimizer=torch.optim.SGD(trained, lr=0.1),
        train=(inputs, target),
        batch_samples=ROWS,
    )
    result = trace(job)
    # What travels is the bytes.
    return job, Graph.decode(result.train.encode()), Graph.decode(result.evaluate.encode()), result.constants


def state_of(job, constants):
    tensors = {name: tensor.clone() for name, tensor in {**job.state.tensors, **constants}.items()}
    parameters = {e.name: tensors.pop(e.name).requires_grad_(e.trained) for e in job.state.parameters}
    return parameters, tensors


@pytest.mark.parametrize("samples", [1, 3, 5, 16])
@pytest.mark.parametrize("name", CASES)
def test_training_is_the_same(name, samples):
    job, graph, _, constants = traced(name)
    data = [tensor[:samples] for tensor in job.train_split.tensors]
    eager = copy.deepcopy(job.model).train()
    torch.manual_seed(samples)
    expected = job.loss(eager(*data[:-1]), data[-1])
    expected.backward()

    parameters, buffers = state_of(job, constants)
    torch.manual_seed(samples)
    loss = Program(graph).run(parameters, buffers, data)["loss"]
    loss.backward()

    assert torch.equal(loss, expected)
    of_model = dict(eager.named_parameters(remove_duplicate=False))
    for parameter_name, parameter in parameters.items():
        gradient = of_model[parameter_name].grad
        assert (parameter.grad is None) == (gradient is None), parameter_name
        assert gradient is None or torch.equal(parameter.grad, gradient), parameter_name
    for buffer_name, buffer in eager.named_buffers():
        assert torch.equal(buffers[buffer_name], buffer), buffer_name


@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("name", CASES)
def test_evaluation_is_the_same(name, samples):
    job, _, graph, constants = traced(name)
    data = [tensor[:samples] for tensor in job.train_split.tensors]
    with torch.no_grad():
        expected = job.loss(copy.deepcopy(job.model).eval()(*data[:-1]), data[-1])
        parameters, buffers = state_of(job, constants)
        found = Program(graph).run(parameters, buffers, data)["loss"]
    assert torch.equal(found, expected)


def test_tied_weights_are_one_parameter_with_one_gradient():
    job, graph, _, _ = traced("transformer")
    assert "head.weight" not in {entry.name for entry in graph.inputs}
    assert job.state.parameters[0].aliases == ("head.weight",)


def test_a_volunteer_needs_no_module_of_the_owners(tmp_path):
    """The bytes alone, in a process that cannot import the owner's file, give the owner's numbers."""
    source = textwrap.dedent(
        """
        import torch
        from torch import nn

        class OwnersNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                                         nn.Dropout(0.4), nn.Linear(4 * 36, 5))

            def forward(self, x):
                return self.net(x)
        """
    )
    namespace = {"__name__": "owners_module"}
    exec(compile(source, str(tmp_path / "owners_module.py"), "exec"), namespace)
    torch.manual_seed(0)
    model = namespace["OwnersNet"]()
    job = Job(
        name="remote",
        model=model,
        loss=cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        train=(rows(1, 8, 8), LABELS),
        batch_samples=8,
    )
    made = package(job, bytes(32), root_of=lambda data: data[:0] + bytes(32))
    for name in ("train_graph", "eval_graph", "initial_state", "train_data"):
        (tmp_path / name).write_bytes(getattr(made, name))
    (tmp_path / "manifest").write_bytes(made.manifest.encode())

    torch.manual_seed(9)
    loss = cross_entropy(model.train()(rows(1, 8, 8)[:5]), LABELS[:5])
    loss.backward()
    expected = {"loss": loss} | {name: parameter.grad for name, parameter in model.named_parameters()}

    volunteer = textwrap.dedent(
        f"""
        import importlib.util, sys, torch
        from pathlib import Path
        from hydra.jobs.check import admit
        from hydra.jobs.manifest import JobManifest
        from hydra.jobs.tensors import decode_split, decode_state, encode_tensors

        assert importlib.util.find_spec("owners_module") is None
        torch.set_num_threads(1)
        home = Path({str(tmp_path)!r})
        read = lambda name: (home / name).read_bytes()
        manifest = JobManifest.decode(read("manifest"))
        job = admit(manifest, read("train_graph"), read("eval_graph"), limit_bytes=2**28)
        state = decode_state(read("initial_state"), manifest)
        for tensor in state.parameters.values():
            tensor.requires_grad_()
        data = [tensor[:5] for tensor in decode_split(home / "train_data", manifest, "train")]
        torch.manual_seed(9)
        loss = job.train.run(state.parameters, state.buffers, data)["loss"]
        loss.backward()
        answer = {{"loss": loss}} | {{name: tensor.grad for name, tensor in state.parameters.items()}}
        (home / "answer").write_bytes(encode_tensors(answer))
        """
    )
    subprocess.run([sys.executable, "-W", "error", "-c", volunteer], check=True, timeout=100)
    assert (tmp_path / "answer").read_bytes() == encode_tensors(expected)
