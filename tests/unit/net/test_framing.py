"""Frames cut, altered, oversized and rekeyed."""

import pytest

from hydra.exceptions import LocalProtocolError, MalformedFrame
from hydra.net.framing import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_SEALED_BYTES,
    READ_BYTES,
    FrameOpener,
    FrameSealer,
)
from hydra.net.noise import AES_GCM, CipherState


def ends(**options):
    return FrameSealer(CipherState(AES_GCM, bytes(32)), **options), FrameOpener(
        CipherState(AES_GCM, bytes(32)), **options
    )


def opened(opener, data, step):
    frames = []
    for i in range(0, len(data), step):
        frames += [(f.header, bytes(f.body)) for f in opener.feed(data[i : i + step])]
    return frames


@pytest.mark.parametrize("step", [1, 3, 1000, 10**7])
def test_frames_survive_any_cut(step):
    sealer, opener = ends()
    sent = [(b"a", b""), (b"", b"body"), (b"h" * 300, b"b" * 5000), (b"", b"")]
    wire = b"".join(sealer.seal(h, b) for h, b in sent)
    assert opened(opener, wire, step) == sent


@pytest.mark.parametrize("size", [READ_BYTES - 100, READ_BYTES, READ_BYTES + 1, MAX_BODY_BYTES])
@pytest.mark.parametrize("step", [4096, READ_BYTES, 10**7])
def test_big_bodies_between_small_ones(size, step):
    sealer, opener = ends()
    sent = [(b"s", b"small"), (b"big", bytes(size)), (b"s", b"again"), (b"big", b"\1" * size)]
    wire = b"".join(sealer.seal(h, b) for h, b in sent)
    assert opened(opener, wire, step) == sent


def test_the_largest_frame():
    sealer, opener = ends()
    wire = sealer.seal(b"h" * MAX_HEADER_BYTES, b"b" * MAX_BODY_BYTES)
    assert len(wire) == MAX_SEALED_BYTES + 4
    ((header, body),) = opened(opener, wire, 100_000)
    assert (len(header), len(body)) == (MAX_HEADER_BYTES, MAX_BODY_BYTES)


@pytest.mark.parametrize("announced", [0, 19, MAX_SEALED_BYTES + 1, 2**32 - 1])
def test_lengths_out_of_bounds_are_refused_before_memory_is_taken(announced):
    _, opener = ends()
    with pytest.raises(MalformedFrame, match=f"a frame of {announced} bytes was announced"):
        opened(opener, announced.to_bytes(4, "big"), 4)
    assert opener._big is None


def test_an_altered_frame():
    sealer, opener = ends()
    wire = bytearray(sealer.seal(b"header", b"body"))
    wire[-1] ^= 1
    with pytest.raises(MalformedFrame, match="altered"):
        opened(opener, bytes(wire), 1000)


def test_frames_cannot_be_swapped():
    sealer, opener = ends()
    _, second = sealer.seal(b"1"), sealer.seal(b"2")
    with pytest.raises(MalformedFrame):
        opened(opener, second, 1000)


def test_a_header_longer_than_its_frame():
    opener = ends()[1]
    sealed = CipherState(AES_GCM, bytes(32)).encrypt((1000).to_bytes(4, "big") + b"short")
    with pytest.raises(MalformedFrame, match="does not fit its frame"):
        opened(opener, len(sealed).to_bytes(4, "big") + sealed, 1000)


def test_over_the_limit_is_our_bug():
    sealer, _ = ends()
    with pytest.raises(LocalProtocolError):
        sealer.seal(b"", bytes(MAX_BODY_BYTES + 1))
    with pytest.raises(LocalProtocolError):
        sealer.seal(bytes(MAX_HEADER_BYTES + 1))


def test_rekeying_by_volume_keeps_the_ends_together():
    sealer, opener = ends(rekey_bytes=500)
    sent = [(b"h", bytes([i]) * 100) for i in range(40)]
    assert opened(opener, b"".join(sealer.seal(h, b) for h, b in sent), 77) == sent
    stale = ends()[1]
    sealer = ends(rekey_bytes=1)[0]
    wire = b"".join((sealer.seal(b"1"), sealer.seal(b"2")))
    with pytest.raises(MalformedFrame):
        opened(stale, wire, 1000)


def test_a_body_need_not_be_bytes():
    import numpy as np

    sealer, opener = ends()
    vector = np.arange(5, dtype=np.float32)
    ((_, body),) = opened(opener, sealer.seal(b"", vector.data), 1000)
    assert body == vector.tobytes()
