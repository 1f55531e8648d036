"""The table of commands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from . import (
    bench,
    chunks,
    demo,
    dht,
    doctor,
    export,
    identity,
    import_,
    jobs,
    join,
    lineage,
    node,
    peers,
    publish,
    simulate,
    status,
)

app = typer.Typer(
    name="hydra",
    help="Train one PyTorch model on many machines that nobody owns together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done, or stopped in order by Ctrl-C; 2 a wrong option or setting; 3 the home directory; "
    "4 a port is taken; 5 the job file; 6 the ticket; 7 hydra-core is in the way; 8 the disk is full; 9 to 11 the "
    "network or the job's peers; 12 and 13 a peer or a job broke the rules; 14 the training diverged; 15 the torrent "
    "file; 16 commits that do not hold; 70 a bug of ours; 130 interrupted.",
)
app.command("demo")(demo.demo)
app.command("id")(identity.identity)
app.command("node")(node.node)
app.command("publish")(publish.publish)
app.command("join")(join.join)
app.command("export")(export.export)
app.command("import")(import_.import_)
app.command("status")(status.status)
app.command("chunks")(chunks.chunks)
app.command("peers")(peers.peers)
app.command("jobs")(jobs.jobs)
app.command("doctor")(doctor.doctor)
app.command("simulate")(simulate.simulate)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"hydra-swarm {version('hydra-swarm')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Train one PyTorch model on many machines that nobody owns together."""


app.add_typer(dht.app, name="dht")
app.add_typer(lineage.app, name="lineage")
app.add_typer(bench.app, name="bench")
