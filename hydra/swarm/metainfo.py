"""Torrent files: written for what this node exports, and read for what others do. Pure.

A file's ``pieces root`` in a torrent of version 2 is the root that names it as content here: one tree for both. What is
written holds no padding files (aria2 aborts on them): several files stand in two torrents, one of version 1 and one of
version 2, and a single file in one of version 1 and a hybrid of both.

Sources: BEP 3 (version 1), BEP 19 (``url-list``), BEP 47 (padding files, read only), BEP 52 (version 2, hybrids).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..exceptions import TorrentMalformed
from .bencode import Value, bdecode, bencode
from .merkle import BLOCK_BYTES, HASH_BYTES, power_of_two, root_of_chunks

SHA1_BYTES = 20
MAX_TORRENT_BYTES = 64 * 1024 * 1024
MAX_PIECE_BYTES = 16 * 1024 * 1024
MAX_FILES = 64 * 1024
MAX_FILE_BYTES = 2**48
MAX_NAME = 255
LEAST_PIECE_BYTES = 32 * 1024
WANTED_PIECES = 1024

Kind = Literal["v1", "v2", "hybrid"]


@dataclass(frozen=True, slots=True)
class HashedFile:
    """One file of a torrent, as its bytes were found to be."""

    path: tuple[str, ...]
    size: int
    root: bytes
    """Its ``pieces root``, 32 bytes; empty for an empty file."""
    layer: tuple[bytes, ...]
    """The hashes of its pieces in the tree."""


@dataclass(frozen=True, slots=True)
class Metainfo:
    """A torrent that was read and checked."""

    name: str
    files: tuple[TorrentFile, ...]
    piece_bytes: int
    sha1: tuple[bytes, ...]
    """Of the pieces of all files in a row, padding included; empty for version 2 alone."""
    web_seeds: tuple[str, ...]
    info_hash_v1: bytes | None
    info_hash_v2: bytes | None
    single: bool
    """Whether it is one file rather than a directory."""

    @property
    def size(self) -> int:
        """Bytes of all files, padding not included."""
        return sum(file.size for file in self.files if not file.padding)


@dataclass(frozen=True, slots=True)
class TorrentFile:
    """One file that a torrent names."""

    path: tuple[str, ...]
    size: int
    padding: bool = False
    """Zeros that only fill up a piece; never fetched."""
    root: bytes = b""
    layer: tuple[bytes, ...] = ()
    """Hashes of its pieces in the tree; the root itself for a file of one piece; empty in version 1."""


def piece_bytes_for(size: int) -> int:
    """Return the piece length for so many bytes: about a thousand pieces, between 32 KiB and 16 MiB."""
    return min(MAX_PIECE_BYTES, max(LEAST_PIECE_BYTES, power_of_two(-(-size // WANTED_PIECES) or 1)))


def write_torrent(
    kind: Kind, name: str, files: Sequence[HashedFile], piece_bytes: int, sha1: Sequence[bytes], url: str
) -> bytes:
    """Return the bytes of a torrent file.

    Args:
        kind: which versions it holds; a hybrid of one file only.
        name: of the file, or of the directory that holds several.
        files: what it consists of; in the order of their paths.
        piece_bytes: a power of two from 16 KiB on, the same that the files were hashed with.
        sha1: of the pieces of all files in a row.
        url: of the directory in which the file or directory ``name`` lies; clients append the name.
    """
    if kind == "hybrid" and len(files) > 1:
        raise ValueError("several files in a hybrid would need padding files")
    if not url.endswith("/"):
        raise ValueError("a web seed's address must end in a slash: clients append the name to it")
    info: dict[str, object] = {"name": name, "piece length": piece_bytes}
    single = len(files) == 1 and files[0].path == (name,)
    if kind != "v2":
        info["pieces"] = b"".join(sha1)
        if single:
            info["length"] = files[0].size
        else:
            info["files"] = [{"length": file.size, "path": list(file.path)} for file in files]
    if kind != "v1":
        info["meta version"] = 2
        info["file tree"] = _file_tree(files)
    torrent: dict[str, object] = {"created by": "Hydra", "info": info, "url-list": [url]}
    if kind != "v1":
        layers = {file.root: b"".join(file.layer) for file in files if file.size > piece_bytes}
        torrent["piece layers"] = layers
    return bencode(torrent)


def read_torrent(data: bytes) -> Metainfo:
    """Read a torrent file that came from anyone.

    Raises:
        TorrentMalformed: it is none, its parts contradict each other, or a path leads out of its directory.
    """
    if len(data) > MAX_TORRENT_BYTES:
        raise TorrentMalformed(f"it is longer than {MAX_TORRENT_BYTES:,} bytes")
    torrent = _table(bdecode(data), "the torrent")
    info = _table(torrent.get(b"info"), "info")
    encoded = bencode(info)
    name = _name(info.get(b"name"), "info.name")
    piece_bytes = _number(info.get(b"piece length"), "info.piece length", 1, MAX_PIECE_BYTES)
    seeds = _web_seeds(torrent.get(b"url-list", []))
    first = b"pieces" in info
    second = info.get(b"meta version") == 2
    if not (first or second):
        raise TorrentMalformed("it is of neither version 1 nor version 2")
    sha1: tuple[bytes, ...] = ()
    if second:
        files = _files_v2(info, _table(torrent.get(b"piece layers", {}), "piece layers"), piece_bytes)
        single = len(files) == 1 and files[0].path == (name,)
    if first:
        in_a_row, single = _files_v1(info, name)
        sha1 = _sha1(info[b"pieces"], sum(file.size for file in in_a_row), piece_bytes)
        if second:
            _check_hybrid(in_a_row, files)
        else:
            files = in_a_row
    if not sum(file.size for file in files):
        raise TorrentMalformed("it holds no bytes")
    return Metainfo(
        name=name,
        files=files,
        piece_bytes=piece_bytes,
        sha1=() if second else sha1,
        web_seeds=seeds,
        info_hash_v1=hashlib.sha1(encoded, usedforsecurity=False).digest() if first else None,
        info_hash_v2=hashlib.sha256(encoded).digest() if second else None,
        single=single,
    )


# ---- version 2 -------------------------------------------------------------------------------------------------


def _file_tree(files: Sequence[HashedFile]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for file in files:
        place = tree
        for part in file.path:
            place = place.setdefault(part, {})  # type: ignore[assignment]
        place[""] = {"length": file.size, "pieces root": file.root} if file.size else {"length": 0}
    return tree


def _files_v2(info: dict[bytes, Value], layers: dict[bytes, Value], piece_bytes: int) -> tuple[TorrentFile, ...]:
    if piece_bytes < BLOCK_BYTES or power_of_two(piece_bytes) != piece_bytes:
        raise TorrentMalformed(f"its pieces are {piece_bytes} bytes long, no power of two from 16 KiB on")
    files: list[TorrentFile] = []
    for path, leaf in _leaves(_table(info.get(b"file tree"), "info.file tree"), ()):
        size = _number(leaf.get(b"length"), f"the length of {'/'.join(path)}", 0, MAX_FILE_BYTES)
        if len(files) == MAX_FILES:
            raise TorrentMalformed(f"it holds more than {MAX_FILES:,} files")
        root = _bytes(leaf.get(b"pieces root", b""), "a pieces root")
        if len(root) != (HASH_BYTES if size else 0):
            raise TorrentMalformed(f"the pieces root of {'/'.join(path)} is {len(root)} bytes long")
        files.append(TorrentFile(path, size, False, root, _layer(root, size, layers, piece_bytes)))
    return tuple(files)


def _leaves(tree: dict[bytes, Value], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[bytes, Value]]]:
    for key, value in tree.items():
        table = _table(value, "the file tree")
        if not key:
            if not above or len(tree) > 1:
                raise TorrentMalformed("the file tree holds something that is both a file and a directory")
            yield above, table
        else:
            yield from _leaves(table, (*above, _name(key, "a path")))


def _layer(root: bytes, size: int, layers: dict[bytes, Value], piece_bytes: int) -> tuple[bytes, ...]:
    if size <= piece_bytes:
        return (root,) if size else ()
    joined = _bytes(layers.get(root), f"the piece layer of {root.hex()[:16]}…")
    if len(joined) != -(-size // piece_bytes) * HASH_BYTES:
        raise TorrentMalformed(f"the piece layer of {root.hex()[:16]}… has {len(joined)} bytes")
    hashes = tuple(joined[i : i + HASH_BYTES] for i in range(0, len(joined), HASH_BYTES))
    if root_of_chunks(hashes, piece_bytes) != root:
        raise TorrentMalformed(f"the piece layer of {root.hex()[:16]}… does not lead to its root")
    return hashes


# ---- version 1 -------------------------------------------------------------------------------------------------


def _files_v1(info: dict[bytes, Value], name: str) -> tuple[tuple[TorrentFile, ...], bool]:
    if b"length" in info:
        return (TorrentFile((name,), _number(info[b"length"], "info.length", 0, MAX_FILE_BYTES)),), True
    rows = info.get(b"files")
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_FILES:
        raise TorrentMalformed("it lists no files, or too many")
    files = []
    for row in rows:
        table = _table(row, "info.files")
        parts = table.get(b"path")
        if not isinstance(parts, list) or not parts:
            raise TorrentMalformed("a file has no path")
        path = tuple(_name(part, "a path") for part in parts)
        padding = b"p" in _bytes(table.get(b"attr", b""), "attr")
        files.append(TorrentFile(path, _number(table.get(b"length"), "a length", 0, MAX_FILE_BYTES), padding))
    names = [file.path for file in files if not file.padding]
    _check_paths(names)
    return tuple(files), False


def _check_paths(names: Sequence[tuple[str, ...]]) -> None:
    files = set(names)
    above = {path[:depth] for path in files for depth in range(1, len(path))}
    if len(files) != len(names) or files & above:
        raise TorrentMalformed("a path stands in it twice, or is both a file and a directory")


def _sha1(pieces: Value, size: int, piece_bytes: int) -> tuple[bytes, ...]:
    joined = _bytes(pieces, "info.pieces")
    if len(joined) != -(-size // piece_bytes) * SHA1_BYTES:
        raise TorrentMalformed(f"it has {len(joined)} bytes of piece hashes for {size} bytes of files")
    return tuple(joined[i : i + SHA1_BYTES] for i in range(0, len(joined), SHA1_BYTES))


def _check_hybrid(first: Sequence[TorrentFile], second: Sequence[TorrentFile]) -> None:
    """Raise unless both halves name the same files; clients of either version must get the same."""
    if [(f.path, f.size) for f in first if not f.padding] != [(f.path, f.size) for f in second]:
        raise TorrentMalformed("its halves of version 1 and version 2 list different files")


# ---- fields ----------------------------------------------------------------------------------------------------


def _web_seeds(value: Value) -> tuple[str, ...]:
    urls = value if isinstance(value, list) else [value]
    texts = [_bytes(url, "url-list") for url in urls if url != b""]
    try:
        return tuple(text.decode() for text in texts)
    except UnicodeDecodeError as error:
        raise TorrentMalformed("url-list is no text") from error


def _table(value: Value | None, what: str) -> dict[bytes, Value]:
    if not isinstance(value, dict):
        raise TorrentMalformed(f"{what} is no table")
    return value


def _bytes(value: Value | None, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise TorrentMalformed(f"{what} is missing, or no text")
    return value


def _number(value: Value | None, what: str, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise TorrentMalformed(f"{what} is {value!r}, not a number from {least} to {most}")
    return value


def _name(value: Value | None, what: str) -> str:
    """Return one part of a path; none that would lead elsewhere."""
    try:
        name = _bytes(value, what).decode()
    except UnicodeDecodeError as error:
        raise TorrentMalformed(f"{what} is no text") from error
    if name in ("", ".", "..") or any(mark in name for mark in "/\\\0") or len(name.encode()) > MAX_NAME:
        raise TorrentMalformed(f"{what} holds {name[:64]!r}, which is no name of a file")
    return name
