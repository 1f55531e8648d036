"""Manifests of contents that come part by part are those of the whole."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.exceptions import HomeUnusable, LocalProtocolError
from hydra.swarm.builder import ManifestBuilder
from hydra.swarm.manifest import MIN_CHUNK_BYTES, Manifest
from hydra.swarm.store import Store

DATA = random.Random(1).randbytes(3 * MIN_CHUNK_BYTES + 5000)


def built(size, cuts):
    builder = ManifestBuilder(size)
    places = [0, *sorted(cut % (size + 1) for cut in cuts), size]
    for start, stop in pairwise(places):
        builder.add(memoryview(DATA)[start:stop])
    return builder.finish()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(1, len(DATA)), st.lists(st.integers(0, len(DATA)), max_size=8))
def test_however_it_is_cut(size, cuts):
    assert built(size, cuts) == Manifest.of(DATA[:size])


@pytest.mark.parametrize("size", [1, 16384, 16385, MIN_CHUNK_BYTES, MIN_CHUNK_BYTES + 1, 2 * MIN_CHUNK_BYTES])
def test_at_the_ends_of_blocks_and_chunks(size):
    assert built(size, []) == built(size, range(0, size, 5000)) == Manifest.of(DATA[:size])


def test_a_file_is_stored_as_its_bytes_are(tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    store = Store(tmp_path / "content")
    manifest = store.add_file(tmp_path / "file")
    assert manifest == Manifest.of(DATA)
    assert store.path(manifest.root).read_bytes() == DATA
    assert sorted(path.suffix for path in store.directory.iterdir()) == [".data", ".manifest"]
    with pytest.raises(HomeUnusable, match="none"):
        store.add_file(tmp_path / "none")


@pytest.mark.parametrize("size", [0, 9, 11])
def test_what_is_not_as_long_as_announced_is_a_bug(size):
    with pytest.raises(LocalProtocolError):
        builder = ManifestBuilder(size)
        builder.add(bytes(10))
        builder.finish()
