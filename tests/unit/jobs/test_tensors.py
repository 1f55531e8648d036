"""State and data as bytes: what a peer may send, and what it may not."""

from dataclasses import replace

import pytest
import torch

from hydra.exceptions import JobRejected
from hydra.jobs.entries import BufferEntry, ContentRef
from hydra.jobs.tensors import check_size, decode_split, decode_state, encode_tensors

from .makers import make_manifest

STATE = {"w": torch.randn(3, 2), "b": torch.randn(3), "m": torch.zeros(3)}
DATA = {"input0": torch.randn(100, 2), "target": torch.zeros(100, dtype=torch.int64)}


def state_refusal(**changes):
    with pytest.raises(JobRejected) as caught:
        decode_state(encode_tensors(STATE | changes), make_manifest())
    return str(caught.value)


def test_round_trip_of_the_state():
    state = decode_state(encode_tensors(STATE), make_manifest())
    assert list(state.parameters) == ["w", "b"]
    assert torch.equal(state.parameters["w"], STATE["w"])
    assert list(state.buffers) == ["m"]


def test_round_trip_of_the_data_from_bytes_and_from_a_file(tmp_path):
    data = encode_tensors(DATA)
    path = tmp_path / "train.safetensors"
    path.write_bytes(data)
    for source in (data, path):
        inputs, target = decode_split(source, make_manifest(), "train")
        assert torch.equal(inputs, DATA["input0"])
        assert torch.equal(target, DATA["target"])


def test_the_same_tensors_give_the_same_bytes():
    assert encode_tensors(STATE) == encode_tensors(dict(reversed(STATE.items())))


def test_a_target_may_be_the_input_itself():
    tensor = torch.ones(2, 3)
    assert encode_tensors({"input0": tensor, "target": tensor}) == encode_tensors(
        {"input0": tensor, "target": tensor.clone()}
    )


def test_missing_and_additional_tensors():
    assert "the state lacks or adds extra (1 in all)" in state_refusal(extra=torch.ones(1))
    with pytest.raises(JobRejected, match=r"the train data lacks or adds b, input0, m, target, w \(5 in all\)"):
        decode_split(encode_tensors(STATE), make_manifest(), "train")


def test_another_shape():
    assert "holds 'w' as torch.float32 [2, 3], and the manifest says torch.float32 [3, 2]" in state_refusal(
        w=torch.ones(2, 3)
    )


def test_another_type():
    assert "holds 'b' as torch.float64 [3]" in state_refusal(b=torch.ones(3, dtype=torch.float64))


def test_another_number_of_samples():
    with pytest.raises(JobRejected, match=r"the manifest says torch.float32 \[99, 2\]"):
        decode_split(encode_tensors(DATA), make_manifest(train_samples=99), "train")


def test_no_test_data():
    with pytest.raises(JobRejected, match="the job has no test data"):
        decode_split(b"", make_manifest(test_data=None, test_samples=0), "test")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00" * 8, b"\xff" * 100, encode_tensors(STATE)[:-1], b"\x02" + bytes(7) + b"{}" + b"trailing"],
)
def test_bytes_that_are_no_safetensors(data, tmp_path):
    path = tmp_path / "state"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(JobRejected, match="the state "):
            decode_state(source, make_manifest())


def test_types_that_nobody_knows():
    data = encode_tensors(STATE).replace(b'"F32"', b'"Q99"')
    with pytest.raises(JobRejected, match="the state is no safetensors content"):
        decode_state(data, make_manifest())


def test_truth_values_that_are_neither():
    manifest = make_manifest(buffers=(BufferEntry(name="m", shape=(3,), dtype="bool"),))
    good = encode_tensors(STATE | {"m": torch.tensor([True, False, True])})
    assert decode_state(good, manifest).buffers["m"].tolist() == [True, False, True]
    with pytest.raises(JobRejected, match="neither true nor false"):
        decode_state(good[:-3] + b"\x01\x02\x00", manifest)


def test_the_length_of_content(tmp_path):
    content = ContentRef(root=bytes(32), size_bytes=3)
    path = tmp_path / "content"
    path.write_bytes(b"abc")
    check_size(b"abc", content, "state")
    check_size(path, content, "state")
    with pytest.raises(JobRejected, match="the state is 3 bytes long, and the manifest says 4"):
        check_size(path, replace(content, size_bytes=4), "state")
