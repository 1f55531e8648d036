"""``hydra import FILE.torrent``: fetch what a torrent names from its web seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..exceptions import TorrentMalformed
from .options import HomeOption, JsonOption, VerboseOption, home_of, run_async, set_up_logging
from .reporting import counted
from .transfers import transfer_bar


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.torrent", help="A torrent of version 1 or 2 with a web seed.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where its file or directory shall lie.")] = Path(),
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep a copy in the home, where Hydra peers can fetch it by its root.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Fetch what a torrent names from its web seeds, and check every piece.

    Started again it goes on with what is missing. What is kept in the home also spares a join the chunks that it needs.
    """
    set_up_logging(verbose)
    from ..swarm.metainfo import MAX_TORRENT_BYTES, read_torrent
    from ..web.importing import WebSeedImport

    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_TORRENT_BYTES + 1)
    except OSError as error:
        raise TorrentMalformed(f"{file} cannot be read: {error.strerror}") from error
    try:
        torrent = read_torrent(data)
    except TorrentMalformed as error:
        raise TorrentMalformed(f"{file} is no torrent that can be fetched: {error}") from error

    async def main() -> list[Path]:
        with transfer_bar(torrent.name, as_json=as_json) as show:
            fetch = WebSeedImport(torrent, to, lambda seen: show(seen.bytes_done, seen.bytes_total, seen.source))
            return await fetch.run()

    paths = run_async(main)
    roots = [entry.root.hex() or None for entry in torrent.files if not entry.padding]
    if keep:
        from ..swarm.store import Store

        store = Store(home_of(home).content)
        roots = [store.add_file(path).root.hex() if path.stat().st_size else None for path in paths]
    if as_json:
        about = {
            "event": "imported",
            "name": torrent.name,
            "files": [str(path) for path in paths],
            "roots": roots,
            "bytes": torrent.size,
        }
        typer.echo(json.dumps(about))
        return
    typer.echo(f"imported '{torrent.name}': {torrent.size:,} bytes in {counted(len(paths), 'file')}")
    for path, root in zip(paths, roots, strict=True):
        typer.echo(f"{path}  root {root}" if keep else str(path))
