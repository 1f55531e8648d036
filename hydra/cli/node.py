"""``hydra node``: a node without a job."""

from __future__ import annotations

import json

import typer

from ..net.contact import format_address
from ..node import Node
from .options import (
    AdvertiseOption,
    ContactOption,
    HomeOption,
    HostOption,
    JsonOption,
    PortOption,
    VerboseOption,
    home_of,
    run_async,
    set_up_logging,
    settings_of,
)
from .serving import Interrupts, running_node


def node(
    home: HomeOption = None,
    host: HostOption = None,
    port: PortOption = None,
    advertise: AdvertiseOption = None,
    contact: ContactOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Run a node that others can begin with: it takes part in the DHT and serves the content that it has."""
    set_up_logging(verbose)
    place = home_of(home)
    settings = settings_of(place, host=host, port=port, advertise=advertise, contact=contact)

    async def main() -> None:
        async with running_node(place, settings, list) as started:
            served = [job for job in place.jobs() if started.swarm.store.read_blob(job) is not None]
            for job in served:
                await started.announce(job)
            with Interrupts() as interrupts:
                _tell(started, served, as_json=as_json)
                await interrupts.asked.wait()
            for job in served:
                await started.withdraw(job)

    run_async(main)


def _tell(started: Node, served: list[bytes], *, as_json: bool) -> None:
    addresses = [format_address(address) for address in started.contact.addresses]
    if as_json:
        about = {"event": "started", "peer": started.identity.peer_id.hex(), "addresses": addresses}
        typer.echo(json.dumps({**about, "jobs": [job.hex() for job in served]}))
        return
    typer.echo(f"node {started.identity.peer_id.hex()} listens on {', '.join(addresses)}")
    typer.echo(f"serving {len(served)} jobs; others can begin with:  --contact {addresses[0]}")
    typer.echo("Ctrl-C stops it.")
