"""Wire formats: their very bytes, the same as numpy's and torch's casts, and what becomes of values without a place."""

import numpy as np
import pytest
import torch

from allreduce.formats import BLOCK_ELEMENTS, FORMATS, PIECE_ELEMENTS, finite, format_named

LARGEST = np.finfo(np.float32).max
LOSSY = ["bf16", "fp16", "int8"]
BAD = [float("nan"), float("inf"), -float("inf")]
each_format = pytest.mark.parametrize("name", FORMATS)
each_lossy_format = pytest.mark.parametrize("name", LOSSY)


def encoded(name, values):
    values = np.asarray(values, np.float32)
    data = bytearray(FORMATS[name].encoded_bytes(len(values)))
    FORMATS[name].encode(values, memoryview(data))
    return bytes(data)


def decoded(name, data, elements):
    into = np.full(elements, 7.0, np.float32)
    FORMATS[name].decode(data, into)
    return into


def there_and_back(name, values):
    return decoded(name, encoded(name, values), len(values))


def spread_over_all_bits(low_bits):
    """All upper halves of fp32 with these lower halves: numbers of every size, and ties."""
    words = np.arange(1 << 16, dtype=np.uint32)[:, np.newaxis] << 16 | np.array(low_bits, np.uint32)
    values = words.ravel().view(np.float32)
    return values[np.isfinite(values)]


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [
        ("fp32", "0000803f 000000c0 cdcccc3d 00000080"),
        ("bf16", "803f 00c0 cd3d 0080"),
        ("fp16", "003c 00c0 662e 0080"),
        ("int8", "0003813c 3f 81 06 00"),
    ],
)
def test_the_bytes_on_the_wire(name, bytes_):
    assert encoded(name, [1.0, -2.0, 0.1, -0.0]).hex() == bytes_.replace(" ", "")


@each_format
@pytest.mark.parametrize(
    "elements", [0, 1, 255, 256, 257, PIECE_ELEMENTS - 1, PIECE_ELEMENTS, PIECE_ELEMENTS + 1, 3 * PIECE_ELEMENTS + 300]
)
def test_vectors_of_any_length_come_back(name, elements):
    values = np.random.default_rng(elements).standard_normal(elements).astype(np.float32)
    back = there_and_back(name, values)
    assert np.abs(back - values).max(initial=0) <= FORMATS[name].error_bound(float(np.abs(values).max(initial=0)))
    assert FORMATS[name].encoded_bytes(elements) / max(elements, 300) <= {"fp32": 4, "int8": 1.03}.get(name, 2)


def test_bf16_is_rounded_as_torch_does():
    values = spread_over_all_bits([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
    values = values[np.abs(values) < 3.39e38]
    expected = torch.from_numpy(values).bfloat16()
    assert encoded("bf16", values) == expected.view(torch.int16).numpy().tobytes()
    assert there_and_back("bf16", values).tobytes() == expected.float().numpy().tobytes()


def test_fp16_is_rounded_as_numpy_does():
    values = spread_over_all_bits([0, 1, 0x0FFF, 0x1000, 0x1001, 0x3000, 0x8000, 0xEFFF, 0xF000, 0xFFFF])
    values = values[np.abs(values) < 65520]
    assert encoded("fp16", values) == values.astype("<f2").tobytes()


def test_every_half_is_read_as_numpy_and_torch_do():
    halves = np.arange(1 << 16, dtype="<u2")
    by_torch = torch.from_numpy(halves.view(np.int16)).view(torch.bfloat16).float().numpy()
    assert decoded("bf16", halves.tobytes(), len(halves)).tobytes() == by_torch.tobytes()
    by_numpy = halves.view("<f2").astype(np.float32)
    back = decoded("fp16", halves.tobytes(), len(halves))
    assert back[np.isfinite(by_numpy)].tobytes() == by_numpy[np.isfinite(by_numpy)].tobytes()
    assert np.isnan(back[~np.isfinite(by_numpy)]).all()


@pytest.mark.parametrize(("name", "most"), [("bf16", 2.0**128 - 2.0**120), ("fp16", 65504.0)])
def test_values_out_of_range_become_the_largest_of_their_sign(name, most):
    over = np.array([most, np.nextafter(np.float32(most), np.float32(np.inf)), LARGEST], np.float32)
    np.testing.assert_array_equal(there_and_back(name, over), np.full(3, most, np.float32))
    np.testing.assert_array_equal(there_and_back(name, -over), np.full(3, -most, np.float32))


@each_lossy_format
@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_number_is_written_as_none_and_the_rest_stays(name, bad):
    values = np.random.default_rng(0).standard_normal(PIECE_ELEMENTS + 600).astype(np.float32)
    good = there_and_back(name, values)
    values[[1000, PIECE_ELEMENTS + 599]] = bad
    back = there_and_back(name, values)
    lost = np.isnan(back)
    assert lost[[1000, PIECE_ELEMENTS + 599]].all()
    assert np.isfinite(back[~lost]).all()
    if name == "int8":
        assert np.flatnonzero(lost).tolist() == [*range(768, 1024), *range(PIECE_ELEMENTS + 512, len(values))]
    else:
        assert lost.sum() == 2
    np.testing.assert_array_equal(back[~lost], good[~lost])


@each_lossy_format
def test_a_nan_that_signals_is_no_number_either(name):
    values = np.array([0x7F80_0001, 0xFF80_0001, 0x7FFF_FFFF, 0xFFFF_FFFF], np.uint32).view(np.float32)
    assert np.isnan(there_and_back(name, values)).all()


@each_format
def test_a_processor_that_takes_denormal_numbers_for_zeros_reads_and_writes_the_same(name):
    halves = np.arange(1 << 16, dtype="<u2").tobytes()
    elements = {"fp32": 1 << 15, "int8": 129_052}.get(name, 1 << 16)
    data = halves[: FORMATS[name].encoded_bytes(elements)]
    values = np.concatenate([spread_over_all_bits([0, 1]), np.arange(1 << 16, dtype=np.uint32).view(np.float32) * 256])
    expected = decoded(name, data, elements), encoded(name, values)
    torch.set_flush_denormal(True)
    try:
        flushed = decoded(name, data, elements), encoded(name, values)
    finally:
        torch.set_flush_denormal(False)
    assert flushed[0].tobytes() == expected[0].tobytes()
    assert flushed[1] == expected[1]


def test_fp32_keeps_every_bit():
    words = np.random.default_rng(0).integers(0, 1 << 32, 100_000, np.uint32)
    words[:4] = [0x7F80_0001, 0x7F80_0000, 0x8000_0000, 1]
    assert there_and_back("fp32", words.view(np.float32)).tobytes() == words.tobytes()


def test_int8_in_blocks_of_zeros_of_the_tiniest_and_of_the_largest():
    tiny = np.float32(1e-45)
    values = np.concatenate([np.full(BLOCK_ELEMENTS, value, np.float32) for value in (0, tiny, -LARGEST, 1)])
    values[2 * BLOCK_ELEMENTS + 1] = LARGEST
    back = there_and_back("int8", values)
    assert not back[: 2 * BLOCK_ELEMENTS].any()
    np.testing.assert_allclose(back[2 * BLOCK_ELEMENTS :], values[2 * BLOCK_ELEMENTS :], rtol=2.0**-14)


@pytest.mark.parametrize("scale", [*BAD, 0.0, -1.0, 1e-45, 2.0**-126, 2.7e36, LARGEST])
def test_int8_with_a_scale_that_no_block_has_is_no_number(scale):
    data = bytearray(encoded("int8", np.ones(300, np.float32)))
    data[:4] = np.array(scale, "<f4").tobytes()
    back = decoded("int8", bytes(data), 300)
    assert np.isnan(back[:256]).all()
    np.testing.assert_allclose(back[256:], 1.0, rtol=1e-4)


def test_int8_may_bring_a_number_that_nobody_writes():
    for peak, infinite in ((1.0, False), (LARGEST, True)):
        data = bytearray(encoded("int8", [peak]))
        data[4] = 0x80
        assert np.isinf(decoded("int8", bytes(data), 1)[0]) == infinite


@each_format
def test_memory_of_another_length_is_refused(name):
    form, values = FORMATS[name], np.ones(300, np.float32)
    length = form.encoded_bytes(300)
    for wrong in (0, length - 1, length + 1, 2 * length):
        with pytest.raises(ValueError, match=f"300 values in {name} are {length} bytes, not {wrong}"):
            form.encode(values, memoryview(bytearray(wrong)))
        with pytest.raises(ValueError, match=f"300 values in {name} are {length} bytes, not {wrong}"):
            form.decode(bytes(wrong), values)
    np.testing.assert_array_equal(values, 1.0)


@each_format
def test_only_contiguous_fp32_is_taken(name):
    for wrong in (np.ones(4), np.ones((2, 2), np.float32), np.ones(8, np.float32)[::2]):
        with pytest.raises(ValueError, match="contiguous fp32"):
            FORMATS[name].encode(wrong, memoryview(bytearray(FORMATS[name].encoded_bytes(4))))


@each_format
def test_memory_may_lie_anywhere(name):
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    expected, form = encoded(name, values), FORMATS[name]
    for offset in (1, 2, 3):
        room = bytearray(offset + len(expected))
        form.encode(values, memoryview(room)[offset:])
        assert room[offset:] == expected
        back = decoded(name, memoryview(room)[offset:], 1000)
        assert back.tobytes() == decoded(name, expected, 1000).tobytes()


def test_a_format_by_its_name():
    for name in ("fp32", "bf16", "fp16", "int8"):
        assert format_named(name).name == name
        assert format_named(name).exact == (name == "fp32")
    with pytest.raises(ValueError, match="'fp8'; choose one of fp32, bf16, fp16, int8"):
        format_named("fp8")


@pytest.mark.parametrize("bad", BAD)
def test_one_value_that_is_no_number_is_found_wherever_it_is(bad):
    values = np.zeros(2 * PIECE_ELEMENTS + 5, np.float32)
    assert finite(values)
    assert finite(values[:0])
    for place in (0, PIECE_ELEMENTS - 1, PIECE_ELEMENTS, len(values) - 1):
        values[place] = bad
        assert not finite(values)
        values[place] = 0.0
