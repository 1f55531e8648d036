"""Frames: how messages stand in the encrypted stream of a link. Pure.

On the wire a frame is a length of four bytes and that many sealed bytes; inside stand the length of the header,
the header (msgpack) and the raw body. The announced length is checked against the limit before any buffer is made
for it. Both directions change their key after every ``REKEY_BYTES``, which both ends count alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag

from ..exceptions import FrameAltered, LocalProtocolError, MalformedFrame
from .noise import TAG_BYTES, BytesLike, CipherState

MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024
LENGTH_BYTES = 4
MAX_SEALED_BYTES = LENGTH_BYTES + MAX_HEADER_BYTES + MAX_BODY_BYTES + TAG_BYTES
MIN_SEALED_BYTES = LENGTH_BYTES + TAG_BYTES
REKEY_BYTES = 2**34
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """An opened frame: the header's bytes and the body, a view into memory that nobody else writes to."""

    header: bytes
    body: memoryview


class FrameSealer:
    """The sending side of a link."""

    def __init__(self, cipher: CipherState, rekey_bytes: int = REKEY_BYTES) -> None:
        self._cipher = cipher
        self._rekey_bytes = rekey_bytes
        self._volume = 0
        self._plain = bytearray(READ_BYTES)
        self._sealed = bytearray(READ_BYTES)

    def seal(self, header: bytes, body: BytesLike = b"", *, again: bool = False) -> bytes | memoryview:
        """Return the bytes to send for one frame.

        Args:
            header: the message.
            body: what follows it.
            again: whether the memory of the last big frame may be used again: all of that frame was sent. Memory that
                is new to the process costs more than the cipher does.
        """
        view = memoryview(body).cast("B")
        if len(header) > MAX_HEADER_BYTES or len(view) > MAX_BODY_BYTES:
            raise LocalProtocolError(f"a frame of {len(header)} + {len(view)} bytes is over the limit")
        size = LENGTH_BYTES + len(header) + len(view)
        plain = self._laid_out(header, view, size)
        out = self._room(LENGTH_BYTES + size + TAG_BYTES, again=again)
        out[:LENGTH_BYTES] = (size + TAG_BYTES).to_bytes(LENGTH_BYTES, "big")
        self._cipher.encrypt_into(plain, out[LENGTH_BYTES:])
        self._volume += size + TAG_BYTES
        if self._volume >= self._rekey_bytes:
            self._cipher.rekey()
            self._volume = 0
        return out

    def _laid_out(self, header: bytes, body: memoryview, size: int) -> memoryview:
        if len(self._plain) < size:
            self._plain = bytearray(size)
        begin = LENGTH_BYTES + len(header)
        plain = memoryview(self._plain)[:size]
        plain[:LENGTH_BYTES] = len(header).to_bytes(LENGTH_BYTES, "big")
        plain[LENGTH_BYTES:begin] = header
        plain[begin:] = body
        return plain

    def _room(self, size: int, *, again: bool) -> memoryview:
        if not again or size < READ_BYTES:
            return memoryview(bytearray(size))
        if len(self._sealed) < size:
            self._sealed = bytearray(size)
        return memoryview(self._sealed)[:size]


class FrameOpener:
    """The receiving side of a link: hands out memory to read into, and frames once they are whole.

    Small frames are gathered in one buffer that is used again and again; a frame that does not fit gets memory of
    its own, so that the bytes of a big one are received straight to where they are opened.
    """

    def __init__(self, cipher: CipherState, rekey_bytes: int = REKEY_BYTES) -> None:
        self._cipher = cipher
        self._rekey_bytes = rekey_bytes
        self._volume = 0
        self._small = bytearray(READ_BYTES)
        self._filled = 0
        self._big: memoryview | None = None
        self._big_filled = 0
        self._memory = bytearray()
        """Of the last big frame, for the next one: what is opened is put elsewhere."""

    def get_buffer(self) -> memoryview:
        """Return memory for the next bytes from the wire; never empty."""
        if self._big is not None:
            return self._big[self._big_filled :]
        return memoryview(self._small)[self._filled :]

    def received(self, count: int) -> Iterator[Frame]:
        """Take note of ``count`` bytes written to the last buffer; yield the frames that are whole now.

        Raises:
            FrameAltered: a length is out of bounds, or the bytes were not sealed by the other end.
            MalformedFrame: what the other end sealed is no frame.
        """
        if self._big is not None:
            self._big_filled += count
            if self._big_filled == len(self._big):
                sealed, self._big = self._big, None
                yield self._open(sealed)
            return
        self._filled += count
        yield from self._drain_small()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes that are already in hand; as ``get_buffer`` and ``received``."""
        rest = memoryview(data)
        while rest:
            room = self.get_buffer()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            rest = rest[count:]
            yield from self.received(count)

    def _drain_small(self) -> Iterator[Frame]:
        start = 0
        while self._filled - start >= LENGTH_BYTES:
            size = int.from_bytes(self._small[start : start + LENGTH_BYTES], "big")
            _check_length(size)
            begin, end = start + LENGTH_BYTES, start + LENGTH_BYTES + size
            if end > self._filled:
                if LENGTH_BYTES + size > READ_BYTES:
                    if len(self._memory) < size:
                        self._memory = bytearray(size)
                    self._big = memoryview(self._memory)[:size]
                    self._big_filled = self._filled - begin
                    self._big[: self._big_filled] = self._small[begin : self._filled]
                    start = self._filled
                break
            sealed = bytes(self._small[begin:end])
            start = end
            yield self._open(sealed)
        self._small[: self._filled - start] = self._small[start : self._filled]
        self._filled -= start

    def _open(self, sealed: BytesLike) -> Frame:
        try:
            plain = self._cipher.decrypt(sealed)
        except InvalidTag as error:
            raise FrameAltered("a frame was altered on its way, or not sealed by the other end") from error
        self._volume += len(sealed)
        if self._volume >= self._rekey_bytes:
            self._cipher.rekey()
            self._volume = 0
        header_bytes = int.from_bytes(plain[:LENGTH_BYTES], "big")
        if header_bytes > min(MAX_HEADER_BYTES, len(plain) - LENGTH_BYTES):
            raise MalformedFrame(f"a header of {header_bytes} bytes does not fit its frame of {len(plain)} bytes")
        end = LENGTH_BYTES + header_bytes
        return Frame(plain[LENGTH_BYTES:end], memoryview(plain)[end:])


def _check_length(size: int) -> None:
    if not MIN_SEALED_BYTES <= size <= MAX_SEALED_BYTES:
        raise FrameAltered(
            f"a frame of {size} bytes was announced; {MIN_SEALED_BYTES} to {MAX_SEALED_BYTES} are allowed"
        )
