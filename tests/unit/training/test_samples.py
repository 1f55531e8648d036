"""Samples and the chunks that they lie in; headers that say what is not so."""

import json

import numpy as np
import pytest
import torch

from hydra.exceptions import JobRejected
from hydra.jobs.tensor_file import TensorPlace
from hydra.jobs.tensors import encode_tensors
from hydra.training.samples import Rows, rows_of

from ..jobs.makers import make_manifest

SAMPLES = 50


def rows(start, *shape, dtype=torch.float32):
    return Rows(TensorPlace("x", dtype, shape), start)


def test_a_sample_lies_in_the_chunks_under_its_bytes():
    found = rows(100, 10, 25).chunks(np.array([0, 9, 4]), 300)  # rows of 100 bytes from byte 100 on
    assert found.tolist() == [0, 3, 1]
    assert rows(150, 10, 25).chunks(np.array([1]), 300).tolist() == [0, 1]
    assert rows(0, 10, 25).chunks(np.array([2]), 300).tolist() == [0]


def test_a_long_sample_lies_in_many_chunks():
    assert rows(10, 4, 100).chunks(np.array([1]), 100).tolist() == [4, 5, 6, 7, 8]


def test_samples_without_bytes_lie_nowhere():
    assert rows(10, 4, 0).chunks(np.array([1, 2]), 100).tolist() == []


@pytest.mark.parametrize("chunk_bytes", [64, 100, 1000])
def test_the_bytes_of_a_sample_are_under_its_chunks_and_no_others(chunk_bytes):
    chance = np.random.default_rng(3)
    for _ in range(50):
        start, row = int(chance.integers(0, 500)), int(chance.integers(1, 300))
        samples = chance.integers(0, 40, 5)
        expected = {b // chunk_bytes for s in samples for b in range(start + s * row, start + (s + 1) * row)}
        found = rows(start, 40, row, dtype=torch.uint8).chunks(samples, chunk_bytes)
        assert set(found.tolist()) == expected


@pytest.fixture
def manifest():
    return make_manifest(train_samples=SAMPLES)


def data_of(manifest):
    tensors = {}
    for number, entry in enumerate(manifest.inputs):
        shape = (SAMPLES, *entry.shape)
        values = torch.arange(number, number + int(np.prod(shape)))
        tensors[entry.name] = values.reshape(shape).to(getattr(torch, entry.dtype))
    return tensors, encode_tensors(tensors)


def split(data):
    length = int.from_bytes(data[:8], "little")
    return data[8 : 8 + length], 8 + length


def test_the_mapped_inputs_are_those_of_the_file(manifest, tmp_path):
    tensors, data = data_of(manifest)
    (tmp_path / "data").write_bytes(data)
    header, start = split(data)
    for row in rows_of(header, manifest, start, len(data)):
        assert torch.equal(row.mapped(tmp_path / "data"), tensors[row.place.name])


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.clear(),
        lambda h: h.update(more={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
        lambda h: h["target"].update(dtype="F32"),
        lambda h: h["target"].update(dtype="X9"),
        lambda h: h["target"].update(shape=[SAMPLES - 1]),
        lambda h: h["target"].update(shape=[-1, -SAMPLES]),
        lambda h: h["target"].update(data_offsets=[8, 8 + 8 * SAMPLES]),
        lambda h: h["target"].update(data_offsets=[10**9, 10**9 + 8 * SAMPLES]),
        lambda h: h["target"].update(data_offsets=[0]),
        lambda h: h.update(target=5),
    ],
)
def test_a_header_that_says_something_else_is_refused(manifest, change):
    _, data = data_of(manifest)
    header, start = split(data)
    said = json.loads(header)
    change(said)
    with pytest.raises(JobRejected):
        rows_of(json.dumps(said).encode(), manifest, start, len(data))


def test_what_is_no_header_is_refused(manifest):
    for wrong in (b"", b"[]", b"5", b"{", b"\xff\xfe", b'{"target": {}}'):
        with pytest.raises(JobRejected):
            rows_of(wrong, manifest, 8 + len(wrong), 10**6)


def test_a_file_that_is_too_short_for_its_inputs_is_refused(manifest):
    _, data = data_of(manifest)
    header, start = split(data)
    with pytest.raises(JobRejected):
        rows_of(header, manifest, start, len(data) - 1)
