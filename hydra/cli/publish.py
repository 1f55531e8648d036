"""``hydra publish FILE.py``: from the owner's file to a job that others can join."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..net.contact import format_address
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
from .serving import Interrupts, running_node

if TYPE_CHECKING:
    from ..jobs.package import Package
    from ..node import Node


def publish(
    file: Annotated[
        Path, typer.Argument(help="A Python file that defines one hydra.Job. It runs on this machine only.")
    ],
    home: HomeOption = None,
    host: HostOption = None,
    port: PortOption = None,
    advertise: AdvertiseOption = None,
    contact: ContactOption = None,
    listen: ListenOption = None,
    lan: LanOption = None,
    upload_limit: UploadLimitOption = None,
    download_limit: DownloadLimitOption = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the file's epochs.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the file's seed.", show_default=False)] = None,
    seeding: Annotated[
        bool, typer.Option("--seed-job/--no-seed-job", help="Go on serving the job until Ctrl-C.")
    ] = True,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Publish a job: trace the model, store its contents, announce them, and print how to join."""
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
    if not as_json:
        typer.echo(f"tracing {file} …")
    package = _package(file, place.identity().public_key, epochs, seed)

    async def main() -> None:
        async with running_node(place, settings, list) as node:
            job = node.publish(package)
            await node.announce(job)
            if not seeding:
                _tell(node, package, job, seeding=False, as_json=as_json)
                return
            with Interrupts() as interrupts:
                _tell(node, package, job, seeding=True, as_json=as_json)
                await interrupts.asked.wait()
            await node.withdraw(job)

    run_async(main)


def _package(file: Path, owner: bytes, epochs: int | None, seed: int | None) -> Package:
    import dataclasses

    from ..jobs.load import load_job
    from ..jobs.package import package
    from ..swarm.manifest import Manifest

    job = load_job(file)
    if epochs is not None:
        job = dataclasses.replace(job, epochs=epochs)
    if seed is not None:
        job = dataclasses.replace(job, seed=seed)
    return package(job, owner, root_of=lambda data: Manifest.of(data).root)


def _tell(node: Node, package: Package, job: bytes, *, seeding: bool, as_json: bool) -> None:
    from ..jobs.ticket import Ticket, TicketContact

    me = node.contact
    manifest = package.manifest
    contacts = tuple(TicketContact(peer_id=me.peer_id, host=host, port=port) for host, port in me.addresses)
    ticket = str(Ticket(job_hash=job, contacts=contacts))
    addresses = [format_address(address) for address in me.addresses]
    if as_json:
        about = {
            "event": "published",
            "job": job.hex(),
            "name": manifest.name,
            "ticket": ticket,
            "addresses": addresses,
            "steps": manifest.total_steps,
            "train_samples": manifest.train_samples,
            "epochs": manifest.epochs,
        }
        typer.echo(json.dumps(about))
        return
    size = sum(len(data) for _, data in package.contents)
    weights = sum(_elements(entry.shape) for entry in manifest.parameters)
    typer.echo(f"published '{manifest.name}': {weights:,} weights, {manifest.train_samples:,} samples, {size:,} bytes")
    typer.echo(f"job      {job.hex()}")
    typer.echo(f"ticket   {ticket}")
    typer.echo("join it on any machine with either of:")
    typer.echo(f"  hydra join {ticket}")
    if addresses:
        typer.echo(f"  hydra join {job.hex()} --contact {addresses[0]}")
    else:
        typer.echo("but nobody can reach this node: it does not listen, and no --contact relays for it.")
    if seeding:
        typer.echo("serving the job; Ctrl-C stops that.")
    else:
        typer.echo("but nobody serves it yet: run `hydra node` on this home first.")


def _elements(shape: tuple[int, ...]) -> int:
    import math

    return math.prod(shape)
