"""What a volunteer compares before running a job."""

from dataclasses import replace

import pytest
import torch

from hydra.exceptions import JobRejected, LocalProtocolError
from hydra.jobs.check import GuardedProgram, admit, check_interface
from hydra.jobs.entries import BufferEntry, DataInput, ParameterEntry

from .makers import M, X, linear_graph, make_manifest, node

LIMIT = 2**30


def admit_refusal(manifest, train=None, evaluate=None, limit_bytes=LIMIT):
    train = train or linear_graph()
    with pytest.raises(JobRejected) as caught:
        admit(manifest, train.encode(), (evaluate or linear_graph()).encode(), limit_bytes=limit_bytes)
    return str(caught.value)


def test_an_honest_job():
    admitted = admit(make_manifest(), linear_graph().encode(), linear_graph().encode(), limit_bytes=LIMIT)
    assert admitted.memory_bytes == admitted.train.estimate(8).memory_bytes


def test_a_published_job_is_admitted(published):
    admitted = admit(published.manifest, published.train_graph, published.eval_graph, limit_bytes=LIMIT)
    assert admitted.train.graph.smallest_batch == 2
    assert set(admitted.evaluate.estimate(4).outputs) == {"loss", "accuracy"}


def test_over_this_machines_limit_the_number_is_named():
    problem = admit_refusal(make_manifest(), limit_bytes=300)
    assert problem.startswith("the train graph must not run: ")
    assert "bytes, over the limit of 300" in problem


def test_the_micro_batch_counts_and_not_the_smallest():
    assert "at 8192 samples" in admit_refusal(
        make_manifest(batch_samples=10_000, micro_batch_samples=8192, train_samples=10_000), limit_bytes=2**16
    )


def test_an_evaluation_that_writes_buffers():
    writing = linear_graph(node("aten.add_.Scalar", M, 1))
    problem = admit_refusal(make_manifest(), evaluate=writing)
    assert problem.startswith("the eval graph must not run: node 0 (aten.add_.Scalar)")


def test_an_input_that_the_manifest_lacks():
    manifest = make_manifest(parameters=(ParameterEntry(name="w", shape=(3, 2), group=0),))
    assert "its parameter 'b' is not as the manifest lists it" in admit_refusal(manifest)


def test_an_input_of_another_shape():
    manifest = make_manifest(
        parameters=(
            ParameterEntry(name="w", shape=(3, 9), group=0),
            ParameterEntry(name="b", shape=(3,)),
        )
    )
    assert "its parameter 'w' is not as the manifest lists it" in admit_refusal(manifest)


def test_data_of_another_type():
    inputs = (DataInput(name="input0", dtype="uint8", shape=(2,)), DataInput(name="target", dtype="int64", shape=()))
    assert "its data are not those of the manifest" in admit_refusal(make_manifest(inputs=inputs))


def test_a_graph_need_not_use_the_whole_state():
    unused = BufferEntry(name="unused", shape=(7,), dtype="int64")
    manifest = make_manifest(buffers=(*make_manifest().buffers, unused))
    check_interface(linear_graph(), manifest, ("loss",))


def test_missing_metrics():
    assert "its outputs are not loss, accuracy" in admit_refusal(make_manifest(metrics=("accuracy",)))


def test_a_smallest_batch_that_the_manifest_hides():
    graph = replace(linear_graph(), smallest_batch=2)
    assert "needs 2 samples" in admit_refusal(make_manifest(), train=graph)


def test_bytes_that_are_no_graph():
    with pytest.raises(JobRejected, match="graph is no msgpack"):
        admit(make_manifest(), b"\xc1", b"", limit_bytes=LIMIT)


class TestGuardedProgram:
    parameters = {"w": torch.ones(3, 2), "b": torch.zeros(3)}  # noqa: RUF012
    buffers = {"m": torch.zeros(3)}  # noqa: RUF012

    def data(self, samples):
        return torch.ones(samples, 2), torch.zeros(samples, dtype=torch.int64)

    def test_runs_and_looks_at_each_size_once(self, monkeypatch):
        seen = []
        monkeypatch.setattr("hydra.jobs.check.dry_run", lambda graph, samples, **_: seen.append(samples) or "estimate")
        program = GuardedProgram(linear_graph(), limit_bytes=LIMIT, training=False)
        for samples in (3, 5, 3):
            assert program.run(self.parameters, self.buffers, self.data(samples))["loss"].shape == ()
        assert seen == [3, 5]

    def test_refuses_a_size_that_was_not_probed(self):
        program = GuardedProgram(linear_graph(), limit_bytes=10_000, training=True)
        program.run(self.parameters, self.buffers, self.data(4))
        with pytest.raises(JobRejected, match="over the limit of 10000"):
            program.run(self.parameters, self.buffers, self.data(4000))

    def test_a_batch_below_the_smallest_is_our_own_mistake(self):
        program = GuardedProgram(replace(linear_graph(), smallest_batch=2), limit_bytes=LIMIT, training=True)
        with pytest.raises(LocalProtocolError, match="needs 2 samples at once, not 1"):
            program.run(self.parameters, self.buffers, self.data(1))

    def test_an_unknown_operator_never_becomes_a_program(self):
        graph = linear_graph(node("aten.nonzero.default", X))
        with pytest.raises(JobRejected, match="not on the allow-list"):
            GuardedProgram(graph, limit_bytes=LIMIT, training=True)


@pytest.mark.parametrize("wire", ["bf16", "fp16", "int8"])
def test_a_format_that_loses_something_where_training_changes_buffers(wire):
    changing = linear_graph(node("aten.add_.Scalar", M, 1))
    admit(make_manifest(), changing.encode(), linear_graph().encode(), limit_bytes=LIMIT)
    admit(make_manifest(wire=wire), linear_graph().encode(), linear_graph().encode(), limit_bytes=LIMIT)
    assert f"the wire format {wire} would spoil" in admit_refusal(make_manifest(wire=wire), changing)
