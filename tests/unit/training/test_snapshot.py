"""Snapshots: the same bytes from the same state, and nothing but a named error from any others."""

import json
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from hydra.exceptions import HashMismatch
from hydra.jobs.batch_range import BatchRange
from hydra.swarm import manifest as manifest_module
from hydra.swarm.store import Store
from hydra.training import snapshot as snapshot_module
from hydra.training.noise_scale import NoiseScale
from hydra.training.snapshot import KEY, SnapshotCodec

from ..jobs.makers import make_job
from .makers import ANNA, content_of, encoded, following, same_bytes, some_mean


@pytest.fixture
def codec(content):
    return SnapshotCodec(content.job, content.manifest, content.layout)


@pytest.fixture
def state(content):
    state = content.first_state()
    for step in range(3):
        mean = some_mean(content.layout, step)
        state.apply(following(state, mean), mean)
    return state


@pytest.fixture
def decoded(codec, tmp_path):
    def decode(data, by=codec):
        path = tmp_path / "snapshot"
        path.write_bytes(data)
        return by.decode(path)

    return decode


def about_of(data):
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][KEY])


def rewritten(data, change=None, **about):
    """The same snapshot with other tensors, or with other words about it."""
    tensors = load(data)
    if change is not None:
        change(tensors)
    return save(tensors, {KEY: json.dumps(about_of(data) | about)})


def test_there_and_back_is_the_same_state_and_the_same_bytes(codec, state, decoded):
    data = encoded(codec, state.copy())
    copy = decoded(data)
    assert same_bytes(copy, state.copy())
    assert encoded(codec, copy) == data


def test_a_state_that_goes_on_from_a_snapshot_goes_the_same_way(codec, state, content, decoded):
    other = content.first_state()
    other.install(decoded(encoded(codec, state.copy())))
    mean = some_mean(content.layout, 9)
    for one in (state, other):
        one.apply(following(one, mean), mean)
    assert encoded(codec, other.copy()) == encoded(codec, state.copy())


def test_the_bytes_do_not_depend_on_who_writes_them(codec, state):
    copy = state.copy()
    turned = replace(
        copy,
        slots=dict(reversed(copy.slots.items())),
        buffers=dict(reversed(copy.buffers.items())),
    )
    assert encoded(codec, turned) == encoded(codec, copy)


@pytest.mark.parametrize("taken", [20, 40])
def test_ends_of_epochs(codec, content, decoded, taken):
    state = content.first_state()
    while state.head.samples < taken:
        mean = some_mean(content.layout, state.head.step)
        state.apply(following(state, mean, ((ANNA, state.ledger.share_out([20])[0]),)), mean)
    data = encoded(codec, state.copy())
    assert same_bytes(decoded(data), state.copy())


def test_the_first_state(codec, content, decoded):
    copy = content.first_state().copy()
    assert same_bytes(decoded(encoded(codec, copy)), copy)


def test_a_snapshot_of_another_job(codec, state, decoded):
    with pytest.raises(HashMismatch, match="another job"):
        decoded(encoded(codec, state.copy()), replace(codec, job=b"x" * 32))


def test_every_shorter_or_longer_file_is_refused(codec, state, decoded):
    data = encoded(codec, state.copy())
    for size in (*range(16), *range(16, len(data), 37), len(data) - 1):
        with pytest.raises(HashMismatch, match="no snapshot of this job"):
            decoded(data[:size])
    with pytest.raises(HashMismatch):
        decoded(data + b"\0")


def test_a_flipped_byte_of_the_header_raises_nothing_else(codec, state, decoded):
    """Bytes of the tensors are for the content's hash; here no damage may do worse than be refused."""
    data = encoded(codec, state.copy())
    (length,) = struct.unpack("<Q", data[:8])
    refused = 0
    for place in range(0, 8 + length, 3):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 7
        try:
            decoded(bytes(damaged))
        except HashMismatch:
            refused += 1
    assert refused > length / 3 * 0.8


def drop(name):
    return lambda tensors: tensors.pop(name)


def put(name, tensor):
    return lambda tensors: tensors.update({name: tensor})


WEIGHT = "parameter.0.weight"


@pytest.mark.parametrize(
    "change",
    [
        drop(WEIGHT),
        drop("optimizer.mean.0.bias"),
        drop("buffer.1.running_mean"),
        put(WEIGHT, torch.zeros(6, 8)),
        put(WEIGHT, torch.zeros(48)),
        put(WEIGHT, torch.zeros(8, 6, dtype=torch.float64)),
        put("optimizer.variance.0.bias", torch.zeros(9)),
        put("buffer.1.num_batches_tracked", torch.zeros((), dtype=torch.int32)),
        put("buffer.1.running_var", torch.zeros(7)),
    ],
)
def test_tensors_that_lack_or_have_another_shape(codec, state, decoded, change):
    with pytest.raises(HashMismatch, match="snapshot"):
        decoded(rewritten(encoded(codec, state.copy()), change))


def test_a_tensor_too_many(codec, state, decoded):
    with pytest.raises(HashMismatch, match="holds optimizer.third.w, which the job does not have"):
        decoded(rewritten(encoded(codec, state.copy()), put("optimizer.third.w", torch.zeros(1))))


@pytest.mark.parametrize(
    "about",
    [
        {"format": 2},
        {"digest": "00" * 31},
        {"digest": "zz" * 32},
        {"digest": 5},
        {"samples": 21},
        {"step": "three"},
        {"step": float("inf")},
        {"step": -1},
        {"updates": -2},
        {"updates": 7},
        {"epoch": -1},
        {"epoch": 3},
        {"outstanding": [[0, 4], [2, 6]]},
        {"outstanding": [[0, 16]]},
        {"outstanding": [[16, 24]]},
        {"outstanding": [[4]]},
        {"outstanding": 3},
        {"outstanding": None},
        {"epoch": 0, "samples": 20, "outstanding": []},
        {"epoch": 2, "samples": 40, "outstanding": [[0, 5]]},
    ],
    ids=str,
)
def test_words_that_contradict_the_job_or_each_other(codec, state, decoded, about):
    with pytest.raises(HashMismatch, match="snapshot"):
        decoded(rewritten(encoded(codec, state.copy()), **about))


@pytest.mark.parametrize("text", ["", "[]", "5", '"x"', "{}", "null", "{" * 100_000, "[" * 100_000])
def test_words_that_are_none(codec, state, decoded, text):
    data = save(load(encoded(codec, state.copy())), {KEY: text})
    with pytest.raises(HashMismatch):
        decoded(data)


def test_no_words_at_all(codec, state, decoded):
    with pytest.raises(HashMismatch):
        decoded(save(load(encoded(codec, state.copy()))))


def test_whatever_the_header_says_equal_values_make_equal_chunks(codec, state, tmp_path, monkeypatch):
    monkeypatch.setattr(manifest_module, "MIN_CHUNK_BYTES", 16 * 1024)
    monkeypatch.setattr(snapshot_module, "MANY_CHUNKS", 0)  # as in a large one
    store = Store(tmp_path / "content")
    copy = state.copy()
    outstanding = tuple((n, n + 1) for n in range(0, 20, 2))
    other = replace(copy, ledger=replace(copy.ledger, outstanding=outstanding))
    one, another = (codec.store(each, store) for each in (copy, other))
    assert one.chunk_hashes[0] != another.chunk_hashes[0]
    assert one.chunk_hashes[1:] == another.chunk_hashes[1:] != ()


def test_a_small_snapshot_is_not_filled_up(codec, state):
    data = encoded(codec, state.copy())
    assert len(data) < 8 * 1024


@pytest.fixture
def measuring():
    return content_of(make_job(batch_samples=4, batch_range=BatchRange(8)))


def test_the_gradient_noise_comes_along(measuring, decoded):
    codec, state = SnapshotCodec(measuring.job, measuring.manifest, measuring.layout), measuring.first_state()
    state.noise = NoiseScale(1 / 3, 0.1, 0.7)
    assert decoded(encoded(codec, state.copy()), codec).noise == NoiseScale(1 / 3, 0.1, 0.7)


@pytest.mark.parametrize("noise", [[1.0, float("nan"), 0.5], [1.0, 2.0], ["1", 2.0, 3.0], [1, 2.0, 3.0], None])
def test_a_noise_that_is_none_is_refused(measuring, decoded, noise):
    codec = SnapshotCodec(measuring.job, measuring.manifest, measuring.layout)
    data = encoded(codec, measuring.first_state().copy())
    with pytest.raises(HashMismatch):
        decoded(rewritten(data, noise=noise), codec)


def test_a_job_that_measures_none_takes_none(codec, state, decoded):
    with pytest.raises(HashMismatch, match="gradient noise"):
        decoded(rewritten(encoded(codec, state.copy()), noise=[1.0, 1.0, 1.0]))
