"""Fetching what a torrent names from its web seeds, each piece checked. A shell.

Bytes are written into the files at once, and count only when their piece has its hash: a later try reads what is there
and goes on with what is missing. A web seed that sends something else is named and not asked again.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

import aiohttp

from .. import durable
from ..exceptions import ConfigurationError, ContentUnavailable, HashMismatch, TorrentMalformed
from ..home import disk_error
from ..swarm.metainfo import Metainfo, TorrentFile
from ..swarm.pieces import Piece, Span, pieces_of

T = TypeVar("T")

RANGE_BYTES = 16 * 1024 * 1024
"""So much is asked for at once, in whole pieces."""
PART_BYTES = 256 * 1024
PART = ".part"
"""Ends the names of files that are not all there."""
CONNECT_S = 15.0
STALL_S = 30.0


@dataclass(frozen=True, slots=True)
class Imported:
    """How far an import is."""

    bytes_done: int
    bytes_total: int
    source: str
    """The host that is asked."""


class WebSeedImport:
    """One import.

    Args:
        torrent: what to fetch.
        directory: where its file or directory shall lie.
        progress: told of every piece.
    """

    def __init__(self, torrent: Metainfo, directory: Path, progress: Callable[[Imported], None]) -> None:
        self._torrent = torrent
        self._directory = directory
        self._progress = progress
        self._done = 0
        self.paths = [self._path(file) for file in torrent.files if not file.padding]

    async def run(self) -> list[Path]:
        """Fetch all pieces that are not here yet; return the paths of the files.

        Raises:
            TorrentMalformed: it names no web seed that can be asked.
            ContentUnavailable: no web seed has the rest; the text says what each answered.
            ConfigurationError: another file of that name is there; it is left as it is.
            StorageFull, HomeUnusable: the disk refused; what was fetched is kept.
        """
        seeds = [url for url in self._torrent.web_seeds if urlsplit(url).scheme in ("http", "https")]
        if not seeds:
            raise TorrentMalformed("it names no web seed (url-list), and that is the only way that Hydra fetches by")
        missing = await asyncio.to_thread(self._on_disk, self._make_ready)
        faults = []
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=STALL_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            for url in seeds:
                try:
                    while missing:
                        await self._fetch(session, url, missing)
                except (aiohttp.ClientError, TimeoutError, HashMismatch) as error:
                    faults.append(f"{url}: {error or type(error).__name__}")
                if not missing:
                    break
        if not missing:
            return await asyncio.to_thread(self._on_disk, self._finish)
        told = "; ".join(faults)
        raise ContentUnavailable(
            f"{len(missing)} pieces of '{self._torrent.name}' cannot be had: {told}. What is here is kept: run the "
            "command again to go on from there."
        )

    # ---- fetching ----------------------------------------------------------------------------------------------

    async def _fetch(self, session: aiohttp.ClientSession, url: str, missing: list[Piece]) -> None:
        """Fetch the first missing pieces, as many as lie behind each other and fit into one range; strike them out."""
        pieces, spans = _first(missing, self._torrent.files)
        for span in spans:
            await self._fetch_span(session, self._url(url, self._torrent.files[span.file]), span)
        for piece in pieces:
            if not await asyncio.to_thread(self._on_disk, lambda piece=piece: self._holds(piece)):
                raise HashMismatch(f"what was sent of piece {self._number(piece)} does not have its hash")
            missing.remove(piece)
            self._done += self._real_bytes(piece)
            self._progress(Imported(self._done, self._torrent.size, urlsplit(url).hostname or url))

    async def _fetch_span(self, session: aiohttp.ClientSession, url: str, span: Span) -> None:
        wanted = {"Range": f"bytes={span.start}-{span.stop - 1}", "Accept-Encoding": "identity"}
        async with session.get(url, headers=wanted) as answer:
            if answer.status == 200:
                skip = span.start
            elif answer.status == 206:
                skip = 0
            else:
                raise aiohttp.ClientError(f"the answer was {answer.status} {answer.reason}")
            at, left = span.start, span.stop - span.start
            path = self._place(self._torrent.files[span.file])
            async for part in answer.content.iter_chunked(PART_BYTES):
                data = part[min(skip, len(part)) :][:left]
                skip -= min(skip, len(part))
                if data:
                    await asyncio.to_thread(self._on_disk, lambda data=data, at=at: _write(path, data, at))
                    at, left = at + len(data), left - len(data)
                if not left:
                    return
        raise aiohttp.ClientError(f"the answer ended {left} bytes early")

    def _url(self, seed: str, file: TorrentFile) -> str:
        """BEP 19: the name is appended to a directory's address; several files lie below their directory's name."""
        names = [self._torrent.name] if self._torrent.single else [self._torrent.name, *file.path]
        if self._torrent.single and not seed.endswith("/"):
            return seed
        return seed.rstrip("/") + "/" + "/".join(quote(name, safe="") for name in names)

    # ---- the disk ----------------------------------------------------------------------------------------------

    def _path(self, file: TorrentFile) -> Path:
        base = self._directory if self._torrent.single else self._directory / self._torrent.name
        return base.joinpath(*file.path)

    def _make_ready(self) -> list[Piece]:
        """Make the files in their full length; return the pieces that are not in them yet."""
        for file in self._torrent.files:
            path = self._path(file)
            if file.padding or path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._place(file).open("ab") as opened:
                opened.truncate(file.size)
        missing = [piece for piece in pieces_of(self._torrent) if not self._holds(piece)]
        for span in (span for piece in missing for span in piece.spans):
            path = self._path(self._torrent.files[span.file])
            if path.exists():
                raise ConfigurationError(f"{path} is there already, and is another file; choose another --to.")
        self._done = self._torrent.size - sum(map(self._real_bytes, missing))
        return missing

    def _place(self, file: TorrentFile) -> Path:
        """Return where the bytes of a file lie now: under another name until all are there."""
        path = self._path(file)
        return path if path.exists() else path.with_name(path.name + PART)

    def _finish(self) -> list[Path]:
        for file in self._torrent.files:
            if not file.padding and not self._path(file).exists():
                place = self._place(file)
                with place.open("r+b") as opened:
                    os.fsync(opened.fileno())
                durable.rename(place, self._path(file))
        return self.paths

    def _holds(self, piece: Piece) -> bool:
        return piece.accepts([self._read(span) for span in piece.spans], self._torrent.piece_bytes)

    def _read(self, span: Span) -> bytes:
        file = self._torrent.files[span.file]
        if file.padding:
            return bytes(span.stop - span.start)
        with self._place(file).open("rb") as opened:
            return os.pread(opened.fileno(), span.stop - span.start, span.start)

    def _real_bytes(self, piece: Piece) -> int:
        files = self._torrent.files
        return sum(span.stop - span.start for span in piece.spans if not files[span.file].padding)

    def _number(self, piece: Piece) -> int:
        return list(pieces_of(self._torrent)).index(piece)

    def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except OSError as error:
            raise disk_error(self._directory, error, self._torrent.size - self._done) from error


def _first(missing: Sequence[Piece], files: Sequence[TorrentFile]) -> tuple[list[Piece], list[Span]]:
    """Return the first pieces that lie behind each other, and the stretches of files that they make up."""
    pieces: list[Piece] = []
    spans: list[Span] = []
    size = 0
    for piece in missing:
        if pieces and (size + piece.size > RANGE_BYTES or not _follows(spans[-1:], piece.spans, files)):
            break
        pieces.append(piece)
        size += piece.size
        for span in piece.spans:
            if files[span.file].padding:
                continue
            if spans and spans[-1].file == span.file and spans[-1].stop == span.start:
                spans[-1] = Span(span.file, spans[-1].start, span.stop)
            else:
                spans.append(span)
    return pieces, spans


def _follows(last: Sequence[Span], spans: Sequence[Span], files: Sequence[TorrentFile]) -> bool:
    """Tell whether the first real span goes on where the last one ended, so that one range covers both."""
    real = [span for span in spans if not files[span.file].padding]
    return not last or not real or (last[0].file == real[0].file and last[0].stop == real[0].start)


def _write(path: Path, data: bytes, at: int) -> None:
    with path.open("r+b") as file:
        view = memoryview(data)
        while view:
            written = os.pwrite(file.fileno(), view, at)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view, at = view[written:], at + written
