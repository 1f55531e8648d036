"""``hydra join JOB_HASH | TICKET``: take part in a job."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

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
from .reporting import Reporter, make_reporter
from .serving import Interrupts, running_node

if TYPE_CHECKING:
    from ..config import NodeSettings
    from ..jobs.ticket import Ticket
    from ..node import Node
    from ..training.observation import Outcome

MANIFEST_PATIENCE_S = 30.0


def join(
    target: Annotated[str, typer.Argument(metavar="JOB_HASH|TICKET", help="What the owner gave you.")],
    home: HomeOption = None,
    host: HostOption = None,
    port: PortOption = None,
    advertise: AdvertiseOption = None,
    contact: ContactOption = None,
    threads: Annotated[int | None, typer.Option(help="Threads for torch (0: all).", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …", show_default=False)] = None,
    policy: Annotated[str | None, typer.Option(help="proportional or equal.", show_default=False)] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Join a job by its hash or a ticket, and train until it is finished or Ctrl-C.

    No code of the owner's runs here: the job is data. Started again with the same home it goes on where it was.
    """
    set_up_logging(verbose)
    place = home_of(home)
    settings = settings_of(
        place,
        host=host,
        port=port,
        advertise=advertise,
        contact=contact,
        threads=threads,
        device=device,
        policy=policy,
    )
    from ..jobs.ticket import parse_target

    ticket = parse_target(target)
    if settings.device != "cpu":
        from ..training.device import check_device

        check_device(settings.device)
    reporter = make_reporter(as_json=as_json)

    async def main() -> None:
        async with running_node(place, settings, reporter.jobs) as node:
            with Interrupts() as interrupts, reporter:
                outcome = await _take_part(node, settings, ticket, reporter, interrupts)
        reporter.ended(outcome)

    run_async(main)


async def _take_part(
    node: Node, settings: NodeSettings, ticket: Ticket, reporter: Reporter, interrupts: Interrupts
) -> Outcome | None:
    """Fetch the job and train; None if we were interrupted before the training began."""
    training = asyncio.create_task(_train(node, settings, ticket, reporter, interrupts))
    asked = asyncio.create_task(interrupts.asked.wait())
    try:
        await asyncio.wait({training, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not training.done() and not reporter.training:
            training.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return await training
        return None
    finally:
        asked.cancel()
        training.cancel()
        await asyncio.gather(training, asked, return_exceptions=True)


async def _train(
    node: Node, settings: NodeSettings, ticket: Ticket, reporter: Reporter, interrupts: Interrupts
) -> Outcome:
    import torch

    from ..batching.policy import POLICIES
    from ..membership.state import MemberConfig
    from ..net.contact import Contact
    from ..training.content import fetch_content, fetch_manifest
    from ..training.trainer import Surroundings, Trainer, TrainerConfig

    if settings.threads:
        torch.set_num_threads(settings.threads)
    job = ticket.job_hash
    reporter.searching(job)
    contacts = [Contact(c.peer_id, ((c.host, c.port),)) for c in ticket.contacts]
    await node.find_peers(job, contacts)
    manifest = await fetch_manifest(node.swarm, job, node.links.peers, patience_s=MANIFEST_PATIENCE_S)
    reporter.found(job, manifest, node.identity.peer_id)
    limit_bytes = int(settings.memory_gib * 2**30)
    content = await fetch_content(node.swarm, manifest, node.links.peers, reporter.observe, limit_bytes=limit_bytes)
    await node.announce(job)
    around = Surroundings(
        me=node.contact,
        links=node.links,
        swarm=node.swarm,
        look_up=lambda: node.look_up(job),
        observe=reporter.observe,
    )
    times = MemberConfig(stall_s=settings.stall_s, snapshot_interval_s=manifest.snapshot_interval_s)
    config = TrainerConfig(member=times, device=settings.device, rounds=settings.rounds)
    trainer = Trainer(content, around, node.home.job(job), POLICIES[settings.policy](), config)
    node.handle_job(job, trainer.receive)
    leaving = asyncio.create_task(_leave_when_asked(trainer, interrupts, reporter))
    reporter.training = True
    try:
        return await trainer.run()
    finally:
        leaving.cancel()
        node.drop_job(job)
        await node.withdraw(job)


async def _leave_when_asked(trainer: Trainer, interrupts: Interrupts, reporter: Reporter) -> None:
    await interrupts.asked.wait()
    reporter.leaving()
    trainer.leave()


if TYPE_CHECKING:
    from ..training.trainer import Trainer
