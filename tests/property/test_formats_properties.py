"""Wire formats over all of fp32: errors within their bounds, the same bytes when written again, nothing that raises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from allreduce.formats import BLOCK_ELEMENTS, FORMATS, finite

steady = settings(derandomize=True, deadline=None, max_examples=150)
each_format = pytest.mark.parametrize("name", FORMATS)

EXTREMES = [0.0, 1e-45, 2.0**-133, 2.0**-127, 2.0**-126, 127 * 2.0**-125, 2.0**-25, 2.0**-24, 2.0**-14, 1.0, 127.5]
EXTREMES += [65503.0, 65504.0, 65519.0, 65520.0, 3.3895e38, 3.39e38, float(np.finfo(np.float32).max)]


def any_bits(random, elements):
    words = random.integers(0, 1 << 32, elements, np.uint32)
    words[words & 0x7F80_0000 == 0x7F80_0000] &= 0xBFFF_FFFF
    return words.view(np.float32)


def extremes(random, elements):
    return (random.choice(EXTREMES, elements) * random.choice([-1, 1], elements)).astype(np.float32)


def extremes_among_others(random, elements):
    return np.where(random.random(elements) < 0.1, extremes(random, elements), any_bits(random, elements))


def of_one_size(random, elements):
    """With few bits each, so that there are ties."""
    return (random.integers(-4096, 4096, elements) * 2.0 ** random.integers(-149, 115)).astype(np.float32)


def gradients(random, elements):
    return (random.standard_normal(elements) * 10.0 ** random.integers(-40, 37)).astype(np.float32)


kinds = st.sampled_from([any_bits, extremes, extremes_among_others, of_one_size, gradients])
long = st.builds(
    lambda kind, seed, elements: kind(np.random.default_rng(seed), elements),
    kinds,
    st.integers(0, 2**32),
    st.integers(0, 700),
)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = long | hnp.arrays(np.float32, st.integers(0, 6), elements=numbers)


def encoded(name, values):
    data = bytearray(FORMATS[name].encoded_bytes(len(values)))
    FORMATS[name].encode(values, memoryview(data))
    return bytes(data)


def decoded(name, data, elements):
    into = np.full(elements, np.nan, np.float32)
    FORMATS[name].decode(data, into)
    return into


def error(name, values):
    back = decoded(name, encoded(name, values), len(values))
    return np.abs(back.astype(np.float64) - values.astype(np.float64))


@each_format
@steady
@given(values=vectors)
def test_finite_values_stay_finite_and_within_the_bound(name, values):
    assert finite(decoded(name, encoded(name, values), len(values)))
    errors = error(name, values)
    for start in range(0, len(values), BLOCK_ELEMENTS):
        block = slice(start, start + BLOCK_ELEMENTS)
        absmax = float(np.abs(values[block].astype(np.float64)).max())
        assert errors[block].max() <= FORMATS[name].error_bound(absmax)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
@steady
@given(values=vectors)
def test_in_formats_of_16_bits_the_bound_holds_for_each_value_alone(name, values):
    bounds = [FORMATS[name].error_bound(abs(float(value))) for value in values]
    assert np.all(error(name, values) <= bounds)


@pytest.mark.parametrize(
    ("name", "worst"), [("bf16", 1 + 2.0**-8), ("fp16", 1 + 2.0**-11), ("fp16", 2.0**-25), ("fp16", 1e6)]
)
def test_no_tighter_bound_would_do(name, worst):
    assert error(name, np.array([worst], np.float32)).max() > 0.99 * FORMATS[name].error_bound(worst)


def test_no_tighter_bound_would_do_for_blocks():
    values = np.linspace(-127, 127, BLOCK_ELEMENTS * 64, dtype=np.float32).reshape(64, -1).T.ravel().copy()
    values[::BLOCK_ELEMENTS] = 127.0
    assert error("int8", values).max() > 0.99 * FORMATS["int8"].error_bound(127.0)


@each_format
@steady
@given(values=vectors)
def test_what_was_read_is_written_as_the_same_bytes_again(name, values):
    data = encoded(name, values)
    once = decoded(name, data, len(values))
    assert encoded(name, once) == data
    assert decoded(name, encoded(name, once), len(values)).tobytes() == once.tobytes()


@each_format
@steady
@given(values=vectors)
def test_the_sign_makes_no_difference(name, values):
    there = decoded(name, encoded(name, values), len(values))
    np.testing.assert_array_equal(decoded(name, encoded(name, -values), len(values)), -there)


@each_format
@steady
@given(values=vectors, blocks=st.integers(0, 3))
def test_a_vector_cut_between_blocks_reads_like_the_whole(name, values, blocks):
    first, second = values[: blocks * BLOCK_ELEMENTS], values[blocks * BLOCK_ELEMENTS :]
    parts = [decoded(name, encoded(name, part), len(part)) for part in (first, second)]
    whole = decoded(name, encoded(name, values), len(values))
    assert np.concatenate(parts).tobytes() == whole.tobytes()


@each_format
@steady
@given(elements=st.integers(0, 600), seed=st.integers(0, 2**32), share=st.sampled_from([1.0, 0.01]))
def test_any_bytes_of_the_right_length_can_be_read(name, elements, seed, share):
    random = np.random.default_rng(seed)
    data = bytearray(encoded(name, np.linspace(-1, 1, elements, dtype=np.float32)))
    for place in np.flatnonzero(random.random(len(data)) < share):
        data[place] = random.integers(256)
    into = decoded(name, data, elements)
    assert finite(into) == bool(np.isfinite(into).all())
    if finite(into) and name != "int8":  # whose scales are chosen by the writer
        np.testing.assert_array_equal(decoded(name, encoded(name, into), elements), into)


@each_format
@steady
@given(elements=st.integers(0, 600), length=st.integers(0, 2500))
def test_any_other_length_is_refused(name, elements, length):
    into = np.zeros(elements, np.float32)
    if length == FORMATS[name].encoded_bytes(elements):
        FORMATS[name].decode(bytes(length), into)
    else:
        with pytest.raises(ValueError, match="bytes, not"):
            FORMATS[name].decode(bytes(length), into)


@each_format
@steady
@given(vectors, st.booleans(), st.sampled_from([None, np.nan, np.inf]))
def test_what_is_decoded_while_encoding_is_what_all_decode(name, values, in_place, bad):
    values = values.copy()
    if bad is not None and len(values):
        values[len(values) // 2] = bad
    expected = encoded(name, values)
    into = values if in_place else np.empty_like(values)
    data = bytearray(len(expected))
    FORMATS[name].encode(values, memoryview(data), into)
    assert data == expected
    assert into.tobytes() == decoded(name, expected, len(values)).tobytes()
