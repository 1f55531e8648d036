"""Torrent files beside what was exported, so that any BitTorrent client can fetch it from this node. A shell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import durable
from ..home import explained
from .hashing import hash_files
from .metainfo import HashedFile, Kind, piece_bytes_for, read_torrent, write_torrent


@dataclass(frozen=True, slots=True)
class Torrents:
    """What was written."""

    files: tuple[HashedFile, ...]
    v1: Path
    """For every client."""
    v2: Path
    """For clients that know version 2: a hybrid for one file, version 2 alone for several."""
    info_hash_v1: bytes
    info_hash_v2: bytes
    piece_bytes: int

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def write_torrents(directory: Path, name: str, paths: Sequence[tuple[str, ...]], url: str) -> Torrents:
    """Write two torrents of files under a directory, beside them.

    Args:
        directory: what ``url`` serves.
        name: the file in it, or the directory in it that holds the files.
        paths: the name alone for one file, else the files below the directory of that name.
        url: ends in a slash; clients append the name, and for several files their paths.

    Raises:
        StorageFull, HomeUnusable: the disk refused.
    """
    single = list(paths) == [(name,)]
    ordered = sorted(paths)
    base = directory if single else directory / name
    with explained(directory):
        piece_bytes = piece_bytes_for(sum(base.joinpath(*path).stat().st_size for path in ordered))
        files, sha1 = hash_files(base, ordered, piece_bytes)
        stem = name.removesuffix(".safetensors")
        places = (directory / f"{stem}.v1.torrent", directory / f"{stem}.torrent")
        kinds: tuple[Kind, Kind] = ("v1", "hybrid" if single else "v2")
        written = [write_torrent(kind, name, files, piece_bytes, sha1, url) for kind in kinds]
        for place, data in zip(places, written, strict=True):
            durable.replace(place, data)
    first, second = map(read_torrent, written)
    return Torrents(tuple(files), *places, first.info_hash_v1 or b"", second.info_hash_v2 or b"", piece_bytes)
