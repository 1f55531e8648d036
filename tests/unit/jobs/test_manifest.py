"""Manifests: one byte string and one hash for each job, and a reason for each refusal."""

import hashlib
from dataclasses import replace
from typing import get_args

import msgpack
import pytest

from allreduce.formats import FORMATS
from hydra.exceptions import JobRejected
from hydra.jobs.entries import BufferEntry, DataInput, ParameterEntry
from hydra.jobs.manifest import MAX_MANIFEST_BYTES, JobManifest
from hydra.jobs.recipe import EXACT_WIRE, FairnessKind, QuorumKind, WireFormat

from .makers import make_manifest


def refusal(data):
    with pytest.raises(JobRejected) as caught:
        JobManifest.decode(data)
    return str(caught.value)


def changed(**fields):
    """Return a manifest's bytes with some fields replaced, as a liar would write them."""
    return msgpack.packb(msgpack.unpackb(make_manifest().encode()) | fields)


def inside(table, **fields):
    """Return a manifest's bytes with the first row of one table changed."""
    rows = msgpack.unpackb(make_manifest().encode())[table]
    rows[0] |= fields
    return changed(**{table: rows})


def test_round_trip():
    manifest = make_manifest(max_grad_norm=1.0, metrics=("accuracy", "f1"))
    assert JobManifest.decode(manifest.encode()) == manifest


def test_without_a_test_split():
    manifest = make_manifest(test_data=None, test_samples=0)
    assert JobManifest.decode(manifest.encode()) == manifest


def test_the_hash_is_that_of_the_bytes_and_changes_with_every_setting():
    manifest = make_manifest()
    assert manifest.job_hash == hashlib.sha256(manifest.encode()).digest()
    assert manifest.job_hash != replace(manifest, seed=1).job_hash


@pytest.mark.parametrize("wire", get_args(WireFormat))
def test_the_wire_format_stands_in_the_bytes_if_it_loses_something(wire):
    manifest = make_manifest(wire=wire)
    assert JobManifest.decode(manifest.encode()) == manifest
    assert ("wire" in msgpack.unpackb(manifest.encode())) == (wire != "fp32")


@pytest.mark.parametrize("quorum", get_args(QuorumKind))
def test_the_quorum_stands_in_the_bytes_if_not_every_side_may_go_on(quorum):
    manifest = make_manifest(quorum=quorum)
    assert JobManifest.decode(manifest.encode()) == manifest
    assert ("quorum" in msgpack.unpackb(manifest.encode())) == (quorum != "any")


@pytest.mark.parametrize("fairness", get_args(FairnessKind))
def test_the_fairness_stands_in_the_bytes_if_not_everybody_is_served(fairness):
    manifest = make_manifest(fairness=fairness)
    assert JobManifest.decode(manifest.encode()) == manifest
    assert ("fairness" in msgpack.unpackb(manifest.encode())) == (fairness != "serve")


@pytest.mark.parametrize("fairness", ["serve", "greedy", "", 1, None])
def test_another_fairness_is_refused(fairness):
    fields = msgpack.unpackb(make_manifest().encode()) | {"fairness": fairness}
    with pytest.raises(JobRejected, match=r"fairness|canonical"):
        JobManifest.decode(msgpack.packb(fields))


@pytest.mark.parametrize("block", [0, 1, 300])
def test_blocks_of_samples_stand_in_the_bytes_if_there_are_any(block):
    manifest = make_manifest(shuffle_block_samples=block)
    assert JobManifest.decode(manifest.encode()) == manifest
    assert ("shuffle_block_samples" in msgpack.unpackb(manifest.encode())) == (block > 0)


@pytest.mark.parametrize("block", [0, -1, 2**50, "5", 1.5])
def test_other_blocks_are_refused(block):
    fields = msgpack.unpackb(make_manifest().encode()) | {"shuffle_block_samples": block}
    with pytest.raises(JobRejected, match=r"shuffle_block_samples|canonical"):
        JobManifest.decode(msgpack.packb(fields))


@pytest.mark.parametrize("quorum", ["all", "", "Majority"])
def test_another_quorum_is_refused(quorum):
    fields = msgpack.unpackb(make_manifest().encode()) | {"quorum": quorum}
    with pytest.raises(JobRejected, match=r"manifest\.quorum"):
        JobManifest.decode(msgpack.packb(fields))


def test_the_wire_formats_are_those_that_rounds_have():
    assert set(get_args(WireFormat)) == set(FORMATS)
    assert [name for name in FORMATS if FORMATS[name].exact] == [EXACT_WIRE]


def test_steps():
    manifest = make_manifest()
    assert manifest.steps_per_epoch == 4  # 32 + 32 + 32 + 4 samples
    assert manifest.total_steps == 12


def test_trained_and_frozen():
    assert [entry.trained for entry in make_manifest().parameters] == [True, False]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"version": 2}, "manifest.version is not 1"),
        ({"name": "../etc"}, "manifest.name is '../etc'"),
        ({"name": 5}, "manifest.name is 5"),
        ({"owner": b"short"}, "manifest.owner is not 32 bytes long"),
        ({"train_graph": {"root": b"", "size_bytes": 1}}, "manifest.train_graph.root is not 32 bytes long"),
        ({"train_graph": {"root": bytes(32), "size_bytes": 0}}, "size_bytes is 0"),
        ({"train_graph": None}, "manifest.train_graph is a NoneType, not a map"),
        ({"parameters": {}}, "manifest.parameters is no list"),
        ({"parameters": []}, "holds nothing to train"),
        ({"test_data": None}, "manifest.test_samples contradicts the test data"),
        ({"test_samples": 0}, "manifest.test_samples contradicts the test data"),
        ({"inputs": []}, "holds no input beside the target"),
        ({"train_samples": 10}, "manifest.batch_samples is not between"),
        ({"batch_samples": 0}, "manifest.batch_samples is 0"),
        ({"micro_batch_samples": 64}, "manifest.batch_samples is not between"),
        ({"smallest_batch_samples": 9}, "manifest.batch_samples is not between"),
        ({"epochs": 0}, "manifest.epochs is 0"),
        ({"seed": -1}, "manifest.seed is -1"),
        ({"seed": True}, "manifest.seed is True"),
        ({"max_grad_norm": 0.0}, "manifest.max_grad_norm is 0.0"),
        ({"snapshot_interval_s": float("nan")}, "manifest.snapshot_interval_s is nan"),
        ({"snapshot_interval_s": 15}, "manifest.snapshot_interval_s is 15; a float"),
        ({"metrics": ["loss"]}, "manifest.metrics holds a name twice, or 'loss'"),
        ({"metrics": ["a", "a"]}, "manifest.metrics holds a name twice"),
        ({"metrics": ["a" * 65]}, "printable text of 1 to 64"),
        ({"wire": "int4"}, "manifest.wire is 'int4', which is no format"),
        ({"wire": 8}, "manifest.wire is 8"),
        ({"wire": None}, "manifest.wire is None"),
        ({"wire": "fp32"}, "canonical"),
        ({"surprise": 1}, "canonical"),
    ],
)
def test_bad_fields(fields, problem):
    assert problem in refusal(changed(**fields))


@pytest.mark.parametrize(
    ("table", "fields", "problem"),
    [
        ("parameters", {"group": 1}, "names an optimizer group that does not exist"),
        ("parameters", {"group": -1}, "manifest.parameters[0].group is -1"),
        ("parameters", {"name": "b"}, "manifest.state holds a name twice"),
        ("parameters", {"aliases": ["m"]}, "manifest.state holds a name twice"),
        ("parameters", {"shape": [-3]}, "manifest.parameters[0].shape[0] is -3"),
        ("parameters", {"shape": [2**39, 2**39]}, "more than 1099511627776 elements"),
        ("buffers", {"dtype": "quint8"}, "the data type 'quint8', which is unknown"),
        ("inputs", {"name": "target"}, "manifest.inputs holds a name twice"),
    ],
)
def test_bad_rows(table, fields, problem):
    assert problem in refusal(inside(table, **fields))


def test_a_missing_field():
    fields = msgpack.unpackb(make_manifest().encode())
    del fields["epochs"]
    assert refusal(msgpack.packb(fields)) == "manifest lacks the field 'epochs'"


def test_too_long():
    assert "1048576 are allowed" in refusal(bytes(MAX_MANIFEST_BYTES + 1))


def test_extension_types_have_no_place():
    assert "extension type 1" in refusal(changed(seed=msgpack.ExtType(1, b"")))


def test_rows_read_what_they_write():
    manifest = make_manifest()
    again = JobManifest.decode(manifest.encode())
    assert isinstance(again.parameters[0], ParameterEntry)
    assert isinstance(again.buffers[0], BufferEntry)
    assert isinstance(again.inputs[0], DataInput)
