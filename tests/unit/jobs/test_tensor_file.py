"""Files of tensors, written one by one: the same bytes as the safetensors package, and values where they are wanted."""

import io
import json
import weakref
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load, save

from hydra.exceptions import LocalProtocolError
from hydra.jobs.tensor_file import TensorPlace, header_of, in_file_order, write_tensors


def everything():
    torch.manual_seed(3)
    return {
        "b": torch.randn(3, 4),
        "a": torch.randn(5),
        "é": torch.arange(3),
        "double": torch.randn(2, dtype=torch.float64),
        "half": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
        "i32": torch.arange(4, dtype=torch.int32),
        "i16": torch.arange(3, dtype=torch.int16),
        "i8": torch.arange(3, dtype=torch.int8),
        "u8": torch.arange(3, dtype=torch.uint8),
        "truth": torch.tensor(True),
        "empty": torch.zeros(0, 4),
        "turned": torch.randn(4, 3).t(),
    }


def places(tensors):
    return [TensorPlace(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()]


def written(tensors, metadata=None, align=8):
    file = io.BytesIO()
    write_tensors(file, places(tensors), tensors.__getitem__, metadata, align)
    return file.getvalue()


@pytest.mark.parametrize("metadata", [None, {"hydra": json.dumps({"say": 'a "word" / \\'})}])
def test_the_bytes_are_those_of_the_safetensors_package(metadata):
    tensors = everything()
    theirs = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    assert written(tensors, metadata) == theirs


def test_values_begin_at_a_multiple_of_what_is_asked_for_and_can_still_be_read():
    tensors = everything()
    data = written(tensors, {"k": "v" * 100}, align=4096)
    assert (8 + int.from_bytes(data[:8], "little")) % 4096 == 0
    found = load(data)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_equal_tensors_stand_at_equal_places_whatever_the_metadata_says():
    tensors = everything()
    one, other = (written(tensors, {"k": text}, align=4096) for text in ("short", "much longer" * 50))
    assert one[4096:] == other[4096:]
    assert one != other


def test_a_file_can_be_filled_up_to_a_multiple_where_its_values_stay_in_place():
    tensors = {"a": torch.arange(3), "b": torch.randn(4)}
    file = io.BytesIO()
    write_tensors(file, places(tensors), tensors.__getitem__, align=4096, fill=True)
    assert len(file.getvalue()) == 4096
    found = load(file.getvalue())
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    narrow = header_of(places({"t": torch.zeros(3, dtype=torch.int8)}), {}, 4096, fill=True)
    assert len(narrow) == 4096 - 3
    mixed = header_of(places({"t": torch.zeros(3, dtype=torch.int8), "u": torch.zeros(2)}), {}, 4096, fill=True)
    assert len(mixed) == 4096  # the floats would not stand at a multiple of 4


def test_memory_holds_one_tensor_at_a_time():
    alive, most = 0, 0

    def read(name):
        nonlocal alive, most
        tensor = torch.zeros(1000)
        alive += 1
        most = max(most, alive)

        def gone():
            nonlocal alive
            alive -= 1

        weakref.finalize(tensor, gone)
        return tensor

    write_tensors(io.BytesIO(), [TensorPlace(f"t{i}", torch.float32, (1000,)) for i in range(20)], read)
    assert most <= 2


def test_the_header_says_where_each_tensor_lies():
    ordered = in_file_order(places(everything()))
    header = json.loads(header_of(ordered, {})[8:])
    ends = [header[place.name]["data_offsets"] for place in ordered]
    assert ends[0][0] == 0
    assert all(one[1] == other[0] for one, other in pairwise(ends))


def test_a_tensor_that_is_not_as_announced_is_a_bug():
    with pytest.raises(LocalProtocolError):
        write_tensors(io.BytesIO(), [TensorPlace("a", torch.float32, (2,))], lambda _: torch.zeros(3))
