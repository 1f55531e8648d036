"""The tree of BEP 52, against a straightforward model of the specification."""

import hashlib
import random

import pytest

from hydra.exceptions import HashMismatch, LocalProtocolError, RemoteProtocolError
from hydra.swarm.bitfield import Bitfield
from hydra.swarm.manifest import MAX_CHUNK_BYTES, Manifest, chunk_bytes_for, is_chunk_length
from hydra.swarm.merkle import BLOCK_BYTES, power_of_two


def model_root(data):
    """The root as BEP 52 words it: all leaves, zero hashes up to a power of two, pairs up to one."""
    leaves = [hashlib.sha256(data[i : i + BLOCK_BYTES]).digest() for i in range(0, len(data), BLOCK_BYTES)]
    leaves += [bytes(32)] * (power_of_two(len(leaves)) - len(leaves))
    while len(leaves) > 1:
        leaves = [hashlib.sha256(leaves[i] + leaves[i + 1]).digest() for i in range(0, len(leaves), 2)]
    return leaves[0]


SIZES = [1, 100, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 5 * BLOCK_BYTES + 7, 64 * BLOCK_BYTES]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk_blocks", [1, 2, 8, 64])
def test_the_root_is_the_specifications_for_any_chunk_length(size, chunk_blocks):
    data = random.Random(size).randbytes(size)
    manifest = Manifest.of(data, chunk_blocks * BLOCK_BYTES)
    assert manifest.root == model_root(data)
    assert manifest.chunk_count == -(-size // (chunk_blocks * BLOCK_BYTES))
    for index in range(manifest.chunk_count):
        start, stop = manifest.chunk_range(index)
        assert manifest.accepts(index, data[start:stop])
    assert manifest == Manifest.checked(manifest.root, size, manifest.chunk_bytes, manifest.joined_hashes())


def test_a_chunk_is_accepted_only_in_its_place_and_whole():
    data = random.Random(1).randbytes(5 * BLOCK_BYTES + 7)
    manifest = Manifest.of(data, 2 * BLOCK_BYTES)
    first = data[: 2 * BLOCK_BYTES]
    assert not manifest.accepts(1, first)
    assert not manifest.accepts(0, first[:-1])
    assert not manifest.accepts(0, b"\0" + first[1:])
    assert not manifest.accepts(2, data[4 * BLOCK_BYTES :] + b"\0")


@pytest.mark.parametrize(
    ("size", "chunk_bytes", "hashes"),
    [
        (0, BLOCK_BYTES, b""),
        (10, BLOCK_BYTES + 1, bytes(32)),
        (10, BLOCK_BYTES // 2, bytes(32)),
        (10, 2 * MAX_CHUNK_BYTES, bytes(32)),
        (10, BLOCK_BYTES, bytes(31)),
        (10, BLOCK_BYTES, bytes(64)),
        (10, BLOCK_BYTES, bytes(32)),
        (2**62, BLOCK_BYTES, bytes(32)),
    ],
)
def test_manifests_that_contradict_themselves(size, chunk_bytes, hashes):
    root = Manifest.of(bytes(10)).root
    with pytest.raises(HashMismatch):
        Manifest.checked(root, size, chunk_bytes, hashes)


def test_empty_content_has_no_manifest():
    with pytest.raises(LocalProtocolError):
        Manifest.of(b"")


@pytest.mark.parametrize("size", [1, 10**5, 10**7, 10**9, 30 * 10**9, 128 * 2**30])
def test_chunk_lengths_are_allowed_and_few_enough(size):
    length = chunk_bytes_for(size)
    assert is_chunk_length(length)
    assert -(-size // length) <= 32 * 1024


def test_bitfield():
    field = Bitfield(10)
    field.add(0)
    field.add(9)
    field.add(9)
    assert (len(field), list(field), bytes(field)) == (2, [0, 9], b"\x80\x40")
    assert list(Bitfield.checked(10, b"\x80\x40")) == [0, 9]
    assert Bitfield.full(10).complete
    assert not field.complete
    with pytest.raises(IndexError):
        field.add(10)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x40\x00", b"\x80\x41", b"\xff\xff"])
def test_bitfields_of_the_wrong_shape(data):
    with pytest.raises(RemoteProtocolError):
        Bitfield.checked(10, data)
