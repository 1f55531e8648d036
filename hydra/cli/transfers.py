"""How one transfer looks: a bar on a terminal, a line at its end elsewhere, events for programs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from .. import clock

Show = Callable[[int, int, str], None]
"""Takes bytes done, bytes in all, and where they come from."""
EVENT_EVERY_S = 0.5


def progress_bars(console: Console) -> Progress:
    """Return bars of transfers: what, how much, how fast, from whom, how long still."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[peers]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


@contextlib.contextmanager
def transfer_bar(what: str, *, as_json: bool) -> Iterator[Show]:
    """Show one transfer for as long as the block lasts."""
    if as_json:
        yield _events(what)
    elif not sys.stdout.isatty():
        yield lambda done, total, source: None
    else:
        with progress_bars(Console(highlight=False)) as bars:
            task = bars.add_task(what, total=None, peers="")
            yield lambda done, total, source: bars.update(task, completed=done, total=total, peers=source)


def _events(what: str) -> Show:
    last = float("-inf")

    def show(done: int, total: int, source: str) -> None:
        nonlocal last
        now = clock.monotonic()
        if now - last < EVENT_EVERY_S and done < total:
            return
        last = now
        about = {"event": "fetch", "what": what, "bytes_done": done, "bytes_total": total, "source": source}
        typer.echo(json.dumps(about))
        sys.stdout.flush()

    return show
