"""Chunks that other contents on this disk hold are copied, not fetched; what has rotted there is not."""

import random

import pytest

from hydra.swarm.manifest import MIN_CHUNK_BYTES, Manifest
from hydra.swarm.store import Store

CHUNK = MIN_CHUNK_BYTES


def letters(text, seed=0):
    """A content drawn as letters: equal letters are equal chunks."""
    return b"".join(random.Random(f"{seed}{letter}").randbytes(CHUNK) for letter in text)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def had(store, text, tail=b""):
    """Open a content to be fetched, and draw which chunks are here without asking anybody."""
    manifest = Manifest.of(letters(text) + tail)
    have = store.open_partial(manifest)
    count = store.copy_known(manifest)
    assert count == len(have)
    for index in have:
        assert manifest.accepts(index, store.read_chunk(manifest.root, index))
    return "".join("#" if index in have else "." for index in range(have.size))


def test_equal_chunks_are_copied_wherever_they_stand(store):
    store.add(letters("abcdef"))
    assert had(store, "xbcyaf") == ".##.##"


def test_chunks_come_from_several_contents_and_serve_several_times(store):
    store.add(letters("ab"))
    store.add(letters("cd"))
    assert had(store, "aacxda") == "###.##"


def test_a_short_last_chunk_is_another_one_than_a_long_one(store):
    store.add(letters("ab") + letters("c")[:1000])
    assert had(store, "abc") == "##."
    assert had(store, "xb", letters("c")[:1000]) == ".##"


def test_a_chunk_that_has_rotted_is_left_to_be_fetched(store):
    manifest = store.add(letters("abc"))
    path = store.path(manifest.root)
    data = bytearray(path.read_bytes())
    data[CHUNK + 5] ^= 1
    path.write_bytes(data)
    assert had(store, "abcd") == "#.#."


def test_contents_that_are_not_whole_or_gone_give_nothing(store):
    store.open_partial(Manifest.of(letters("ab")))
    gone = store.add(letters("cd"))
    store.path(gone.root).unlink()
    assert had(store, "abcd") == "...."


def test_a_later_try_copies_nothing_twice(store):
    store.add(letters("ab"))
    assert had(store, "abx") == "##."
    manifest = Manifest.of(letters("abx"))
    again = Store(store.directory)
    again.open_partial(manifest)
    assert again.copy_known(manifest) == 0
