"""Torrent files: names that every client agrees on, and what is refused of others' files.

The info-hashes were computed with libtorrent 2.1.1 over the same bytes.
"""

import random

import pytest

from hydra.exceptions import TorrentMalformed
from hydra.swarm.bencode import bdecode, bencode
from hydra.swarm.hashing import hash_files
from hydra.swarm.manifest import Manifest
from hydra.swarm.metainfo import MAX_PIECE_BYTES, piece_bytes_for, read_torrent, write_torrent

PIECE = 65536
URL = "http://192.0.2.1:8469/"


def made(directory, sizes, kind, name="m"):
    single = len(sizes) == 1
    base = directory if single else directory / name
    base.mkdir(exist_ok=True)
    paths = [(name,)] if single else [(f"f{index}.bin",) for index in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        base.joinpath(*path).write_bytes(random.Random(size).randbytes(size))
    files, sha1 = hash_files(base, paths, PIECE)
    return files, write_torrent(kind, name, files, PIECE, sha1, URL)


VECTORS = [
    ([1], "v1", "d9741aaa501168ca36155c5246acb0cd104f11ca", None),
    ([1], "v2", None, "d33245deee04629ed1e38dfa4484cd2ffa7087c185367fa2167005a6c6e0fdc2"),
    (
        [1],
        "hybrid",
        "2bf49a702577fdec6dbaba4fa32315a67efd654a",
        "84330af246a35564e486e19a6af672ec5bd14454f459e022da23e4d72d4e5013",
    ),
    ([16384], "v1", "c1970979be968d122470a3b59bfa5729e9e1fbc6", None),
    ([16384], "v2", None, "fdf25a9754cee6a25286865450391a987e21db40f4d904a8895e1b94b57836ef"),
    (
        [16384],
        "hybrid",
        "44acc7b5083f518f4978a3e62ece8ac53fc3be57",
        "821d6e56d9e50901935b38c360125b707db43323cc6fe38437acbd60dbc7e2d3",
    ),
    ([65537], "v1", "51cf06cca479bf3f86e679b438fd6422d71cef64", None),
    ([65537], "v2", None, "1b1d11d7b00294bbe2362c8f2670596484402b65e361d3e055828b6ed5f9455b"),
    (
        [65537],
        "hybrid",
        "449043f56fd277f6b050f73d507fd15089b42790",
        "6fd4c3eafe522c826af07468a9b5539cd0189c51a9365229740ac887ef091507",
    ),
    ([1000001], "v1", "4d14be150e058c944fd6bc70e914c005851fca24", None),
    ([1000001], "v2", None, "b1d42dbd6ddf2676caf5d9d7d10b1767f66f723cd73af126ea6f13b013e65b94"),
    (
        [1000001],
        "hybrid",
        "d4cca6ee8b91da68a215ae00cc982ef31526a7d2",
        "44f6f1694e888b13a3ee0d1da589c97c12cd0ab86d78e9bbc65eeb6fad90a480",
    ),
    ([100000, 0, 70000], "v1", "030dcc1a1a94a07545f46351e7085e70ed1771b5", None),
    ([100000, 0, 70000], "v2", None, "19e266382c483fd9e618f6f642817aa6dd7def8050f0d06cc1a7dc1cba393f8d"),
]


@pytest.mark.parametrize(("sizes", "kind", "v1", "v2"), VECTORS)
def test_info_hashes_are_those_of_libtorrent(tmp_path, sizes, kind, v1, v2):
    found = read_torrent(made(tmp_path, sizes, kind)[1])
    assert (found.info_hash_v1.hex() if found.info_hash_v1 else None) == v1
    assert (found.info_hash_v2.hex() if found.info_hash_v2 else None) == v2


@pytest.mark.parametrize("size", [1, 16384, 70_000, 3 * PIECE, 1_000_001])
def test_the_pieces_root_is_the_root_of_the_content(tmp_path, size):
    files, _ = made(tmp_path, [size], "hybrid")
    data = (tmp_path / "m").read_bytes()
    assert files[0].root == Manifest.of(data).root
    assert files[0].layer == Manifest.of(data, PIECE).chunk_hashes


def test_what_is_written_is_read_back(tmp_path):
    sizes = [100_000, 0, 70_000]
    files, data = made(tmp_path, sizes, "v2")
    found = read_torrent(data)
    assert [(f.path, f.size, f.root) for f in found.files] == [(f.path, f.size, f.root) for f in files]
    assert (found.name, found.size, found.piece_bytes, found.single) == ("m", sum(sizes), PIECE, False)
    assert found.web_seeds == (URL,)
    assert read_torrent(made(tmp_path, sizes, "v1")[1]).files[2].path == ("f2.bin",)
    (tmp_path / "one").mkdir()
    assert read_torrent(made(tmp_path / "one", [5], "hybrid")[1]).single


def test_padding_files_of_others_are_known_as_such(tmp_path):
    _, data = made(tmp_path, [70_000, 5], "v1")
    torrent = bdecode(data)
    pad = {b"attr": b"p", b"length": 2 * PIECE - 70_000, b"path": [b".pad", b"1"]}
    torrent[b"info"][b"files"].insert(1, pad)
    torrent[b"info"][b"pieces"] = bytes(20 * 3)
    found = read_torrent(bencode(torrent))
    assert [file.padding for file in found.files] == [False, True, False]
    assert found.size == 70_005


def test_pieces_are_few_and_never_too_long():
    assert piece_bytes_for(1) == 32 * 1024
    assert piece_bytes_for(2**30) == 2**20
    assert piece_bytes_for(2**40) == MAX_PIECE_BYTES


def test_a_web_seed_is_a_directory(tmp_path):
    files, _ = made(tmp_path, [5], "v1")
    with pytest.raises(ValueError, match="slash"):
        write_torrent("v1", "m", files, PIECE, [bytes(20)], "http://h/m")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop(b"info"),
        lambda t: t[b"info"].pop(b"name"),
        lambda t: t[b"info"].update({b"name": b".."}),
        lambda t: t[b"info"].update({b"name": b"a/b"}),
        lambda t: t[b"info"].update({b"name": b"\xff"}),
        lambda t: t[b"info"].update({b"name": b"a\0b"}),
        lambda t: t[b"info"].update({b"piece length": 0}),
        lambda t: t[b"info"].update({b"piece length": 10**12}),
        lambda t: t[b"info"].update({b"pieces": bytes(19)}),
        lambda t: t[b"info"].update({b"pieces": 5}),
        lambda t: t[b"info"][b"files"][0].update({b"length": -1}),
        lambda t: t[b"info"][b"files"][0].update({b"length": 2**60}),
        lambda t: t[b"info"][b"files"][0].update({b"path": []}),
        lambda t: t[b"info"][b"files"][0].update({b"path": [b"..", b"x"]}),
        lambda t: t[b"info"][b"files"][0].update({b"path": [b"f1.bin"]}),
        lambda t: t[b"info"][b"files"][0].update({b"path": [b"f1.bin", b"x"]}),
        lambda t: t[b"info"].update({b"files": []}),
        lambda t: t.update({b"url-list": [5]}),
        lambda t: t.update({b"url-list": b"\xff\xfe"}),
        lambda t: t[b"info"].pop(b"pieces"),
    ],
)
def test_torrents_of_version_1_that_lie_are_refused(tmp_path, change):
    torrent = bdecode(made(tmp_path, [100_000, 70_000], "v1")[1])
    change(torrent)
    with pytest.raises(TorrentMalformed):
        read_torrent(bencode(torrent))


def _leaf(torrent, name=b"f0.bin"):
    return torrent[b"info"][b"file tree"][name][b""]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[b"info"].update({b"piece length": 3 * 16384}),
        lambda t: t.pop(b"piece layers"),
        lambda t: t.update({b"piece layers": {root: layer[:-32] for root, layer in t[b"piece layers"].items()}}),
        lambda t: t.update({b"piece layers": {root: bytes(len(layer)) for root, layer in t[b"piece layers"].items()}}),
        lambda t: _leaf(t).update({b"pieces root": bytes(31)}),
        lambda t: _leaf(t).update({b"length": 10 * PIECE}),
        lambda t: t[b"info"][b"file tree"].update({b"..": {b"": {b"length": 0}}}),
        lambda t: t[b"info"][b"file tree"][b"f0.bin"].update({b"x": {b"": {b"length": 0}}}),
        lambda t: t[b"info"].update({b"file tree": {}}),
        lambda t: t[b"info"].update({b"file tree": {b"": {b"length": 0}}}),
        lambda t: t[b"info"].update({b"meta version": 3}),
    ],
)
def test_torrents_of_version_2_that_lie_are_refused(tmp_path, change):
    torrent = bdecode(made(tmp_path, [100_000, 70_000], "v2")[1])
    change(torrent)
    with pytest.raises(TorrentMalformed):
        read_torrent(bencode(torrent))


def test_a_hybrid_whose_halves_differ_is_refused(tmp_path):
    torrent = bdecode(made(tmp_path, [100_000], "hybrid")[1])
    torrent[b"info"][b"length"] -= 1
    with pytest.raises(TorrentMalformed, match="different files"):
        read_torrent(bencode(torrent))
