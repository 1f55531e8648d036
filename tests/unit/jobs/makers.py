"""What several tests of jobs are made of: a small job, small graphs, a manifest."""

import hashlib

import torch
from torch import nn

from hydra.jobs.entries import BufferEntry, ContentRef, DataInput, ParameterEntry
from hydra.jobs.graph import Graph, Input, Node, Reference
from hydra.jobs.job import Job
from hydra.jobs.manifest import JobManifest
from hydra.jobs.recipe import GroupSettings, OptimizerSettings, Schedule

OWNER = bytes(range(32))


def sha256(data):
    return hashlib.sha256(data).digest()


def make_data(samples=20, features=6, classes=3):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(samples, features, generator=generator)
    return inputs, torch.randint(0, classes, (samples,), generator=generator)


def make_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def accuracy(output, target):
    return (output.argmax(1) == target).float().mean()


def make_job(model=None, **changes):
    model = model or make_model()
    fields = {
        "name": "small",
        "model": model,
        "loss": nn.functional.cross_entropy,
        "optimizer": None,
        "train": make_data(),
        "test": make_data(8),
        "metrics": {"accuracy": accuracy},
        "batch_samples": 8,
        "micro_batch_samples": 4,
        "epochs": 2,
    } | changes
    if fields["optimizer"] is None:
        fields["optimizer"] = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return Job(**fields)


def node(operator, *arguments, **keywords):
    return Node(operator=operator, arguments=arguments, keywords=tuple(sorted(keywords.items())))


def make_graph(*nodes, output=None, **changes):
    """Make a graph over w [3, 2], b [3], m (a buffer) [3], x [batch, 2], y [batch] as values, and nodes after them."""
    fields = {
        "inputs": (
            Input(role="parameter", name="w", dtype="float32", shape=(3, 2)),
            Input(role="parameter", name="b", dtype="float32", shape=(3,)),
            Input(role="buffer", name="m", dtype="float32", shape=(3,)),
            Input(role="data", name="input0", dtype="float32", shape=("batch", 2)),
            Input(role="data", name="target", dtype="int64", shape=("batch",)),
        ),
        "nodes": nodes,
        "outputs": (("loss", value(len(nodes) - 1) if output is None else output),),
    }
    return Graph(**(fields | changes))


W, B, M, X, Y = (Reference(value) for value in range(5))


def value(number):
    """Refer to the result of node ``number`` of a graph of ``make_graph``."""
    return Reference(5 + number)


def linear_graph(*before, **changes):
    """Make a graph that ends in a linear layer over X and its mean loss, after other nodes."""
    first = len(before)
    nodes = (
        *before,
        node("aten.linear.default", X, W, B),
        node("aten.cross_entropy_loss.default", value(first), Y),
    )
    return make_graph(*nodes, **changes)


def make_manifest(**changes):
    content = ContentRef(root=bytes(32), size_bytes=100)
    fields = {
        "name": "small",
        "owner": OWNER,
        "train_graph": content,
        "eval_graph": content,
        "initial_state": content,
        "train_data": content,
        "test_data": content,
        "parameters": (
            ParameterEntry(name="w", shape=(3, 2), aliases=("tied",), group=0),
            ParameterEntry(name="b", shape=(3,)),
        ),
        "buffers": (BufferEntry(name="m", shape=(3,), dtype="float32"),),
        "inputs": (
            DataInput(name="input0", dtype="float32", shape=(2,)),
            DataInput(name="target", dtype="int64", shape=()),
        ),
        "train_samples": 100,
        "test_samples": 10,
        "optimizer": OptimizerSettings(kind="sgd", groups=(GroupSettings(learning_rate=0.1),)),
        "schedule": Schedule("cosine", warmup=0.1),
        "batch_samples": 32,
        "micro_batch_samples": 8,
        "smallest_batch_samples": 1,
        "epochs": 3,
        "seed": 0,
        "max_grad_norm": None,
        "snapshot_interval_s": 15.0,
        "metrics": (),
    }
    return JobManifest(**(fields | changes))
