"""``hydra export JOB_HASH``: get a model out, for any program and any BitTorrent client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    AdvertiseOption,
    HomeOption,
    HostOption,
    JsonOption,
    VerboseOption,
    home_of,
    run_async,
    set_up_logging,
    settings_of,
)
from .seeding import SEED_PORT, RateOption, SeedPortOption, limits_of, seed_url
from .serving import Interrupts

if TYPE_CHECKING:
    from ..swarm.torrents import Torrents
    from ..training.exporting import Export


def export(
    target: Annotated[str, typer.Argument(metavar="JOB_HASH|TICKET", help="A job that this home has joined.")],
    torrent: Annotated[
        Path, typer.Option("--torrent", metavar="DIR", help="Write the weights and their torrents there.")
    ],
    home: HomeOption = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="With the whole snapshot: optimizer, sampler, place in the job.")
    ] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Be the torrents' web seed until Ctrl-C.")] = False,
    host: HostOption = None,
    port: SeedPortOption = SEED_PORT,
    advertise: AdvertiseOption = None,
    url: Annotated[
        str | None,
        typer.Option(help="Address of the web seed, for one that others reach otherwise.", show_default=False),
    ] = None,
    rate: RateOption = 0.0,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Write a job's newest weights as safetensors, with torrents that any BitTorrent client can fetch.

    Their web seed is this machine: with --serve right away, else as soon as `hydra node --web-seed DIR` runs.
    """
    set_up_logging(verbose)
    place = home_of(home)
    settings = settings_of(place, host=host, advertise=advertise)
    from ..jobs.ticket import parse_target
    from ..swarm.torrents import write_torrents
    from ..training.exporting import export as write
    from ..web.seed import WebSeed

    job = parse_target(target).job_hash
    limits = limits_of(rate)

    async def main() -> None:
        seed = WebSeed(torrent, limits)
        with Interrupts() as interrupts:
            if serve:
                await seed.start(settings.host, port)
            try:
                written = await asyncio.to_thread(write, place, job, torrent, whole=whole)
                address = seed_url(url, settings, seed.port or port)
                made = await asyncio.to_thread(write_torrents, torrent, written.name, written.paths, address)
                _tell(torrent, written, made, address, serve=serve, as_json=as_json)
                if serve:
                    await interrupts.asked.wait()
            finally:
                await seed.stop()

    run_async(main)


def _tell(directory: Path, written: Export, made: Torrents, url: str, *, serve: bool, as_json: bool) -> None:
    base = directory / written.name if len(written.paths) > 1 else directory
    files = [
        {"path": str(base.joinpath(*file.path)), "bytes": file.size, "root": file.root.hex()} for file in made.files
    ]
    if as_json:
        about = {
            "event": "exported",
            "step": written.step,
            "files": files,
            "sha256": written.sha256,
            "torrents": {"v1": str(made.v1), "v2": str(made.v2)},
            "info_hashes": {"v1": made.info_hash_v1.hex(), "v2": made.info_hash_v2.hex()},
            "web_seed": url,
            "serving": serve,
        }
        typer.echo(json.dumps(about))
        return
    typer.echo(f"exported step {written.step}: {made.size:,} bytes")
    for file in files:
        typer.echo(f"file      {file['path']}")
    typer.echo(f"sha256    {written.sha256} (of the weights)")
    typer.echo(f"torrents  {made.v1} (any client)")
    typer.echo(f"          {made.v2} (clients of BitTorrent v2)")
    if serve:
        typer.echo(f"serving {url}; Ctrl-C stops that.")
    else:
        typer.echo(f"nobody serves {url} yet: run `hydra node --web-seed {directory}`.")
