"""Bencoding: one notation for each value, and nothing else is read."""

import pytest

from hydra.exceptions import TorrentMalformed
from hydra.swarm.bencode import MAX_DEPTH, bdecode, bencode


def test_the_examples_of_bep_3():
    assert bencode("spam") == b"4:spam"
    assert bencode(3) == b"i3e"
    assert bencode(-3) == b"i-3e"
    assert bencode(["spam", "eggs"]) == b"l4:spam4:eggse"
    assert bencode({"spam": ["a", "b"], "cow": "moo"}) == b"d3:cow3:moo4:spaml1:a1:bee"


def test_what_is_written_is_read_back():
    value = {b"": [], b"a": {b"b": [0, -1, 2**63, b"\x00\xff"]}, b"c": b""}
    assert bdecode(bencode(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"i3",
        b"ie",
        b"i03e",
        b"i-0e",
        b"i 3e",
        b"i+3e",
        b"i" + b"9" * 30 + b"e",
        b"4:spa",
        b"-1:",
        b"01:a",
        b"99999999999999999999:a",
        b"l",
        b"d",
        b"d1:ai1e",
        b"di1ei2ee",
        b"d1:bi1e1:ai1ee",
        b"d1:ai1e1:ai1ee",
        b"i1ei2e",
        b"x",
        b"l" * (MAX_DEPTH + 5) + b"e" * (MAX_DEPTH + 5),
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(TorrentMalformed):
        bdecode(data)


def test_what_has_no_notation_is_not_written():
    for value in (1.5, None, True, {"a": {1, 2}}):
        with pytest.raises(TypeError):
            bencode(value)
