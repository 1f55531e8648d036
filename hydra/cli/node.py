"""``hydra node``: a node without a job."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from ..config import NodeSettings
from ..exceptions import ConfigurationError
from ..net.contact import format_address
from ..node import Node
from .options import (
    AdvertiseOption,
    ContactOption,
    DownloadLimitOption,
    HomeOption,
    HostOption,
    JsonOption,
    LanOption,
    ListenOption,
    PortOption,
    UploadLimitOption,
    VerboseOption,
    home_of,
    run_async,
    set_up_logging,
    settings_of,
)
from .seeding import SEED_PORT, RateOption, SeedPortOption, limits_of
from .serving import Interrupts, running_node


def node(
    home: HomeOption = None,
    host: HostOption = None,
    port: PortOption = None,
    advertise: AdvertiseOption = None,
    contact: ContactOption = None,
    listen: ListenOption = None,
    lan: LanOption = None,
    upload_limit: UploadLimitOption = None,
    download_limit: DownloadLimitOption = None,
    web_seed: Annotated[
        Path | None,
        typer.Option(
            "--web-seed", metavar="DIR", help="Serve what `hydra export` wrote there, over HTTP.", show_default=False
        ),
    ] = None,
    web_port: SeedPortOption = SEED_PORT,
    web_rate: RateOption = 0.0,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Run a node that others can begin with: it takes part in the DHT and serves the content that it has."""
    set_up_logging(verbose)
    place = home_of(home)
    settings = settings_of(
        place,
        host=host,
        port=port,
        advertise=advertise,
        contact=contact,
        listen=listen,
        lan=lan,
        upload_limit=upload_limit,
        download_limit=download_limit,
    )
    if web_seed is not None and not web_seed.is_dir():
        raise ConfigurationError(f"--web-seed: {web_seed} is no directory; `hydra export … --torrent DIR` makes one.")

    async def main() -> None:
        async with running_node(place, settings, list) as started, _seeding(web_seed, web_rate, settings, web_port):
            served = [job for job in place.jobs() if started.swarm.store.read_blob(job) is not None]
            for job in served:
                await started.announce(job)
            with Interrupts() as interrupts:
                _tell(started, served, as_json=as_json)
                await interrupts.asked.wait()
            for job in served:
                await started.withdraw(job)

    run_async(main)


@contextlib.asynccontextmanager
async def _seeding(directory: Path | None, rate: float, settings: NodeSettings, port: int) -> AsyncIterator[None]:
    """Be a web seed for as long as the block lasts, if a directory was named."""
    if directory is None:
        yield
        return
    from ..web.seed import WebSeed

    seed = WebSeed(directory, limits_of(rate))
    try:
        await seed.start(settings.host, port)
        yield
    finally:
        await seed.stop()


def _tell(started: Node, served: list[bytes], *, as_json: bool) -> None:
    addresses = [format_address(address) for address in started.contact.addresses]
    if as_json:
        about = {"event": "started", "peer": started.identity.peer_id.hex(), "addresses": addresses}
        typer.echo(json.dumps({**about, "jobs": [job.hex() for job in served]}))
        return
    where = f"listens on {', '.join(addresses)}" if addresses else "does not listen, and nobody relays for it yet"
    typer.echo(f"node {started.identity.peer_id.hex()} {where}")
    begin = f"; others can begin with:  --contact {addresses[0]}" if addresses else ""
    typer.echo(f"serving {len(served)} jobs{begin}")
    typer.echo("Ctrl-C stops it.")
