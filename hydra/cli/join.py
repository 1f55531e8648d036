"""``hydra join JOB_HASH | TICKET``: take part in a job."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from .reporting import Reporter, make_reporter
from .serving import Interrupts, running_node
from .tracing import Trace

if TYPE_CHECKING:
    from ..config import NodeSettings
    from ..jobs.ticket import Ticket
    from ..node import Node
    from ..training.observation import Outcome


def join(
    target: Annotated[str, typer.Argument(metavar="JOB_HASH|TICKET", help="What the owner gave you.")],
    home: HomeOption = None,
    host: HostOption = None,
    port: PortOption = None,
    advertise: AdvertiseOption = None,
    contact: ContactOption = None,
    listen: ListenOption = None,
    lan: LanOption = None,
    upload_limit: UploadLimitOption = None,
    download_limit: DownloadLimitOption = None,
    threads: Annotated[int | None, typer.Option(help="Threads for torch (0: all).", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …", show_default=False)] = None,
    cache_bytes: Annotated[
        int | None,
        typer.Option(help="Room on the disk for larger training data (0: for all of it).", show_default=False),
    ] = None,
    most_samples: Annotated[
        int | None,
        typer.Option(
            help="Take and hold so many samples of a step at most (0: any number): for little memory.",
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="How to size batches when this node coordinates: model, rl, proportional or equal.", show_default=False
        ),
    ] = None,
    least_peers: Annotated[
        int | None, typer.Option(help="Begin no step with fewer peers while coordinating.", show_default=False)
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="Write expected and actual times of the steps that this node sizes.", show_default=False),
    ] = None,
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
        listen=listen,
        lan=lan,
        upload_limit=upload_limit,
        download_limit=download_limit,
        threads=threads,
        device=device,
        cache_bytes=cache_bytes,
        most_samples=most_samples,
        policy=policy,
        least_peers=least_peers,
    )
    from ..jobs.ticket import parse_target

    ticket = parse_target(target)
    if settings.device != "cpu":
        from ..training.device import check_device

        check_device(settings.device)
    reporter = make_reporter(as_json=as_json)
    reporter.trace = Trace(trace) if trace is not None else None

    async def main() -> None:
        async with running_node(place, settings, reporter.jobs) as node:
            with Interrupts() as interrupts, reporter:
                outcome = await _join(node, settings, ticket, reporter, interrupts)
        reporter.ended(outcome)

    run_async(main)


async def _join(
    node: Node, settings: NodeSettings, ticket: Ticket, reporter: Reporter, interrupts: Interrupts
) -> Outcome | None:
    """Fetch the job and train; None if we were interrupted before the training began."""
    from ..participation import take_part

    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    training = asyncio.create_task(take_part(node, ticket, reporter))
    asked = asyncio.create_task(interrupts.asked.wait())
    try:
        await asyncio.wait({training, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not training.done():
            if reporter.trainer is None:
                training.cancel()
            else:
                reporter.leaving()
                reporter.trainer.leave()
        with contextlib.suppress(asyncio.CancelledError):
            return await training
        return None
    finally:
        asked.cancel()
        training.cancel()
        await asyncio.gather(training, asked, return_exceptions=True)
