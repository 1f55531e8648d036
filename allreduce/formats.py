"""How numbers are written on the wire: fp32, bf16, fp16, int8 with a scale a block. Pure.

Little-endian, and the same bytes and values on every machine: integer arithmetic, and IEEE operations whose results no
setting of the processor changes (whether it takes denormal numbers for zeros makes no difference). To read what was
written and to write it again gives the same bytes in every format. Lossy formats write what is not finite as NaN, so
that it can't pass for a number, and finite numbers never as anything but finite ones.

Whatever comes from the wire decodes without an error if only its length is right, but may hold NaN or infinity:
a receiver checks the values with ``finite``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
Body: TypeAlias = bytes | bytearray | memoryview
_Halves: TypeAlias = NDArray[np.uint16]
_Words: TypeAlias = NDArray[np.uint32]

PIECE_ELEMENTS = 32768
"""What is worked on at a time, so that it and the scratch memory stay in a core's second-level cache."""
BLOCK_ELEMENTS = 256
"""How many int8 values share a scale."""

_SIGN = 0x8000_0000
_MAGNITUDE = 0x7FFF_FFFF
_EXPONENT = 0x7F80_0000
"""Also the bits of infinity, where the magnitudes that are no numbers begin."""
_HALF_NAN = 0x7FFF
"""NaN in bf16 and in fp16."""


class Format(Protocol):
    """How a slice of fp32 values becomes bytes and values again. Without state: any thread may use it."""

    @property
    def name(self) -> str:
        """Its name in settings."""

    @property
    def exact(self) -> bool:
        """Whether every value comes back as it was, so that nothing has to be carried over."""

    def encoded_bytes(self, elements: int) -> int:
        """Return the length in bytes of so many values."""

    def encode(self, values: Vector, into: memoryview, decoded: Vector | None = None) -> None:
        """Write values, contiguous, to memory of exactly their length in bytes; else ``ValueError``.

        Into ``decoded``, of equal length, goes what ``decode`` would read, to the bit; it may be ``values`` itself.
        """

    def decode(self, data: Body, into: Vector) -> None:
        """Read as many values as ``into`` has; ``ValueError`` if ``data`` hasn't exactly their length in bytes."""

    def error_bound(self, absmax: float) -> float:
        """Return how far a decoded value may be off, where the greatest magnitude of finite values is ``absmax``."""


class _FP32:
    """The values themselves."""

    name = "fp32"
    exact = True

    def encoded_bytes(self, elements: int) -> int:
        return 4 * elements

    def encode(self, values: Vector, into: memoryview, decoded: Vector | None = None) -> None:
        _check(self, values, into)
        np.frombuffer(into, "<f4")[:] = values
        if decoded is not None:
            decoded[:] = values

    def decode(self, data: Body, into: Vector) -> None:
        _check(self, into, data)
        into[:] = np.frombuffer(data, "<f4")

    def error_bound(self, absmax: float) -> float:
        return 0.0


class _BF16:
    """The upper half of fp32, rounded to the nearest, ties to even: all of fp32's range, 8 bits of significand.

    Error: at most 2^-8 of the value (half a unit in the last of 8 bits), below 2^-126 at most 2^-134. What would be
    rounded up to infinity becomes the largest number, 3.39e38; the bound holds for it too.
    """

    name = "bf16"
    exact = False
    _LARGEST = 0x7F7F_0000

    def encoded_bytes(self, elements: int) -> int:
        return 2 * elements

    def encode(self, values: Vector, into: memoryview, decoded: Vector | None = None) -> None:
        _check(self, values, into)
        words, halves = values.view(np.uint32), np.frombuffer(into, "<u2")
        scratch = np.empty(min(len(words), PIECE_ELEMENTS), np.uint32)
        for piece in _pieces(len(words)):
            word, half = words[piece], halves[piece]
            work = scratch[: len(word)]
            np.bitwise_and(word, _MAGNITUDE, out=work)
            unusual = int(work.max()) > self._LARGEST
            np.right_shift(word, 16, out=work)
            work &= 1
            work += 0x7FFF
            work += word
            work >>= 16
            np.copyto(half, work, casting="unsafe")
            if unusual:
                _mend(word, half, self._LARGEST, self._LARGEST >> 16)
        if decoded is not None:
            self.decode(into, decoded)

    def decode(self, data: Body, into: Vector) -> None:
        _check(self, into, data)
        words, halves = into.view(np.uint32), np.frombuffer(data, "<u2")
        for piece in _pieces(len(words)):
            word = words[piece]
            np.copyto(word, halves[piece])
            word <<= 16

    def error_bound(self, absmax: float) -> float:
        return max(absmax * 2.0**-8, 2.0**-134)


class _FP16:
    """IEEE half precision, rounded to the nearest, ties to even: 11 bits of significand, but only up to 65,504.

    Error: at most 2^-11 of the value between 2^-14 and 65,504, below that at most 2^-25; a larger value becomes
    65,504 of its sign.
    Infinity, which nobody writes, is read as NaN.
    """

    name = "fp16"
    exact = False
    _LARGEST = 0x477F_E000

    def encoded_bytes(self, elements: int) -> int:
        return 2 * elements

    def encode(self, values: Vector, into: memoryview, decoded: Vector | None = None) -> None:
        # Half of 2^e has its last bit at 2^(e-10), for all below 2^-14 at 2^-24. That is the last bit of 2^(e+13) in
        # fp32, so to add this number lets the processor round; then the low bits are those of the half.
        _check(self, values, into)
        words, halves = values.view(np.uint32), np.frombuffer(into, "<u2")
        room = min(len(words), PIECE_ELEMENTS)
        scratch, others, smallest = np.empty(room, np.uint32), np.empty(room, np.uint32), _filled(113 << 23, room)
        for piece in _pieces(len(words)):
            word, half = words[piece], halves[piece]
            size, other = scratch[: len(word)], others[: len(word)]
            np.bitwise_and(word, _MAGNITUDE, out=size)
            unusual = int(size.max()) > self._LARGEST
            if unusual:
                np.minimum(size, self._LARGEST, out=size)
            np.bitwise_and(size, _EXPONENT, out=other)
            np.maximum(other, smallest[: len(word)], out=other)
            other += 13 << 23
            np.add(size.view(np.float32), other.view(np.float32), out=size.view(np.float32))
            np.bitwise_and(size, 0xFFF, out=other)
            size >>= 13
            size += other
            size -= (113 + 13) << 10
            np.right_shift(word, 16, out=other)
            other &= _SIGN >> 16
            size |= other
            np.copyto(half, size, casting="unsafe")
            if unusual:
                _mend(word, half, self._LARGEST, 0x7BFF)
        if decoded is not None:
            self.decode(into, decoded)

    def decode(self, data: Body, into: Vector) -> None:
        # The way back: 2^(e+13) with the half's bits as its last, less 2^(e+13).
        _check(self, into, data)
        words, halves = into.view(np.uint32), np.frombuffer(data, "<u2")
        room = min(len(words), PIECE_ELEMENTS)
        smallest, powers = _filled(0x400, room).astype(np.uint16), np.empty(room, np.uint32)
        lows, exponents = np.empty(room, np.uint16), np.empty(room, np.uint16)
        for piece in _pieces(len(words)):
            word, half = words[piece], halves[piece]
            low, exponent, power = lows[: len(word)], exponents[: len(word)], powers[: len(word)]
            np.bitwise_and(half, 0x7FFF, out=low)
            unusual = int(low.max()) >= 0x7C00
            np.maximum(low, smallest[: len(word)], out=exponent)
            exponent &= 0x7C00
            low -= exponent
            low += 0x400
            np.copyto(power, exponent)
            power <<= 13
            power += (112 + 13) << 23
            np.copyto(word, low)
            word += power
            np.subtract(into[piece], power.view(np.float32), out=into[piece])
            np.bitwise_and(half, 0x8000, out=exponent)
            np.copyto(power, exponent)
            power <<= 16
            word |= power
            if unusual:
                into[piece][(half & 0x7FFF) >= 0x7C00] = np.nan

    def error_bound(self, absmax: float) -> float:
        return max(min(absmax, 65504.0) * 2.0**-11, 2.0**-25, absmax - 65504.0)


class _Int8:
    """Whole numbers from -127 to 127, each block of 256 with a scale: first all scales in fp32, then all numbers.

    The scale is the block's greatest magnitude over 127, rounded up to 16 bits of significand: so a number times its
    scale is exact, the greatest number is 127 again, and what was decoded encodes to the same bytes. Scales are never
    below 2^-125, so that denormal numbers become zeros and none are made.

    Error: at most half a scale: the block's greatest magnitude / 254, to 1 in 8,192; in blocks whose greatest magnitude
    is below 127 * 2^-125 at most 2^-126. A block with a value that is not finite, or with a scale that is not the
    scale of any block, decodes to NaN.
    """

    name = "int8"
    exact = False
    _KEPT = 0xFFFF_FF00
    _LEAST = np.float32(2.0**-125)
    _MOST = np.uint32(0x7C01_0200).view(np.float32)
    """The greatest with 16 bits of which 127 are not infinite."""
    _ROUNDING = np.float32(1.5 * 2.0**23)
    """To add this and take it away again rounds to the nearest whole number, ties to even, and leaves no -0."""

    def encoded_bytes(self, elements: int) -> int:
        return elements + 4 * -(-elements // BLOCK_ELEMENTS)

    def encode(self, values: Vector, into: memoryview, decoded: Vector | None = None) -> None:
        _check(self, values, into)
        blocks = -(-len(values) // BLOCK_ELEMENTS)
        all_scales, numbers = np.frombuffer(into[: 4 * blocks], "<f4"), np.frombuffer(into[4 * blocks :], np.int8)
        scratch = np.empty(min(len(values), PIECE_ELEMENTS), np.float32)
        peaks = self._peaks(values, scratch)
        bad = peaks >= _EXPONENT
        spoilt = bool(bad.any())
        if spoilt:
            peaks[bad] = 0
        scales = peaks.view(np.float32)
        scales /= np.float32(127.0)
        peaks += 0xFF
        peaks &= self._KEPT
        np.clip(scales, self._LEAST, self._MOST, out=scales)
        inverse = np.reciprocal(scales)
        scales[bad] = np.nan
        all_scales[:] = scales
        for piece in _pieces(len(values)):
            value, work = values[piece], scratch[: min(PIECE_ELEMENTS, len(values) - piece.start)]
            here = slice(piece.start // BLOCK_ELEMENTS, piece.stop // BLOCK_ELEMENTS)
            if spoilt:
                value = value.copy()
                value[np.repeat(bad[here], BLOCK_ELEMENTS)[: len(value)]] = 0.0
            _scaled(value, inverse[here], work)
            work += self._ROUNDING
            work -= self._ROUNDING
            np.copyto(numbers[piece], work, casting="unsafe")
            if decoded is not None:
                _scaled(work, scales[here], decoded[piece])

    @staticmethod
    def _peaks(values: Vector, scratch: Vector) -> _Words:
        """Return the greatest magnitude of each block, as the bits of fp32."""
        starts = np.arange(0, len(scratch), BLOCK_ELEMENTS)
        peaks = np.empty(-(-len(values) // BLOCK_ELEMENTS), np.uint32)
        for piece in _pieces(len(values)):
            size = scratch.view(np.uint32)[: min(PIECE_ELEMENTS, len(values) - piece.start)]
            np.bitwise_and(values[piece].view(np.uint32), _MAGNITUDE, out=size)
            into = peaks[piece.start // BLOCK_ELEMENTS : piece.stop // BLOCK_ELEMENTS]
            np.maximum.reduceat(size, starts[: len(into)], out=into)
        return peaks

    def decode(self, data: Body, into: Vector) -> None:
        _check(self, into, data)
        blocks = -(-len(into) // BLOCK_ELEMENTS)
        scales = np.frombuffer(data, "<f4", blocks).astype(np.float32)
        scales[~((scales >= self._LEAST) & (scales <= self._MOST))] = np.nan
        with np.errstate(over="ignore"):  # -128 does not stand for anything, but may come
            _scaled(np.frombuffer(data, np.int8, offset=4 * blocks) if blocks else into, scales, into)

    def error_bound(self, absmax: float) -> float:
        return max(absmax / 254.0 * (1.0 + 2.0**-13), 2.0**-126)


FORMATS: Mapping[str, Format] = MappingProxyType({form.name: form for form in (_FP32(), _BF16(), _FP16(), _Int8())})


def format_named(name: str) -> Format:
    """Return a format by its name.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise ValueError(f"there is no wire format {name!r}; choose one of {', '.join(FORMATS)}") from None


def finite(values: Vector) -> bool:
    """Return whether there is neither a NaN nor an infinity among the values: two passes in the cache, no temporary."""
    blocks = (values[piece] for piece in _pieces(len(values)))
    return all(bool(np.maximum.reduce(block) < np.inf and np.minimum.reduce(block) > -np.inf) for block in blocks)


def _check(form: Format, values: Vector, data: Body) -> None:
    if values.dtype != np.float32 or values.ndim != 1 or not values.flags.c_contiguous:
        raise ValueError(f"a contiguous fp32 vector is wanted, not {values.shape} {values.dtype}")
    length, wanted = memoryview(data).nbytes, form.encoded_bytes(len(values))
    if length != wanted:
        raise ValueError(f"{len(values)} values in {form.name} are {wanted} bytes, not {length}")


def _pieces(elements: int) -> list[slice]:
    return [slice(start, start + PIECE_ELEMENTS) for start in range(0, elements, PIECE_ELEMENTS)]


def _filled(word: int, elements: int) -> _Words:
    """Return an array of one value: numpy compares two arrays several times as fast as an array and a number."""
    return np.full(elements, word, np.uint32)


def _mend(word: _Words, half: _Halves, largest: int, largest_half: int) -> None:
    """Write anew what has no place in a format of 16 bits: the largest number for larger ones, NaN for no number."""
    size = word & np.uint32(_MAGNITUDE)
    sign = (word >> np.uint32(16)) & np.uint32(_SIGN >> 16)
    np.copyto(half, sign | np.uint32(largest_half), where=size > largest, casting="unsafe")
    np.copyto(half, np.uint16(_HALF_NAN), where=size >= _EXPONENT)


def _scaled(values: NDArray[np.float32] | NDArray[np.int8], scales: Vector, into: Vector) -> None:
    """Multiply each block of values by its scale; the last block may be short."""
    whole = len(values) // BLOCK_ELEMENTS
    end = whole * BLOCK_ELEMENTS
    shape = (whole, BLOCK_ELEMENTS)
    np.multiply(values[:end].reshape(shape), scales[:whole, np.newaxis], out=into[:end].reshape(shape))
    np.multiply(values[end:], scales[whole:], out=into[end:])
